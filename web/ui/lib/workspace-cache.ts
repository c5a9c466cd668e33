import type { QueryClient } from "@tanstack/react-query";

import type { DeletedWorkspace, Workspace } from "@/lib/api/types";
import { keys } from "@/lib/query";

/**
 * What is kept of one workspace: the workspace, or `null` while it is known to be gone. It may be
 * restored, so what was last known of it is kept beside: what is not later than that is late.
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

/** Returns the newer of what comes in and what is known already. */
export function newest(client: QueryClient, incoming: Workspace): CachedWorkspace {
  const known = client.getQueryData<CachedWorkspace>(keys.workspace(incoming.id));
  if (known === undefined) return incoming;
  if (known === null) return isRestored(client, incoming) ? incoming : null;
  return isNotOlder(incoming, known) ? incoming : known;
}

/** Tells whether what comes in of a workspace that is gone is from after its deletion. */
function isRestored(client: QueryClient, incoming: Workspace): boolean {
  // From before, or of another deletion, which ends where this one did.
  if (incoming.state === "deleting") return false;
  const last = client.getQueryData<Workspace>(keys.lastKnown(incoming.id));
  return last === undefined || Date.parse(incoming.updated_at) > Date.parse(last.updated_at);
}

/** Returns the newest that was ever said of a workspace, gone or not. */
function lastKnown(client: QueryClient, id: string): Workspace | undefined {
  return [
    client.getQueryData<Workspace>(keys.lastKnown(id)),
    client.getQueryData<Workspace[]>(keys.workspaces)?.find((workspace) => workspace.id === id),
    client.getQueryData<CachedWorkspace>(keys.workspace(id)) ?? undefined,
  ].reduce((last, said) => {
    if (last === undefined || said === undefined) return said ?? last;
    return isNotOlder(said, last) ? said : last;
  });
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
  const { id } = incoming;
  const wasGone = client.getQueryData<CachedWorkspace>(keys.workspace(id)) === null;
  const next = newest(client, incoming);
  if (next === null) return;
  client.setQueryData<CachedWorkspace>(keys.workspace(id), next);
  client.setQueryData<Workspace[]>(keys.workspaces, (list) =>
    list === undefined ? undefined : withWorkspace(list, next),
  );
  const deleted = client.getQueryData<DeletedWorkspace[]>(keys.deletedWorkspaces);
  const wasListed = deleted?.some((workspace) => workspace.id === id) === true;
  if (!wasGone && !wasListed) return;
  if (wasListed) {
    client.setQueryData<DeletedWorkspace[]>(keys.deletedWorkspaces, (list) =>
      list?.filter((workspace) => workspace.id !== id),
    );
  }
  void client.invalidateQueries({ queryKey: keys.deletedWorkspaces });
  // A list that was asked for while it was gone does not have it.
  void client.invalidateQueries({ queryKey: keys.workspaces });
}

/** Stores that a workspace is gone, and what was last known of it. */
export function forgetWorkspace(client: QueryClient, id: string): void {
  client.setQueryData<Workspace>(keys.lastKnown(id), lastKnown(client, id));
  client.setQueryData<CachedWorkspace>(keys.workspace(id), null);
  client.setQueryData<Workspace[]>(keys.workspaces, (list) =>
    list?.filter((workspace) => workspace.id !== id),
  );
  void client.invalidateQueries({ queryKey: keys.deletedWorkspaces });
}

/**
 * Takes the word of an event that a workspace was removed. Only what is being deleted is: anything
 * else may have been restored from this page while the word was on its way, and is asked for again.
 */
export function takeRemoval(client: QueryClient, id: string): void {
  const known = lastKnown(client, id);
  if (known === undefined || known.state === "deleting") forgetWorkspace(client, id);
  else askAgain(client, [id]);
}

/** Asks again for workspaces that may have gone, and for the lists they are in, or will be. */
function askAgain(client: QueryClient, ids: readonly string[]): void {
  void client.invalidateQueries({ queryKey: keys.workspaces });
  void client.invalidateQueries({ queryKey: keys.deletedWorkspaces });
  for (const id of ids) void client.invalidateQueries({ queryKey: keys.workspace(id) });
}

/**
 * Takes the end of an event stream's opening snapshot. Whatever is shown but was not in it may
 * have gone while nobody listened: it is asked for again.
 */
export function checkAgainstSnapshot(client: QueryClient, seen: ReadonlySet<string>): void {
  const missing = (client.getQueryData<Workspace[]>(keys.workspaces) ?? []).filter(
    (workspace) => !seen.has(workspace.id),
  );
  if (missing.length > 0) askAgain(client, missing.map(({ id }) => id));
}

/** Brings a fetched list up to what events said while it was on its way. */
export function reconciled(client: QueryClient, fetched: readonly Workspace[]): Workspace[] {
  return fetched.flatMap((workspace) => newest(client, workspace) ?? []);
}
