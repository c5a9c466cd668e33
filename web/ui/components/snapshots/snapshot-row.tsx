"use client";

import { LoaderCircle } from "lucide-react";
import { useId, useRef, useState, type MouseEvent } from "react";

import { TimeAgo } from "@/components/common/time-ago";
import { NewFromSnapshot } from "@/components/snapshots/new-from-snapshot";
import { DeleteQuestion, RestoreQuestion } from "@/components/snapshots/questions";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { snapshotContentPath } from "@/lib/api/snapshots";
import type { Snapshot, Workspace } from "@/lib/api/types";
import { contentOf, KIND_WORDS, progressOf } from "@/lib/snapshots";

/** What is asked before something is done with a snapshot. */
type Question = "restore" | "new" | "delete";

interface SnapshotRowProps {
  workspace: Workspace;
  snapshot: Snapshot;
  /** Why none can be restored at the moment. */
  obstacle: string | undefined;
  /** Called when the keyboard's place cannot go back to where it was. */
  onFocusLost(): void;
}

/** One snapshot: of when it is and why, how it is, and what can be done with it. */
export function SnapshotRow({ workspace, snapshot, obstacle, onFocusLost }: SnapshotRowProps) {
  const heading = useId();
  const { state, kind, note, created_at } = snapshot;
  return (
    <li aria-labelledby={heading} className="px-4 py-3.5">
      <div className="flex flex-wrap items-center gap-x-2.5 gap-y-1">
        <h3 id={heading} className="text-sm leading-6 font-medium first-letter:uppercase">
          <TimeAgo at={created_at} />
          <span className="font-normal text-muted-foreground">, {KIND_WORDS[kind]}</span>
        </h3>
        {state === "failed" && <Badge variant="destructive">Failed</Badge>}
      </div>
      {note !== "" && (
        <p className="text-sm leading-6 [overflow-wrap:anywhere]">
          <bdi>{note}</bdi>
        </p>
      )}
      {state === "making" && <Making snapshot={snapshot} />}
      {state === "ready" && (
        <p className="text-[0.8125rem] leading-5 text-muted-foreground tabular-nums">{contentOf(snapshot)}</p>
      )}
      {/* One that is whole can tell as well why a workspace did not get its files. */}
      {(state === "failed" || (state === "ready" && hasReason(snapshot))) && <Failure snapshot={snapshot} />}
      {/* Not one that is being made: that can neither be used nor deleted. */}
      {state !== "making" && (
        <Actions
          workspace={workspace}
          snapshot={snapshot}
          obstacle={obstacle}
          onFocusLost={onFocusLost}
          heading={heading}
        />
      )}
    </li>
  );
}

function Making({ snapshot }: { snapshot: Snapshot }) {
  const progress = progressOf(snapshot);
  return (
    <>
      <div
        role="progressbar"
        aria-label="Being made"
        aria-valuetext={progress}
        className="mt-0.5 flex items-center gap-2 text-[0.8125rem] leading-5 text-warning"
      >
        <LoaderCircle aria-hidden="true" className="size-4 shrink-0 animate-spin" />
        <span className="tabular-nums">Being made · {progress}</span>
      </div>
      {snapshot.kind === "before_restore" && (
        <p className="mt-0.5 text-[0.8125rem] leading-5 text-pretty text-muted-foreground">
          When it is ready, the workspace starts with the files that are restored.
        </p>
      )}
    </>
  );
}

function hasReason({ failure }: Snapshot): boolean {
  return failure !== null && failure !== undefined && failure !== "";
}

function Failure({ snapshot: { kind, state, failure } }: { snapshot: Snapshot }) {
  return (
    <p className="text-[0.8125rem] leading-5 text-pretty text-destructive [overflow-wrap:anywhere]">
      {kind === "before_restore" && state === "failed" && "Nothing was restored, and no file was changed. "}
      <bdi>{failure ?? "No reason was given."}</bdi>
    </p>
  );
}

function Actions({ workspace, snapshot, obstacle, onFocusLost, heading }: SnapshotRowProps & { heading: string }) {
  const [asked, setAsked] = useState<Question>();
  const opener = useRef<HTMLElement>(null);
  const reason = useId();
  const isReady = snapshot.state === "ready";
  const ask = (question: Question, { currentTarget }: MouseEvent<HTMLElement>): void => {
    opener.current = currentTarget;
    setAsked(question);
  };
  const returnFocus = (): void => {
    opener.current?.focus();
    // It is gone with its row, or cannot be pressed any more.
    if (document.activeElement !== opener.current) onFocusLost();
  };
  const dialog = (question: Question) => ({
    isOpen: asked === question,
    onOpenChange: (isOpen: boolean) => setAsked(isOpen ? question : undefined),
  });
  return (
    <div className="mt-2.5 flex flex-wrap items-center gap-1.5">
      {isReady && (
        <>
          <Button
            variant="outline"
            size="sm"
            disabled={obstacle !== undefined}
            aria-describedby={obstacle === undefined ? heading : `${heading} ${reason}`}
            onClick={(event) => ask("restore", event)}
          >
            Restore…
          </Button>
          <Button
            variant="outline"
            size="sm"
            aria-describedby={heading}
            onClick={(event) => ask("new", event)}
          >
            New workspace…
          </Button>
          <Button asChild variant="outline" size="sm">
            {/* Not a way to another page: what is answered is kept as a file. */}
            <a href={snapshotContentPath(snapshot)} download aria-describedby={heading}>
              Download
            </a>
          </Button>
        </>
      )}
      <Button
        variant="ghost"
        size="sm"
        className="text-muted-foreground"
        aria-describedby={heading}
        onClick={(event) => ask("delete", event)}
      >
        Delete…
      </Button>
      {isReady && obstacle !== undefined && (
        <p id={reason} className="w-full text-xs leading-5 text-muted-foreground">
          {obstacle}
        </p>
      )}
      <RestoreQuestion workspace={workspace} snapshot={snapshot} {...dialog("restore")} returnFocus={returnFocus} />
      <NewFromSnapshot workspace={workspace} snapshot={snapshot} {...dialog("new")} returnFocus={returnFocus} />
      <DeleteQuestion snapshot={snapshot} {...dialog("delete")} returnFocus={returnFocus} />
    </div>
  );
}
