import { cn } from "@/lib/utils";

/** The mark: a K made of a text cursor and the bracket that code opens with. */
export function Mark({ className }: { className?: string }) {
  return (
    <svg
      viewBox="0 0 24 24"
      fill="none"
      aria-hidden="true"
      className={cn("size-6 shrink-0", className)}
    >
      <path d="M5.5 3.5v17" className="stroke-brand-bright" strokeWidth="3" strokeLinecap="round" />
      <path
        d="M19 4.5 11.2 12l7.8 7.5"
        className="stroke-brand"
        strokeWidth="3"
        strokeLinecap="round"
        strokeLinejoin="round"
      />
    </svg>
  );
}

/** Mark and name. */
export function Logo({ className }: { className?: string }) {
  return (
    <span className={cn("inline-flex items-center gap-2", className)}>
      <Mark className="size-[1.15rem]" />
      <span className="text-[0.9375rem] font-semibold tracking-[-0.015em]">Kalpana</span>
    </span>
  );
}
