import type * as React from "react";

import { cn } from "@/lib/utils";

/** Shared by everything one types or picks in. */
const controlClasses = [
  "w-full min-w-0 rounded-md border border-input/70 bg-card text-foreground shadow-raise",
  "transition-[border-color,box-shadow] duration-150 outline-none",
  "placeholder:text-muted-foreground hover:border-input",
  "focus-visible:border-ring focus-visible:ring-3 focus-visible:ring-ring/25",
  "aria-invalid:border-destructive aria-invalid:focus-visible:ring-destructive/20",
  "disabled:cursor-not-allowed disabled:opacity-50",
].join(" ");

function Input({ className, type = "text", ...props }: React.ComponentProps<"input">) {
  return (
    <input
      data-slot="input"
      type={type}
      // 16 px on phones: below that, iOS zooms the page when a field is entered.
      className={cn(controlClasses, "h-10 px-3 text-base sm:h-9 sm:text-sm", className)}
      {...props}
    />
  );
}

export { controlClasses, Input };
