"use client";

import { complain } from "@/components/workspace/complain";
import { useDeletion } from "@/components/workspace/use-deletion";
import { useStartWorkspace, useStopWorkspace } from "@/hooks/use-workspaces";
import type { Workspace } from "@/lib/api/types";

/** Start, stop and delete for one workspace, with a message when the server refuses. */
export function useWorkspaceActions(workspace: Workspace) {
  const start = useStartWorkspace();
  const stop = useStopWorkspace();
  const { remove, isRemoving } = useDeletion(workspace);
  return {
    start: () => start.mutate(workspace.id, { onError: complain(`${workspace.name} was not started`) }),
    stop: (onDone?: () => void) =>
      stop.mutate(workspace.id, {
        onSuccess: onDone,
        onError: complain(`${workspace.name} was not stopped`),
      }),
    remove,
    isStarting: start.isPending,
    isStopping: stop.isPending,
    isRemoving,
  };
}
