"use client";

import { complain } from "@/components/workspace/complain";
import { useDeletion } from "@/components/workspace/use-deletion";
import { usePauseWorkspace, useStartWorkspace, useStopWorkspace } from "@/hooks/use-workspaces";
import type { Workspace } from "@/lib/api/types";

/** Start, wake, pause, stop and delete for one workspace, with a message when the server refuses. */
export function useWorkspaceActions(workspace: Workspace) {
  const start = useStartWorkspace();
  const wake = useStartWorkspace();
  const pause = usePauseWorkspace();
  const stop = useStopWorkspace();
  const { remove, isRemoving } = useDeletion(workspace);
  return {
    start: () => start.mutate(workspace.id, { onError: complain(`${workspace.name} was not started`) }),
    wake: () => wake.mutate(workspace.id, { onError: complain(`${workspace.name} was not woken`) }),
    pause: () => pause.mutate(workspace.id, { onError: complain(`${workspace.name} was not put to sleep`) }),
    stop: (onDone?: () => void) =>
      stop.mutate(workspace.id, {
        onSuccess: onDone,
        onError: complain(`${workspace.name} was not stopped`),
      }),
    remove,
    isStarting: start.isPending,
    isWaking: wake.isPending,
    isPausing: pause.isPending,
    isStopping: stop.isPending,
    isRemoving,
  };
}
