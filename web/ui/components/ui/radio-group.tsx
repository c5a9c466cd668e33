"use client";

import { RadioGroup as RadioGroupPrimitive } from "radix-ui";
import type * as React from "react";

import { cn } from "@/lib/utils";

function RadioGroup({ className, ...props }: React.ComponentProps<typeof RadioGroupPrimitive.Root>) {
  return (
    <RadioGroupPrimitive.Root
      data-slot="radio-group"
      className={cn("grid gap-2", className)}
      {...props}
    />
  );
}

/** One choice as a small card. */
function RadioGroupCard({
  className,
  ...props
}: React.ComponentProps<typeof RadioGroupPrimitive.Item>) {
  return (
    <RadioGroupPrimitive.Item
      data-slot="radio-group-card"
      className={cn(
        "flex flex-col items-start gap-0.5 rounded-md border border-input/70 bg-card px-3 py-2.5 text-left shadow-raise transition-[border-color,box-shadow,background-color] outline-none",
        "hover:border-input focus-visible:ring-3 focus-visible:ring-ring/25",
        "data-[state=checked]:border-primary data-[state=checked]:bg-accent data-[state=checked]:inset-ring data-[state=checked]:inset-ring-primary",
        "disabled:cursor-not-allowed disabled:opacity-50",
        className,
      )}
      {...props}
    />
  );
}

export { RadioGroup, RadioGroupCard };
