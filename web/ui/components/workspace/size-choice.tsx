"use client";

import { useId } from "react";

import { RadioGroup, RadioGroupCard } from "@/components/ui/radio-group";
import { Skeleton } from "@/components/ui/skeleton";
import type { SizeOption } from "@/lib/api/types";
import { capitalised, cpus, memory } from "@/lib/format";

interface SizeChoiceProps {
  /** What this installation offers; not known yet when absent. */
  sizes: readonly SizeOption[] | undefined;
  value: string;
  onChange(value: string): void;
  error?: string;
}

/** How much of the machine the workspace may use. */
export function SizeChoice({ sizes, value, onChange, error }: SizeChoiceProps) {
  const label = useId();
  const help = useId();
  return (
    <div className="flex flex-col gap-1.5">
      <span id={label} className="text-sm leading-5 font-medium">
        Size
      </span>
      {sizes === undefined ? (
        <Skeleton className="h-[3.75rem] w-full" />
      ) : (
        <RadioGroup
          name="size"
          value={value}
          onValueChange={onChange}
          aria-labelledby={label}
          aria-describedby={help}
          aria-invalid={error === undefined ? undefined : true}
          className="grid-cols-3"
        >
          {sizes.map((size) => (
            <RadioGroupCard key={size.name} value={size.name}>
              <span className="text-sm leading-5 font-medium">{capitalised(size.name)}</span>
              <span className="text-xs leading-4 text-muted-foreground">
                {cpus(size.cpus)}, {memory(size.memory_bytes)}
              </span>
            </RadioGroupCard>
          ))}
        </RadioGroup>
      )}
      <p id={help} aria-live="polite" className="text-[0.8125rem] leading-5 text-destructive">
        {error}
      </p>
    </div>
  );
}
