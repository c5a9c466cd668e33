import type { QueryClient } from "@tanstack/react-query";

import type { Workspace } from "@/lib/api/types";
import { keys } from "@/lib/query";

/**
 * What is kept of one workspace: the workspace, or `null` once it is known to be gone. Ids are
 * never used again, so gone stays gone.
 */
export type CachedWorkspace = Workspace | null;

/** Tells whether `incoming` says something at least as new as `known`. */
export function isNotOlder(incoming: Workspace, known: Workspace): boolean {
  if (incoming.generation !== known.generation) return incoming.generation > known.generation;
  const [now, before] = [Date.parse(incoming.updated_at), Date.parse(known.updated_at)];
  // Progress within one state need not touch `updated_at`: an answer that an event has overtaken is
  // told by how far it says the start has come.
  return now === before ? !isFurther(known.progress, incoming.progress) : !(now < before);
}

/** Tells whether `one` is further in the same walk through the phases of a start, or in a later one. */
function isFurther(one: Workspace["progress"], other: Workspace["progress"]): boolean {
  if (!one || !other) return Boolean(one) && !other;
  // Whoever makes workspaces begins anew with the phases when they are restarted themselves.
  const [began, otherBegan] = [beganAt(one), beganAt(other)];
  if (began !== undefined && otherBegan !== undefined && began !== otherBegan) return began > otherBegan;
  return stepsOf(one) > stepsOf(other);
}

type Progress = NonNullable<Workspace["progress"]>;

function beganAt({ phases }: Progress): number | undefined {
  const began = phases.map(({ started_at }) => Date.parse(started_at ?? "")).filter(Number.isFinite);
  return began.length === 0 ? undefined : Math.min(...began);
}

function stepsOf({ phases }: Progress): number {
  const steps = { pending: 0, running: 1, done: 2, failed: 2 } as const;
  return phases.reduce((sum, { status }) => sum + steps[status], 0);
}

/** Returns the newer of what was fetched and what events said meanwhile. */
export function newest(fetched: Workspace, known: CachedWorkspace | undefined): CachedWorkspace {
  if (known === undefined) return fetched;
  if (known === null) return null;
  return isNotOlder(fetched, known) ? fetched : known;
}

/** Returns a list with `incoming` in place of the older one, or added. */
export function withWorkspace(list: readonly Workspace[], incoming: Workspace): Workspace[] {
  const index = list.findIndex((workspace) => workspace.id === incoming.id);
  if (index === -1) return [...list, incoming];
  const known = list[index] as Workspace;
  return isNotOlder(incoming, known) ? list.with(index, incoming) : [...list];
}

/** Stores what a response or an event said about one workspace. */
export function rememberWorkspace(client: QueryClient, incoming: Workspace): void {
  if (client.getQueryData<CachedWorkspace>(keys.workspace(incoming.id)) === null) return;
  client.setQueryData<CachedWorkspace>(keys.workspace(incoming.id), (known) =>
    newest(incoming, known),
  );
  client.setQueryData<Workspace[]>(keys.workspaces, (list) =>
    list === undefined ? undefined : withWorkspace(list, incoming),
  );
}

/** Stores that a workspace is gone. */
export function forgetWorkspace(client: QueryClient, id: string): void {
  client.setQueryData<CachedWorkspace>(keys.workspace(id), null);
  client.setQueryData<Workspace[]>(keys.workspaces, (list) =>
    list?.filter((workspace) => workspace.id !== id),
  );
}

/**
 * Takes the end of an event stream's opening snapshot. Whatever is shown but was not in it may
 * have gone while nobody listened: it is asked for again.
 */
export function checkAgainstSnapshot(client: QueryClient, seen: ReadonlySet<string>): void {
  const missing = (client.getQueryData<Workspace[]>(keys.workspaces) ?? []).filter(
    (workspace) => !seen.has(workspace.id),
  );
  if (missing.length === 0) return;
  void client.invalidateQueries({ queryKey: keys.workspaces });
  for (const { id } of missing) void client.invalidateQueries({ queryKey: keys.workspace(id) });
}

/** Brings a fetched list up to what events said while it was on its way. */
export function reconciled(client: QueryClient, fetched: readonly Workspace[]): Workspace[] {
  return fetched.flatMap(
    (workspace) =>
      newest(workspace, client.getQueryData<CachedWorkspace>(keys.workspace(workspace.id))) ?? [],
  );
}
