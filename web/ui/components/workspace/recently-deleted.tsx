"use client";

import { ChevronRight } from "lucide-react";
import { useEffect, useId, useRef, useState } from "react";

import { TimeAgo } from "@/components/common/time-ago";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { PurgeDialog } from "@/components/workspace/confirm-dialog";
import { RepositoryLine } from "@/components/workspace/repository-line";
import { useDeletion } from "@/components/workspace/use-deletion";
import { useNow } from "@/hooks/use-now";
import { useDeletedWorkspaces } from "@/hooks/use-workspaces";
import type { DeletedWorkspace } from "@/lib/api/types";
import { fullTime, shortDate } from "@/lib/format";
import { RECENTLY_DELETED } from "@/lib/navigate";
import { cn } from "@/lib/utils";

/** Deleted workspaces that can be restored, behind one line; nothing where there are none. */
export function RecentlyDeleted() {
  const { data: deleted = [] } = useDeletedWorkspaces();
  // Shown only to who is signed in, so never while pages are exported.
  const [isWanted] = useState(() => window.location.hash === `#${RECENTLY_DELETED}`);
  const [isOpen, setIsOpen] = useState(isWanted);
  const toggle = useRef<HTMLButtonElement>(null);
  const list = useId();
  const isEmpty = deleted.length === 0;
  // The browser has looked for it before it was there.
  useEffect(() => {
    if (isWanted && !isEmpty) toggle.current?.scrollIntoView();
  }, [isWanted, isEmpty]);
  if (isEmpty) return null;

  return (
    <section id={RECENTLY_DELETED} className="mt-8">
      <h2>
        <Button
          ref={toggle}
          variant="ghost"
          size="sm"
          className="-ml-2 scroll-mt-20 px-2 text-muted-foreground"
          aria-expanded={isOpen}
          aria-controls={isOpen ? list : undefined}
          onClick={() => setIsOpen(!isOpen)}
        >
          <ChevronRight aria-hidden="true" className={cn("transition-transform", isOpen && "rotate-90")} />
          Recently deleted ({deleted.length})
        </Button>
      </h2>
      {isOpen && (
        <Card className="mt-2 overflow-hidden">
          <ul id={list} aria-label="Recently deleted" className="divide-y">
            {deleted.map((workspace) => (
              <DeletedRow key={workspace.id} workspace={workspace} onGone={() => toggle.current?.focus()} />
            ))}
          </ul>
        </Card>
      )}
    </section>
  );
}

interface DeletedRowProps {
  workspace: DeletedWorkspace;
  /** Called when the row goes and takes the keyboard's place with it. */
  onGone(): void;
}

function DeletedRow({ workspace, onGone }: DeletedRowProps) {
  const [isAsking, setIsAsking] = useState(false);
  const row = useRef<HTMLLIElement>(null);
  const purge = useRef<HTMLButtonElement>(null);
  const isPurged = useRef(false);
  const now = useNow(60_000);
  const { id, name, deleted_at, kept_until } = workspace;
  const actions = useDeletion(workspace);
  const heading = `deleted-${id}`;
  const leave = (): void => {
    const place = document.activeElement;
    if (place === document.body || row.current?.contains(place) === true) onGone();
  };
  const giveUp = (): void =>
    actions.purge(() => {
      isPurged.current = true;
      setIsAsking(false);
    });
  return (
    <li
      ref={row}
      aria-labelledby={heading}
      className="flex flex-wrap items-center justify-between gap-x-4 gap-y-2.5 px-4 py-3.5 sm:flex-nowrap sm:px-5"
    >
      <div className="min-w-0 max-sm:w-full">
        <h3 id={heading} className="truncate text-[0.9375rem] leading-6 font-medium">
          {name}
        </h3>
        <RepositoryLine workspace={workspace} />
        <p className="text-xs leading-5 text-muted-foreground">
          Deleted <TimeAgo at={deleted_at} /> · kept until{" "}
          <time dateTime={kept_until} title={fullTime(kept_until)}>
            {shortDate(kept_until, now)}
          </time>
        </p>
      </div>
      <div className="flex shrink-0 items-center gap-1.5">
        <Button
          variant="outline"
          size="sm"
          aria-label={`Restore ${name}`}
          onClick={() => actions.restore(leave)}
          isBusy={actions.isRestoring}
        >
          Restore
        </Button>
        <Button
          ref={purge}
          variant="ghost"
          size="sm"
          className="text-muted-foreground"
          aria-label={`Delete for ever: ${name}`}
          onClick={() => setIsAsking(true)}
        >
          Delete for ever
        </Button>
        <PurgeDialog
          name={name}
          isOpen={isAsking}
          onOpenChange={setIsAsking}
          onConfirm={giveUp}
          isBusy={actions.isPurging}
          returnFocus={() => (isPurged.current ? leave() : purge.current?.focus())}
        />
      </div>
    </li>
  );
}
