"use client";

import { Camera, MoreHorizontal, Moon, Play, Square, SquareArrowOutUpRight, Sun, Timer, Trash2 } from "lucide-react";
import { memo, useRef, useState } from "react";

import { TimeAgo } from "@/components/common/time-ago";
import { SnapshotsDialog } from "@/components/snapshots/snapshots-dialog";
import { Button } from "@/components/ui/button";
import {
  DropdownMenu,
  DropdownMenuContent,
  DropdownMenuItem,
  DropdownMenuSeparator,
  DropdownMenuTrigger,
} from "@/components/ui/dropdown-menu";
import { DeleteDialog, StopDialog } from "@/components/workspace/confirm-dialog";
import { RepositoryLine } from "@/components/workspace/repository-line";
import { SleepDialog } from "@/components/workspace/sleep-dialog";
import { StatusBadge } from "@/components/workspace/status-badge";
import { useWorkspaceActions } from "@/components/workspace/use-workspace-actions";
import type { User, Workspace } from "@/lib/api/types";
import { capitalised } from "@/lib/format";
import { workspacePath } from "@/lib/navigate";
import { isWokenBy } from "@/lib/waking";
import { actionsFor, hasPrograms, isOwner } from "@/lib/workspace";

interface WorkspaceRowProps {
  workspace: Workspace;
  user: User;
}

