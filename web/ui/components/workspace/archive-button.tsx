"use client";

import { LoaderCircle } from "lucide-react";
import { useRef, useState } from "react";

import { FormError } from "@/components/common/error-state";
import { Button } from "@/components/ui/button";
import { ConfirmDialog } from "@/components/workspace/confirm-dialog";
import { useArchive, useSnapshots } from "@/hooks/use-snapshots";
import { asApiError } from "@/lib/api/error";
import type { Snapshot, Workspace } from "@/lib/api/types";
import { progressOf } from "@/lib/snapshots";

/** Has the files of a stopped workspace put away, after a question, and says how far that is. */
export function ArchiveButton({ workspace }: { workspace: Workspace }) {
  const [isAsked, setIsAsked] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const archive = useArchive(workspace.id);
  return (
    <>
      {archive.data !== undefined ? (
        <Progress begun={archive.data} onAgain={archive.reset} />
      ) : (
        <Button ref={button} variant="ghost" size="sm" className="text-muted-foreground" onClick={() => setIsAsked(true)}>
          Archive…
        </Button>
      )}
      {archive.error !== null && <FormError error={asApiError(archive.error)} />}
      <ConfirmDialog
        title={`Archive ${workspace.name}?`}
        verb="Archive"
        isOpen={isAsked}
        onOpenChange={setIsAsked}
        onConfirm={() => archive.mutate(undefined, { onSettled: () => setIsAsked(false) })}
        isBusy={archive.isPending}
        returnFocus={() => button.current?.focus()}
      >
        Its files are put into a snapshot, compressed, and the disk space they use now is freed. When the workspace
        starts, they are put in place again; that start takes longer.
      </ConfirmDialog>
    </>
  );
}

function Progress({ begun, onAgain }: { begun: Snapshot; onAgain(): void }) {
  const { data } = useSnapshots(begun.workspace_id);
  const now = data?.snapshots.find(({ id }) => id === begun.id) ?? begun;
  const failure = now.failure ?? (now.state === "failed" ? "No reason was given." : undefined);
  if (failure !== undefined) {
    return (
      <div role="alert" className="max-w-prose text-center text-sm text-pretty">
        <p className="text-destructive [overflow-wrap:anywhere]">
          Not archived: <bdi>{failure}</bdi>
        </p>
        <Button variant="ghost" size="sm" className="mt-1 text-muted-foreground" onClick={onAgain}>
          Try again
        </Button>
      </div>
    );
  }
  const progress = now.state === "making" ? progressOf(now) : "freeing disk space";
  return (
    <div
      role="progressbar"
      aria-label="Being archived"
      aria-valuetext={progress}
      className="flex items-center gap-2 text-sm text-muted-foreground"
    >
      <LoaderCircle aria-hidden="true" className="size-4 shrink-0 animate-spin" />
      <span className="tabular-nums">Archiving · {progress}</span>
    </div>
  );
}
