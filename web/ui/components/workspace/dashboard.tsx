"use client";

import { Search, WifiOff } from "lucide-react";
import { useDeferredValue, useState } from "react";

import { ErrorState } from "@/components/common/error-state";
import { AppPage } from "@/components/shell/app-header";
import { HeaderSkeleton, SignedIn } from "@/components/shell/signed-in";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Input } from "@/components/ui/input";
import { Skeleton } from "@/components/ui/skeleton";
import { CreateDialog } from "@/components/workspace/create-dialog";
import { NoWorkspaces } from "@/components/workspace/no-workspaces";
import { RecentlyDeleted } from "@/components/workspace/recently-deleted";
import { StateAnnouncer } from "@/components/workspace/state-announcer";
import { WorkspaceRow } from "@/components/workspace/workspace-row";
import { useFeedStatus } from "@/hooks/use-events";
import { useWorkspaces } from "@/hooks/use-workspaces";
import { asApiError } from "@/lib/api/error";
import type { User, Workspace } from "@/lib/api/types";
import { byCreation, matches } from "@/lib/workspace";

/** My workspaces. */
export function Dashboard() {
  return (
    <SignedIn fallback={<DashboardSkeleton />}>
      {(user) => (
        <AppPage user={user}>
          <Workspaces user={user} />
        </AppPage>
      )}
    </SignedIn>
  );
}

function Workspaces({ user }: { user: User }) {
  const workspaces = useWorkspaces();
  const [search, setSearch] = useState("");
  const [isCreating, setIsCreating] = useState(false);
  return (
    <>
      <div className="flex min-h-9 flex-wrap items-center justify-between gap-x-4 gap-y-3">
        <h1 className="text-xl font-semibold tracking-tight">Workspaces</h1>
        <CreateDialog isOpen={isCreating} onOpenChange={setIsCreating} />
      </div>
      {workspaces.data === undefined ? (
        workspaces.error === null ? (
          <ListSkeleton />
        ) : (
          <ErrorState
            error={asApiError(workspaces.error)}
            onRetry={() => void workspaces.refetch()}
            isRetrying={workspaces.isFetching}
          />
        )
      ) : workspaces.data.length === 0 ? (
        <NoWorkspaces onCreate={() => setIsCreating(true)} />
      ) : (
        <>
          <Toolbar search={search} onSearch={setSearch} />
          <List workspaces={workspaces.data} search={search} user={user} onClear={() => setSearch("")} />
        </>
      )}
      {workspaces.data !== undefined && (
        <>
          <RecentlyDeleted />
          <StateAnnouncer workspaces={workspaces.data} />
        </>
      )}
    </>
  );
}

function Toolbar({ search, onSearch }: { search: string; onSearch(text: string): void }) {
  const isOffline = useFeedStatus() === "offline";
  return (
    <div className="mt-5 flex items-center gap-4">
      <div className="relative w-full sm:max-w-72">
        <Search
          aria-hidden="true"
          className="pointer-events-none absolute top-1/2 left-3 size-4 -translate-y-1/2 text-muted-foreground"
        />
        <Input
          type="search"
          aria-label="Search workspaces"
          placeholder="Search"
          value={search}
          onChange={(event) => onSearch(event.target.value)}
          className="pl-9"
        />
      </div>
      <p
        role="status"
        className={
          isOffline ? "ml-auto flex shrink-0 items-center gap-2 text-[0.8125rem] text-muted-foreground" : "sr-only"
        }
      >
        {isOffline && (
          <>
            <WifiOff aria-hidden="true" className="size-4" />
            <span className="max-sm:sr-only">Live updates interrupted, reconnecting</span>
          </>
        )}
      </p>
    </div>
  );
}

interface ListProps {
  workspaces: readonly Workspace[];
  search: string;
  user: User;
  onClear(): void;
}

function List({ workspaces, search, user, onClear }: ListProps) {
  const wanted = useDeferredValue(search);
  const shown = workspaces.filter((workspace) => matches(workspace, wanted)).sort(byCreation);
  if (shown.length === 0) {
    return (
      <Card className="mt-4 flex flex-col items-center px-6 py-14 text-center">
        <p className="font-medium">No workspace matches</p>
        <p className="mt-1 text-sm text-muted-foreground">Nothing found for &ldquo;{wanted}&rdquo;.</p>
        <Button variant="outline" size="sm" className="mt-4" onClick={onClear}>
          Clear search
        </Button>
      </Card>
    );
  }
  return (
    <Card className="mt-4 overflow-hidden">
      <ul aria-label="Workspaces" className="divide-y">
        {shown.map((workspace) => (
          <WorkspaceRow key={workspace.id} workspace={workspace} user={user} />
        ))}
      </ul>
    </Card>
  );
}

function ListSkeleton() {
  return (
    <div role="status" aria-label="Loading workspaces">
      <Skeleton className="mt-5 h-10 w-full sm:h-9 sm:max-w-72" />
      <Card className="mt-4 divide-y">
        {[44, 60, 52].map((width) => (
          <div key={width} className="flex h-[4.6rem] items-center justify-between px-4 sm:px-5">
            <div className="flex w-1/2 flex-col gap-2.5">
              <Skeleton className="h-4" style={{ width: `${width}%` }} />
              <Skeleton className="h-3" style={{ width: `${width + 28}%` }} />
            </div>
            <Skeleton className="h-6 w-20 rounded-full" />
          </div>
        ))}
      </Card>
    </div>
  );
}

function DashboardSkeleton() {
  return (
    <div className="min-h-dvh">
      <HeaderSkeleton />
      <div className="mx-auto w-full max-w-5xl px-4 py-8 sm:px-6 sm:py-10">
        <div className="flex min-h-9 items-center justify-between text-xl font-semibold tracking-tight">
          Workspaces
          <Skeleton className="h-9 w-36" />
        </div>
        <ListSkeleton />
      </div>
    </div>
  );
}