/** One workspace in the list: what it is, how it is, and what can be done. */
export const WorkspaceRow = memo(function WorkspaceRow({ workspace, user }: WorkspaceRowProps) {
  const [isDeleting, setIsDeleting] = useState(false);
  const [isAsking, setIsAsking] = useState(false);
  const [isChanging, setIsChanging] = useState(false);
  const [isAtSnapshots, setIsAtSnapshots] = useState(false);
  const menu = useRef<HTMLButtonElement>(null);
  const actions = useWorkspaceActions(workspace);
  const can = actionsFor(workspace, user);
  const { id, name, state, failure } = workspace;
  const heading = `workspace-${id}`;

  return (
    <li
      aria-labelledby={heading}
      className="group relative grid grid-cols-[minmax(0,1fr)_auto] items-center gap-x-4 gap-y-2 px-4 py-3.5 transition-colors [contain-intrinsic-size:auto_4.5rem] [content-visibility:auto] hover:bg-accent/50 sm:grid-cols-[minmax(0,1fr)_7.5rem_9.5rem] sm:px-5"
    >
      <div className="min-w-0">
        <h2 id={heading} className="truncate text-[0.9375rem] leading-6 font-medium">
          {/* A full page load: the server finds the exported page for any id. The link covers the row. */}
          <a
            href={workspacePath(id)}
            className="outline-none after:absolute after:inset-0 focus-visible:after:rounded-xl focus-visible:after:ring-2 focus-visible:after:ring-ring focus-visible:after:ring-inset"
          >
            {name}
          </a>
        </h2>
        {state === "failed" && failure !== null && failure !== undefined ? (
          <p className="truncate text-[0.8125rem] leading-5 text-destructive" title={failure.message}>
            {failure.message}
          </p>
        ) : (
          <RepositoryLine workspace={workspace} />
        )}
      </div>
      {/* A column of its own on wide screens, a second line on phones. */}
      <div className="flex items-center gap-2.5 max-sm:order-last max-sm:col-span-2 sm:flex-col sm:items-start sm:gap-1">
        <StatusBadge workspace={workspace} />
        <p className="truncate text-xs leading-4 text-muted-foreground sm:pl-0.5">
          <TimeAgo at={workspace.since} />
          <span className="sm:hidden"> · {capitalised(workspace.size)}</span>
        </p>
      </div>
      {/* Above the link that covers the row. */}
      <div className="relative flex items-center justify-end gap-1.5">
        <span className="mr-auto truncate text-xs text-muted-foreground max-sm:hidden" title="Owner">
          {isOwner(workspace, user) ? "" : workspace.owner.name}
        </span>
        {can.start && (
          <Button variant="outline" size="sm" onClick={actions.start} isBusy={actions.isStarting} aria-label={`Start ${name}`}>
            <Play aria-hidden="true" />
            Start
          </Button>
        )}
        {can.wake && (
          <Button variant="outline" size="sm" onClick={actions.wake} isBusy={actions.isWaking} aria-label={`Wake ${name}`}>
            <Sun aria-hidden="true" />
            Wake
          </Button>
        )}
        {can.open && !can.wake && (
          <Button asChild variant="outline" size="sm">
            <a href={workspacePath(id)} aria-label={`Open ${name}`}>
              Open
            </a>
          </Button>
        )}
        <DropdownMenu>
          <DropdownMenuTrigger asChild>
            <Button
              ref={menu}
              variant="ghost"
              size="icon-sm"
              className="text-muted-foreground"
              aria-label={`More actions for ${name}`}
            >
              <MoreHorizontal aria-hidden="true" />
            </Button>
          </DropdownMenuTrigger>
          <DropdownMenuContent align="end">
            {can.open && can.wake && isWokenBy("visit", workspace) && (
              <DropdownMenuItem asChild>
                <a href={workspacePath(id)}>
                  <Sun aria-hidden="true" />
                  Wake and open
                </a>
              </DropdownMenuItem>
            )}
            {can.open && (
              <DropdownMenuItem asChild>
                <a href={workspace.url} target="_blank" rel="noreferrer">
                  <SquareArrowOutUpRight aria-hidden="true" />
                  Open in a new tab
                </a>
              </DropdownMenuItem>
            )}
            {can.pause && (
              <DropdownMenuItem disabled={actions.isPausing} onSelect={actions.pause}>
                <Moon aria-hidden="true" />
                Put to sleep
              </DropdownMenuItem>
            )}
            {can.sleep && (
              <DropdownMenuItem onSelect={() => setIsChanging(true)}>
                <Timer aria-hidden="true" />
                Sleep…
              </DropdownMenuItem>
            )}
            {can.snapshots && (
              <DropdownMenuItem onSelect={() => setIsAtSnapshots(true)}>
                <Camera aria-hidden="true" />
                Snapshots…
              </DropdownMenuItem>
            )}
            <DropdownMenuItem
              disabled={!can.stop || actions.isStopping}
              onSelect={() => (hasPrograms(workspace) ? setIsAsking(true) : actions.stop())}
            >
              <Square aria-hidden="true" />
              {hasPrograms(workspace) ? "Stop…" : "Stop"}
            </DropdownMenuItem>
            <DropdownMenuSeparator />
            <DropdownMenuItem variant="destructive" disabled={!can.delete} onSelect={() => setIsDeleting(true)}>
              <Trash2 aria-hidden="true" />
              Delete…
            </DropdownMenuItem>
          </DropdownMenuContent>
        </DropdownMenu>
        <SleepDialog
          workspace={workspace}
          isOpen={isChanging}
          onOpenChange={setIsChanging}
          returnFocus={() => menu.current?.focus()}
        />
        <SnapshotsDialog
          workspace={workspace}
          isOpen={isAtSnapshots}
          onOpenChange={setIsAtSnapshots}
          returnFocus={() => menu.current?.focus()}
        />
        <StopDialog
          name={name}
          isOpen={isAsking}
          onOpenChange={setIsAsking}
          onConfirm={() => actions.stop(() => setIsAsking(false))}
          isBusy={actions.isStopping}
          returnFocus={() => menu.current?.focus()}
        />
        <DeleteDialog
          id={id}
          name={name}
          isOpen={isDeleting}
          onOpenChange={setIsDeleting}
          onConfirm={() => actions.remove(() => setIsDeleting(false))}
          isBusy={actions.isRemoving}
          returnFocus={() => menu.current?.focus()}
        />
      </div>
    </li>
  );
});
