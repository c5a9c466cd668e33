"use client";

import { CircleAlert, CircleCheck } from "lucide-react";
import type * as React from "react";
import { Toaster as Sonner } from "sonner";

import { buttonVariants } from "@/components/ui/button";
import { cn } from "@/lib/utils";

/** Where short messages appear. */
function Toaster(props: React.ComponentProps<typeof Sonner>) {
  return (
    <Sonner
      theme="system"
      position="bottom-right"
      icons={{
        success: <CircleCheck className="size-4 text-success" />,
        error: <CircleAlert className="size-4 text-destructive" />,
      }}
      toastOptions={{
        unstyled: true,
        classNames: {
          toast:
            "flex w-full items-start gap-3 rounded-lg border bg-popover px-4 py-3 text-popover-foreground shadow-float sm:w-(--width)",
          icon: "mt-0.5",
          content: "min-w-0 [overflow-wrap:anywhere]",
          title: "text-sm leading-5 font-medium",
          description: "mt-0.5 text-[0.8125rem] leading-5 text-muted-foreground",
          actionButton: cn(buttonVariants({ variant: "outline", size: "sm" }), "ml-auto self-center"),
        },
      }}
      {...props}
    />
  );
}

export { Toaster };
