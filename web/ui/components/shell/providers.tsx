"use client";

import { QueryClientProvider } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";

import { Toaster } from "@/components/ui/sonner";
import { TooltipProvider } from "@/components/ui/tooltip";
import { useTheme } from "@/hooks/use-theme";
import { makeQueryClient } from "@/lib/query";

/** What every page needs around it. */
export function Providers({ children }: { children: ReactNode }) {
  const [client] = useState(makeQueryClient);
  // Follows the system's look for as long as the page is open, whether or not the choice is shown.
  useTheme();
  return (
    <QueryClientProvider client={client}>
      <TooltipProvider delayDuration={350}>
        {children}
        <Toaster />
      </TooltipProvider>
    </QueryClientProvider>
  );
}
