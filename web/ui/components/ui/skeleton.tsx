import type * as React from "react";

import { cn } from "@/lib/utils";

/** Keeps the place of something that is still on its way. */
function Skeleton({ className, ...props }: React.ComponentProps<"div">) {
  return (
    <div
      data-slot="skeleton"
      aria-hidden="true"
      className={cn("animate-sheen rounded-md bg-muted", className)}
      {...props}
    />
  );
}

export { Skeleton };
