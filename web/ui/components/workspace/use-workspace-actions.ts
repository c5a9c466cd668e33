"use client";

import { toast } from "sonner";

import { useDeleteWorkspace, useStartWorkspace, useStopWorkspace } from "@/hooks/use-workspaces";
import { asApiError } from "@/lib/api/error";
import type { Workspace } from "@/lib/api/types";

/** Start, stop and delete for one workspace, with a message when the server refuses. */
export function useWorkspaceActions(workspace: Workspace) {
  const start = useStartWorkspace();
  const stop = useStopWorkspace();
  const remove = useDeleteWorkspace();
  const complain = (title: string) => (cause: unknown) => {
    const error = asApiError(cause);
    if (error.isSignedOut) return;
    toast.error(title, {
      description: error.hint === undefined ? error.message : `${error.message} ${error.hint}`,
    });
  };
  return {
    start: () => start.mutate(workspace.id, { onError: complain(`${workspace.name} was not started`) }),
    stop: (onDone?: () => void) =>
      stop.mutate(workspace.id, {
        onSuccess: onDone,
        onError: complain(`${workspace.name} was not stopped`),
      }),
    remove: (onDone: () => void) =>
      remove.mutate(workspace.id, {
        onSuccess: onDone,
        onError: complain(`${workspace.name} was not deleted`),
      }),
    isStarting: start.isPending,
    isStopping: stop.isPending,
    isRemoving: remove.isPending,
  };
}
