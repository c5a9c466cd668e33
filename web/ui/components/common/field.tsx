"use client";

import { useId, type ReactNode } from "react";

import { Label } from "@/components/ui/label";
import { cn } from "@/lib/utils";

/** What the control inside a {@link Field} must carry. */
export interface FieldControl {
  id: string;
  "aria-describedby": string;
  "aria-invalid": true | undefined;
}

interface FieldProps {
  label: string;
  /** Said beside the label, e.g. "optional". */
  note?: string;
  /** Help that gives way to an error in the same place, so that nothing moves. */
  hint?: ReactNode;
  error?: string;
  className?: string;
  children: (control: FieldControl) => ReactNode;
}

/** A labelled control with its help and its error. */
export function Field({ label, note, hint, error, className, children }: FieldProps) {
  const id = useId();
  const describedBy = `${id}-help`;
  return (
    <div className={cn("flex flex-col gap-1.5", className)}>
      <div className="flex items-baseline justify-between gap-3">
        <Label htmlFor={id}>{label}</Label>
        {note !== undefined && <span className="text-xs text-muted-foreground">{note}</span>}
      </div>
      {children({
        id,
        "aria-describedby": describedBy,
        "aria-invalid": error === undefined ? undefined : true,
      })}
      <p
        id={describedBy}
        aria-live="polite"
        className={cn(
          "min-h-5 text-[0.8125rem] leading-5 text-pretty",
          error === undefined ? "text-muted-foreground" : "text-destructive",
        )}
      >
        {error ?? hint}
      </p>
    </div>
  );
}
