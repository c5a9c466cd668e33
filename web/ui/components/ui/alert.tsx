import { cva, type VariantProps } from "class-variance-authority";
import type * as React from "react";

import { cn } from "@/lib/utils";

const alertVariants = cva(
  "flex items-start gap-3 rounded-lg border px-4 py-3 text-sm leading-relaxed [&>svg]:mt-0.5 [&>svg]:size-4 [&>svg]:shrink-0",
  {
    variants: {
      variant: {
        neutral: "bg-muted/60 text-foreground [&>svg]:text-muted-foreground",
        warning: "border-warning/25 bg-warning-surface text-foreground [&>svg]:text-warning",
        destructive:
          "border-destructive/25 bg-destructive-surface text-foreground [&>svg]:text-destructive",
      },
    },
    defaultVariants: { variant: "neutral" },
  },
);

function Alert({
  className,
  variant,
  ...props
}: React.ComponentProps<"div"> & VariantProps<typeof alertVariants>) {
  return <div data-slot="alert" className={cn(alertVariants({ variant }), className)} {...props} />;
}

export { Alert };
