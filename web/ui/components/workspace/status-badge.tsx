import { Badge } from "@/components/ui/badge";
import type { WorkspaceState } from "@/lib/api/types";
import { cn } from "@/lib/utils";
import { STATES } from "@/lib/workspace";

/** A workspace's state in a word; the colour only repeats it. */
export function StatusBadge({ state, className }: { state: WorkspaceState; className?: string }) {
  const { label, tone, isChanging } = STATES[state];
  return (
    <Badge variant={tone} data-state={state} className={className}>
      <span
        aria-hidden="true"
        className={cn("size-1.5 rounded-full bg-current", isChanging && "animate-breathe")}
      />
      <span className="sr-only">State: </span>
      {label}
    </Badge>
  );
}
