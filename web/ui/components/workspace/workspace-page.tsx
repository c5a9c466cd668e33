"use client";

import { Archive, CircleAlert, Lock, Play, Power, Trash2 } from "lucide-react";
import Link from "next/link";
import { useEffect, useState, useSyncExternalStore, type ReactNode } from "react";

import { ErrorState } from "@/components/common/error-state";
import { SignedIn } from "@/components/shell/signed-in";
import { Button } from "@/components/ui/button";
import { Skeleton } from "@/components/ui/skeleton";
import { ArchiveButton } from "@/components/workspace/archive-button";
import { OthersAsleep } from "@/components/workspace/asleep";
import { Editor } from "@/components/workspace/editor-frame";
import { LogPanel } from "@/components/workspace/log-panel";
import { RepositoryLine } from "@/components/workspace/repository-line";
import { RoundIcon, Spinner, Stage } from "@/components/workspace/stage";
import { StartProgress } from "@/components/workspace/start-progress";
import { StateAnnouncer } from "@/components/workspace/state-announcer";
import { useDeletion } from "@/components/workspace/use-deletion";
import { useWorkspaceActions } from "@/components/workspace/use-workspace-actions";
import { BareBar, BarSkeleton, WorkspaceBar } from "@/components/workspace/workspace-bar";
import { useWake, useWakeOnVisit, type Wake } from "@/hooks/use-wake";
import { useDeletedWorkspaces, useWorkspace } from "@/hooks/use-workspaces";
import { asApiError } from "@/lib/api/error";
import type { User, Workspace } from "@/lib/api/types";
import { RECENTLY_DELETED, workspaceIdFromPath } from "@/lib/navigate";
import { isWokenBy } from "@/lib/waking";
import { actionsFor, CAN_BE_RESTORED, isOwner } from "@/lib/workspace";

const never = (): (() => void) => () => undefined;

/**
 * One workspace. A single page is exported for all of them, so the id is read from the address,
 * which only the browser knows.
 */
export function WorkspacePage() {
  const id = useSyncExternalStore<string | null>(
    never,
    () => workspaceIdFromPath(window.location.pathname) ?? null,
    () => null,
  );
  if (id === null) return <PageSkeleton />;
  return (
    <SignedIn fallback={<PageSkeleton />}>
      {(user) => <WorkspaceView key={id} id={id} user={user} />}
    </SignedIn>
  );
}

function WorkspaceView({ id, user }: { id: string; user: User }) {
  const { data: workspace, error, refetch, isFetching } = useWorkspace(id);
  useTitle(workspace?.name);

  if (workspace === undefined) {
    if (error === null) return <PageSkeleton />;
    const failure = asApiError(error);
    return (
      <Frame bar={<BareBar user={user} />}>
        {failure.status === 404 || failure.status === 400 ? (
          <NotFound id={id} />
        ) : (
          <ErrorState error={failure} onRetry={() => void refetch()} isRetrying={isFetching} />
        )}
      </Frame>
    );
  }
  if (workspace === null) {
    return (
      <Frame bar={<BareBar user={user} />}>
        <Gone id={id} />
      </Frame>
    );
  }
  return <Known workspace={workspace} user={user} />;
}

/** Shown from the first sight of the workspace for as long as it is there: one visit to it. */
function Known({ workspace, user }: { workspace: Workspace; user: User }) {
  const [reloads, setReloads] = useState(0);
  const wake = useWake(workspace);
  useWakeOnVisit(wake, actionsFor(workspace, user).wake && isWokenBy("visit", workspace));
  // A frame whose files did not arrive, because the network changed under it, stays blank for ever.
  const hasEditor = workspace.state === "running" && isOwner(workspace, user);
  const onReloadEditor = hasEditor ? () => setReloads((count) => count + 1) : undefined;
  return (
    <Frame bar={<WorkspaceBar workspace={workspace} user={user} onReloadEditor={onReloadEditor} />}>
      <StateAnnouncer workspaces={[workspace]} />
      <Content key={reloads} workspace={workspace} user={user} wake={wake} />
    </Frame>
  );
}

function Content({ workspace, user, wake }: { workspace: Workspace; user: User; wake: Wake }) {
  switch (workspace.state) {
    case "running":
    case "paused":
      // One place for both, so that the editor's frame stays through every sleep.
      if (isOwner(workspace, user)) return <Editor workspace={workspace} wake={wake} />;
      return workspace.state === "running" ? <OthersWorkspace workspace={workspace} /> : <OthersAsleep workspace={workspace} />;
    case "starting":
      return <Starting workspace={workspace} />;
    case "failed":
      return <Failed workspace={workspace} user={user} />;
    case "stopped":
      return <Stopped workspace={workspace} user={user} />;
    case "stopping":
      return <Stage icon={<Spinner />} title={`Stopping ${workspace.name}`} text="Programs in it are asked to end. Its files stay." />;
    case "deleting":
      return <Stage icon={<Spinner />} title={`Deleting ${workspace.name}`} text={`Its container is being removed. ${CAN_BE_RESTORED}`} />;
  }
}

function Starting({ workspace }: { workspace: Workspace }) {
  return (
    <Column>
      <h1 className="text-xl font-semibold tracking-tight [overflow-wrap:anywhere]">Starting {workspace.name}</h1>
      <RepositoryLine workspace={workspace} className="mt-1.5" />
      <div className="mt-8">
        <StartProgress workspace={workspace} />
      </div>
      <LogPanel id={workspace.id} generation={workspace.generation} isFollowing className="mt-4" />
    </Column>
  );
}

