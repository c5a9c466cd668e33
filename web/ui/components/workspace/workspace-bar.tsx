"use client";

import { Camera, ChevronLeft, Gauge, MoreHorizontal, RotateCw, Square, SquareArrowOutUpRight } from "lucide-react";
import { useRef, useState, type RefObject } from "react";

import { Mark } from "@/components/shell/logo";
import { UserMenu } from "@/components/shell/user-menu";
import { SharingDialog } from "@/components/sharing/sharing-dialog";
import { SnapshotsDialog } from "@/components/snapshots/snapshots-dialog";
import { Button } from "@/components/ui/button";
import { DropdownMenu, DropdownMenuContent, DropdownMenuItem, DropdownMenuTrigger } from "@/components/ui/dropdown-menu";
import { Skeleton } from "@/components/ui/skeleton";
import { Tooltip } from "@/components/ui/tooltip";
import { Resources } from "@/components/figures/resources";
import { StopDialog } from "@/components/workspace/confirm-dialog";
import { SleepDialog } from "@/components/workspace/sleep-dialog";
import { SleepPopover } from "@/components/workspace/sleep-popover";
import { StatusBadge } from "@/components/workspace/status-badge";
import { useWorkspaceActions } from "@/components/workspace/use-workspace-actions";
import type { User, Workspace } from "@/lib/api/types";
import { actionsFor, hasPrograms, isOwner } from "@/lib/workspace";

const barClasses = "flex h-12 shrink-0 items-center gap-2 border-b bg-card px-2 sm:gap-3 sm:px-3";

interface WorkspaceBarProps {
  workspace: Workspace;
  user: User;
  /** Loads the editor's frame again, where one is shown. */
  onReloadEditor?: () => void;
}

/** The thin bar above the editor. */
export function WorkspaceBar(props: WorkspaceBarProps) {
  const { workspace, user } = props;
  return (
    <header className={barClasses}>
      <BackLink />
      <p className="min-w-0 truncate text-sm font-medium" title={workspace.name}>
        {workspace.name}
      </p>
      <BarState workspace={workspace} user={user} />
      <div className="ml-auto flex items-center gap-1">
        <BarActions {...props} />
        <UserMenu user={user} />
      </div>
    </header>
  );
}

/** How the workspace is, and where its owner says when it sleeps. */
function BarState({ workspace, user }: { workspace: Workspace; user: User }) {
  const [isChanging, setIsChanging] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  return (
    <>
      {hasPrograms(workspace) ? (
        <SleepPopover workspace={workspace} user={user} ref={button} onChange={() => setIsChanging(true)} />
      ) : (
        <StatusBadge workspace={workspace} />
      )}
      {/* Beside it: what is being chosen stays when the workspace is stopped meanwhile. */}
      <SleepDialog
        workspace={workspace}
        isOpen={isChanging}
        onOpenChange={setIsChanging}
        returnFocus={() => button.current?.focus()}
      />
    </>
  );
}

function BarActions({ workspace, user, onReloadEditor }: WorkspaceBarProps) {
  const actions = useWorkspaceActions(workspace);
  const [isAsking, setIsAsking] = useState(false);
  const [isAtResources, setIsAtResources] = useState(false);
  const menu = useRef<HTMLButtonElement>(null);
  const stop = useRef<HTMLButtonElement>(null);
  const can = actionsFor(workspace, user);
  return (
    <>
      <Resources
        workspace={workspace}
        isOpen={isAtResources}
        onOpenChange={setIsAtResources}
        returnFocus={can.snapshots ? () => menu.current?.focus() : undefined}
      />
      {isOwner(workspace, user) && workspace.state !== "deleting" && <SharingDialog workspace={workspace} />}
      {onReloadEditor !== undefined && (
        <Tooltip label="Reload the editor">
          <Button
            variant="ghost"
            size="icon-sm"
            className="text-muted-foreground max-sm:hidden"
            onClick={onReloadEditor}
            aria-label="Reload the editor"
          >
            <RotateCw aria-hidden="true" />
          </Button>
        </Tooltip>
      )}
      {can.open && (
        <Tooltip label="Open in a tab of its own">
          <Button asChild variant="ghost" size="icon-sm" className="text-muted-foreground max-sm:hidden">
            <a href={workspace.url} target="_blank" rel="noreferrer" aria-label="Open in a new tab">
              <SquareArrowOutUpRight aria-hidden="true" />
            </a>
          </Button>
        </Tooltip>
      )}
      {can.stop && (
        <Button
          variant="ghost"
          size="sm"
          className="text-muted-foreground max-sm:w-8 max-sm:px-0"
          ref={stop}
          onClick={() => (hasPrograms(workspace) ? setIsAsking(true) : actions.stop())}
          isBusy={actions.isStopping}
          aria-label="Stop workspace"
        >
          <Square aria-hidden="true" />
          <span className="max-sm:sr-only">Stop</span>
        </Button>
      )}
      <BarMenu
        workspace={workspace}
        user={user}
        onReloadEditor={onReloadEditor}
        menu={menu}
        onResources={() => setIsAtResources(true)}
      />
      <StopDialog
        name={workspace.name}
        isOpen={isAsking}
        onOpenChange={setIsAsking}
        onConfirm={() => actions.stop(() => setIsAsking(false))}
        isBusy={actions.isStopping}
        returnFocus={() => stop.current?.focus()}
      />
    </>
  );
}

