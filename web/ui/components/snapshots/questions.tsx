"use client";

import type { ReactNode } from "react";

import { FormError } from "@/components/common/error-state";
import { TimeAgo } from "@/components/common/time-ago";
import { ConfirmDialog } from "@/components/workspace/confirm-dialog";
import { useDeleteSnapshot, useRestoreSnapshot } from "@/hooks/use-snapshots";
import { asApiError } from "@/lib/api/error";
import type { Snapshot, Workspace } from "@/lib/api/types";

interface QuestionProps {
  snapshot: Snapshot;
  isOpen: boolean;
  onOpenChange(isOpen: boolean): void;
  /** Where the keyboard's place goes when the dialog closes. */
  returnFocus(): void;
}

/** Asks before a workspace's files are replaced by those of a snapshot. */
export function RestoreQuestion({ workspace, snapshot, ...dialog }: QuestionProps & { workspace: Workspace }) {
  const restore = useRestoreSnapshot(workspace.id);
  return (
    <ConfirmDialog
      title="Restore this snapshot?"
      verb="Restore"
      {...asking(restore, snapshot, dialog)}
      details={refusal(restore.error)}
    >
      All files of {workspace.name} become those of <TimeAgo at={snapshot.created_at} />. The present files are kept as a
      snapshot of their own first. The workspace starts afterwards.
    </ConfirmDialog>
  );
}

/** Asks before a snapshot is removed. */
export function DeleteQuestion({ snapshot, ...dialog }: QuestionProps) {
  const remove = useDeleteSnapshot(snapshot.workspace_id);
  return (
    <ConfirmDialog
      title="Delete this snapshot?"
      verb="Delete"
      isDestructive
      {...asking(remove, snapshot, dialog)}
      details={refusal(remove.error)}
    >
      The snapshot of <TimeAgo at={snapshot.created_at} /> is removed from the server now. It cannot be got back. The
      workspace stays as it is.
    </ConfirmDialog>
  );
}

/** What is asked of the server once it is confirmed. */
interface Act {
  mutate(snapshot: Snapshot, then: { onSuccess(): void }): void;
  reset(): void;
  isPending: boolean;
}

function asking(act: Act, snapshot: Snapshot, { isOpen, onOpenChange, returnFocus }: Omit<QuestionProps, "snapshot">) {
  return {
    isOpen,
    onOpenChange: (isWanted: boolean) => {
      // Why it was refused the last time is not part of the next question.
      act.reset();
      onOpenChange(isWanted);
    },
    returnFocus,
    onConfirm: () => act.mutate(snapshot, { onSuccess: () => onOpenChange(false) }),
    isBusy: act.isPending,
  };
}

function refusal(error: Error | null): ReactNode {
  if (error === null) return undefined;
  return (
    <div className="px-5 pb-5 sm:px-6">
      <FormError error={asApiError(error)} />
    </div>
  );
}