function Failed({ workspace, user }: { workspace: Workspace; user: User }) {
  const actions = useWorkspaceActions(workspace);
  const failure = workspace.failure ?? undefined;
  return (
    <Column>
      <div role="alert" className="flex items-start gap-4">
        <span className="grid size-10 shrink-0 place-items-center rounded-full bg-destructive-surface text-destructive">
          <CircleAlert aria-hidden="true" className="size-5" />
        </span>
        <div className="min-w-0">
          <h1 className="text-xl font-semibold tracking-tight [overflow-wrap:anywhere]">{workspace.name} failed</h1>
          <p className="mt-1.5 leading-relaxed break-words text-pretty">
            {failure?.message ?? "The workspace ended and gave no reason."}
          </p>
          {failure?.hint !== undefined && failure.hint !== null && (
            <p className="mt-1 text-[0.9375rem] leading-relaxed text-pretty text-muted-foreground">{failure.hint}</p>
          )}
          {failure !== undefined && (
            <p className="mt-1.5">
              <code className="font-mono text-xs text-muted-foreground">{failure.code}</code>
            </p>
          )}
          {isOwner(workspace, user) && (
            <Button className="mt-5" onClick={actions.start} isBusy={actions.isStarting}>
              Retry
            </Button>
          )}
        </div>
      </div>
      {workspace.progress !== null && workspace.progress !== undefined && (
        <div className="mt-9">
          <StartProgress workspace={workspace} />
        </div>
      )}
      <LogPanel id={workspace.id} generation={workspace.generation} isFollowing={false} className="mt-6" />
    </Column>
  );
}

function Stopped({ workspace, user }: { workspace: Workspace; user: User }) {
  const actions = useWorkspaceActions(workspace);
  return (
    <Stage
      icon={<RoundIcon Icon={workspace.is_archived ? Archive : Power} />}
      title={`${workspace.name} is ${workspace.is_archived ? "archived" : "stopped"}`}
      text={isOwner(workspace, user) ? whatIsLeft(workspace) : `Only its owner, ${workspace.owner.name}, can start it.`}
    >
      {isOwner(workspace, user) && (
        <div className="flex flex-col items-center gap-3">
          <Button size="lg" onClick={actions.start} isBusy={actions.isStarting}>
            <Play aria-hidden="true" />
            Start
          </Button>
          {actionsFor(workspace, user).archive && <ArchiveButton workspace={workspace} />}
        </div>
      )}
    </Stage>
  );
}

function whatIsLeft(workspace: Workspace): string {
  return workspace.is_archived
    ? "Its files are kept in a snapshot, compressed. Start it, and they are put in place; with many files that takes a while."
    : "It uses no memory and no processor now. Its files are on the server, as you left them.";
}

function OthersWorkspace({ workspace }: { workspace: Workspace }) {
  return (
    <Stage
      icon={<RoundIcon Icon={Lock} />}
      title={`${workspace.name} belongs to ${workspace.owner.name}`}
      text="What is in a workspace is its owner's. As an administrator you can see it, stop it and delete it, but not enter it."
    />
  );
}

function NotFound({ id }: { id: string }) {
  const deleted = useDeletedWorkspaces();
  if (deleted.isPending) return <div className="flex-1" />;
  if (deleted.data?.some((workspace) => workspace.id === id) === true) return <Gone id={id} />;
  return (
    <Stage
      title="There is no such workspace"
      text="It does not exist, or it belongs to somebody else. Both look the same from here."
    >
      <ToDashboard />
    </Stage>
  );
}

function Gone({ id }: { id: string }) {
  const actions = useDeletion({ id, name: "The workspace" });
  return (
    <Stage
      icon={<RoundIcon Icon={Trash2} />}
      title="This workspace was deleted"
      text={CAN_BE_RESTORED}
    >
      <Button onClick={() => actions.restore()} isBusy={actions.isRestoring}>
        Restore
      </Button>
      <Button asChild variant="outline">
        {/* A full page load: the list looks at the address once, and is open then. */}
        <a href={`/dashboard#${RECENTLY_DELETED}`}>Recently deleted</a>
      </Button>
    </Stage>
  );
}

function ToDashboard() {
  return (
    <Button asChild>
      <Link href="/dashboard">To my workspaces</Link>
    </Button>
  );
}

function Column({ children }: { children: ReactNode }) {
  return (
    <div className="flex-1 overflow-y-auto">
      <div className="mx-auto w-full max-w-2xl px-4 py-10 sm:px-6 sm:py-14">{children}</div>
    </div>
  );
}

function Frame({ bar, children }: { bar: ReactNode; children: ReactNode }) {
  return (
    <div data-fills-page className="flex h-dvh flex-col">
      {bar}
      <main className="flex min-h-0 flex-1 flex-col">{children}</main>
    </div>
  );
}

function PageSkeleton() {
  return (
    <Frame bar={<BarSkeleton />}>
      <div role="status" aria-label="Loading the workspace" className="mx-auto w-full max-w-2xl px-4 py-10 sm:px-6 sm:py-14">
        <Skeleton className="h-7 w-56" />
        <Skeleton className="mt-3 h-4 w-72 max-w-full" />
      </div>
    </Frame>
  );
}

function useTitle(name: string | undefined): void {
  useEffect(() => {
    if (name !== undefined) document.title = `${name} · Kalpana`;
  }, [name]);
}
