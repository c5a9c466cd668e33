"use client";

import { ErrorState, FormError } from "@/components/common/error-state";
import { SnapshotAnnouncer } from "@/components/snapshots/snapshot-announcer";
import { SnapshotList } from "@/components/snapshots/snapshot-list";
import { TakeForm } from "@/components/snapshots/take-form";
import {
  Dialog,
  DialogBody,
  DialogContent,
  DialogDescription,
  DialogHeader,
  DialogTitle,
} from "@/components/ui/dialog";
import { Skeleton } from "@/components/ui/skeleton";
import { useSnapshots } from "@/hooks/use-snapshots";
import { asApiError } from "@/lib/api/error";
import type { Workspace } from "@/lib/api/types";
import { isBeingMade } from "@/lib/snapshots";

interface SnapshotsDialogProps {
  workspace: Workspace;
  isOpen: boolean;
  onOpenChange(isOpen: boolean): void;
  /** Where the keyboard's place goes when the dialog closes. */
  returnFocus(): void;
}

/** Shows a workspace's owner its snapshots, and takes them. */
export function SnapshotsDialog({ workspace, isOpen, onOpenChange, returnFocus }: SnapshotsDialogProps) {
  return (
    <Dialog open={isOpen} onOpenChange={onOpenChange}>
      <DialogContent
        className="sm:max-w-2xl"
        onCloseAutoFocus={(event) => {
          event.preventDefault();
          returnFocus();
        }}
      >
        <DialogHeader>
          <DialogTitle className="[overflow-wrap:anywhere]">Snapshots of {workspace.name}</DialogTitle>
          <DialogDescription>
            Go back to the files of an earlier moment, or begin another workspace with them.
          </DialogDescription>
        </DialogHeader>
        <DialogBody>
          <Panel workspace={workspace} />
        </DialogBody>
      </DialogContent>
    </Dialog>
  );
}

/** Looks for them only while it is shown. */
function Panel({ workspace }: { workspace: Workspace }) {
  const { data, error, refetch, isFetching } = useSnapshots(workspace.id);
  if (data === undefined && error !== null) {
    return <ErrorState error={asApiError(error)} onRetry={() => void refetch()} isRetrying={isFetching} />;
  }
  return (
    <>
      <TakeForm workspace={workspace} isMaking={isBeingMade(data?.snapshots ?? [])} />
      {data === undefined ? (
        <div role="status" aria-label="Loading snapshots" className="mt-5">
          <Skeleton className="h-24 w-full rounded-xl" />
        </div>
      ) : (
        <div className="mt-5 flex flex-col gap-3">
          {error !== null && <FormError error={asApiError(error)} />}
          <SnapshotList workspace={workspace} found={data} />
          <SnapshotAnnouncer snapshots={data.snapshots} />
        </div>
      )}
    </>
  );
}
