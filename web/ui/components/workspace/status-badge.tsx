import { Badge } from "@/components/ui/badge";
import type { Workspace } from "@/lib/api/types";
import { cn } from "@/lib/utils";
import { STATES, stateLabel } from "@/lib/workspace";

/** A workspace's state in a word; the colour only repeats it. */
export function StatusBadge({ workspace, className }: { workspace: Pick<Workspace, "state" | "is_archived">; className?: string }) {
  const { state } = workspace;
  const { tone, isChanging } = STATES[state];
  return (
    <Badge variant={tone} data-state={state} className={className}>
      <span
        aria-hidden="true"
        className={cn("size-1.5 rounded-full bg-current", isChanging && "animate-breathe")}
      />
      <span className="sr-only">State: </span>
      {stateLabel(workspace)}
    </Badge>
  );
}
