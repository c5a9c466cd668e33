"use client";

import { ChevronDown, Moon } from "lucide-react";
import { useState, type Ref } from "react";

import { FormError } from "@/components/common/error-state";
import { Button } from "@/components/ui/button";
import { Popover, PopoverContent, PopoverTrigger } from "@/components/ui/popover";
import { Skeleton } from "@/components/ui/skeleton";
import { StatusBadge } from "@/components/workspace/status-badge";
import { useWorkspaceActions } from "@/components/workspace/use-workspace-actions";
import { useActivity } from "@/hooks/use-activity";
import { useNow } from "@/hooks/use-now";
import { outlook } from "@/lib/activity";
import { asApiError } from "@/lib/api/error";
import type { User, Workspace } from "@/lib/api/types";
import { actionsFor, STATES } from "@/lib/workspace";

interface SleepPopoverProps {
  workspace: Workspace;
  user: User;
  /** Its button, where the keyboard's place returns to. */
  ref: Ref<HTMLButtonElement>;
  /** Opens what asks when the workspace sleeps. */
  onChange(): void;
}

/** The state of a workspace that is awake or asleep; opened, it says why and until when. */
export function SleepPopover({ workspace, user, ref, onChange }: SleepPopoverProps) {
  const [isOpen, setIsOpen] = useState(false);
  const actions = useWorkspaceActions(workspace);
  const pause = (): void => {
    setIsOpen(false);
    actions.pause();
  };
  const change = (): void => {
    setIsOpen(false);
    onChange();
  };
  const can = actionsFor(workspace, user);
  return (
    // Modal, because a click into the editor's frame closes nothing: this page hears nothing of it.
    <Popover modal open={isOpen} onOpenChange={setIsOpen}>
      <PopoverTrigger
        ref={ref}
        aria-label={`State: ${STATES[workspace.state].label}, why and until when`}
        aria-busy={actions.isPausing || undefined}
        className="-my-1.5 flex shrink-0 items-center gap-0.5 rounded-full py-1.5 text-muted-foreground transition-colors outline-none hover:text-foreground focus-visible:ring-2 focus-visible:ring-ring"
      >
        <StatusBadge workspace={workspace} />
        <ChevronDown aria-hidden="true" className="size-3.5" />
      </PopoverTrigger>
      <PopoverContent align="start" aria-label={`Sleep of ${workspace.name}`}>
        <Activity workspace={workspace} />
        {(can.pause || can.sleep) && (
          <div className="mt-4 flex flex-wrap gap-2">
            {can.pause && (
              <Button variant="outline" size="sm" onClick={pause} isBusy={actions.isPausing}>
                <Moon aria-hidden="true" />
                Put to sleep
              </Button>
            )}
            {can.sleep && (
              <Button variant="outline" size="sm" onClick={change}>
                Change…
              </Button>
            )}
          </div>
        )}
      </PopoverContent>
    </Popover>
  );
}

/** Looks for it only while it is shown. */
function Activity({ workspace }: { workspace: Workspace }) {
  const { data, error } = useActivity(workspace);
  const now = useNow(15_000);
  if (data === undefined && error !== null) return <FormError error={asApiError(error)} />;
  if (data === undefined) {
    return (
      <div role="status" aria-label="Loading what keeps it awake">
        <Skeleton className="h-4 w-full" />
        <Skeleton className="mt-2.5 h-4 w-2/3" />
      </div>
    );
  }
  const { why, next } = outlook(workspace, data, now);
  return (
    <div role="status" className="text-sm leading-relaxed [overflow-wrap:anywhere]">
      {/* A paragraph of its own: what a program calls itself must not turn the rest around. */}
      <p>{why}</p>
      <p className="mt-1 text-muted-foreground">{next}</p>
    </div>
  );
}