interface BarMenuProps extends WorkspaceBarProps {
  /** Its button. */
  menu: RefObject<HTMLButtonElement | null>;
  /** Opens what the workspace uses. */
  onResources(): void;
}

/** What is asked for less often; on phones also what the bar has no room for. */
function BarMenu({ workspace, user, onReloadEditor, menu, onResources }: BarMenuProps) {
  const [isAtSnapshots, setIsAtSnapshots] = useState(false);
  const can = actionsFor(workspace, user);
  return (
    <>
      {can.snapshots && (
        <DropdownMenu>
          <DropdownMenuTrigger asChild>
            <Button
              ref={menu}
              variant="ghost"
              size="icon-sm"
              className="text-muted-foreground"
              aria-label={`More actions for ${workspace.name}`}
            >
              <MoreHorizontal aria-hidden="true" />
            </Button>
          </DropdownMenuTrigger>
          <DropdownMenuContent align="end">
            {onReloadEditor !== undefined && (
              <DropdownMenuItem className="sm:hidden" onSelect={onReloadEditor}>
                <RotateCw aria-hidden="true" />
                Reload the editor
              </DropdownMenuItem>
            )}
            {can.open && (
              <DropdownMenuItem asChild className="sm:hidden">
                <a href={workspace.url} target="_blank" rel="noreferrer">
                  <SquareArrowOutUpRight aria-hidden="true" />
                  Open in a new tab
                </a>
              </DropdownMenuItem>
            )}
            <DropdownMenuItem className="sm:hidden" onSelect={onResources}>
              <Gauge aria-hidden="true" />
              Resources
            </DropdownMenuItem>
            <DropdownMenuItem onSelect={() => setIsAtSnapshots(true)}>
              <Camera aria-hidden="true" />
              Snapshots…
            </DropdownMenuItem>
          </DropdownMenuContent>
        </DropdownMenu>
      )}
      {/* Beside it: what is shown stays when the workspace goes to another state meanwhile. */}
      <SnapshotsDialog
        workspace={workspace}
        isOpen={isAtSnapshots}
        onOpenChange={setIsAtSnapshots}
        returnFocus={() => menu.current?.focus()}
      />
    </>
  );
}

/** The bar's place while it is not known what stands in it. */
export function BarSkeleton() {
  return (
    <div className={barClasses}>
      <BackLink />
      <Skeleton className="h-4 w-32" />
      <Skeleton className="ml-auto size-7 rounded-full" />
    </div>
  );
}

/** The bar where there is no workspace to speak of. */
export function BareBar({ user }: { user: User }) {
  return (
    <header className={barClasses}>
      <BackLink />
      <div className="ml-auto">
        <UserMenu user={user} />
      </div>
    </header>
  );
}

function BackLink() {
  return (
    // A full page load, so that nothing of the editor stays behind.
    <a
      href="/dashboard"
      aria-label="Back to workspaces"
      className="flex h-8 items-center gap-0.5 rounded-md pr-2 pl-1 text-muted-foreground transition-colors outline-none hover:bg-accent hover:text-foreground focus-visible:ring-2 focus-visible:ring-ring"
    >
      <ChevronLeft aria-hidden="true" className="size-4" />
      <Mark className="size-[1.05rem]" />
    </a>
  );
}
