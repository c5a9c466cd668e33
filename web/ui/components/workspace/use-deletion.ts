"use client";

import { toast } from "sonner";

import { complain } from "@/components/workspace/complain";
import { useDeleteWorkspace, usePurgeWorkspace, useRestoreWorkspace } from "@/hooks/use-workspaces";

/** For how long a deletion can be taken back from its own message. */
const UNDO_MS = 10_000;

/**
 * Delete, restore and delete for ever for one workspace, with a message of how it went.
 *
 * What shows the workspace may be gone by the time of an answer, and with it what it would have
 * heard of the answer. So the answers are waited for here.
 */
export function useDeletion({ id, name }: { id: string; name: string }) {
  const remove = useDeleteWorkspace();
  const restore = useRestoreWorkspace();
  const purge = usePurgeWorkspace();
  const message = `deleted-${id}`;

  const bringBack = (onDone?: () => void): void => {
    void restore.mutateAsync(id).then((workspace) => {
      // It offers to undo what is undone now.
      toast.dismiss(message);
      toast.success(`${workspace.name} is back`, {
        description: workspace.state === "stopping" ? "It is being stopped." : "It is stopped.",
      });
      onDone?.();
    }, complain(`${name} was not restored`));
  };

  return {
    remove: (onDone: () => void): void => {
      void remove.mutateAsync(id).then(() => {
        toast.success(`Deleted ${name}`, {
          id: message,
          duration: UNDO_MS,
          action: { label: "Undo", onClick: () => bringBack() },
        });
        onDone();
      }, complain(`${name} was not deleted`));
    },
    restore: bringBack,
    purge: (onDone: () => void): void => {
      void purge.mutateAsync(id).then(() => {
        toast.dismiss(message);
        toast.success(`Deleted ${name} for ever`);
        onDone();
      }, complain(`The files of ${name} were not removed`));
    },
    isRemoving: remove.isPending,
    isRestoring: restore.isPending,
    isPurging: purge.isPending,
  };
}
