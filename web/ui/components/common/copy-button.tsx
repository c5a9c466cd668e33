"use client";

import { Check, Copy } from "lucide-react";
import { useEffect, useState } from "react";
import { toast } from "sonner";

import { Button } from "@/components/ui/button";

/** Puts a text on the clipboard and says so. */
export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const [isCopied, setIsCopied] = useState(false);
  useEffect(() => {
    if (!isCopied) return;
    const timer = setTimeout(() => setIsCopied(false), 2_000);
    return () => clearTimeout(timer);
  }, [isCopied]);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      setIsCopied(true);
    } catch {
      toast.error("Not copied", { description: "The browser refused. Select the text and copy it by hand." });
    }
  };
  return (
    <Button variant="outline" onClick={() => void copy()}>
      {isCopied ? <Check className="text-success" /> : <Copy />}
      <span aria-live="polite">{isCopied ? "Copied" : label}</span>
    </Button>
  );
}
