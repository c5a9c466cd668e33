import { describe, expect, it, vi } from "vitest";

import { keys, makeQueryClient } from "@/lib/query";
import {
  checkAgainstSnapshot,
  forgetWorkspace,
  isNotOlder,
  reconciled,
  rememberWorkspace,
  takeRemoval,
} from "@/lib/workspace-cache";
import type { PhaseStatus, Workspace } from "@/lib/api/types";
import { deletedWorkspace, workspace } from "./fixtures";

/** A start whose first phase began at a time, if it has begun. */
function start(began: string, statuses: readonly PhaseStatus[]): Workspace["progress"] {
  const names = ["network", "volume"] as const;
  const phases = statuses.map((status, index) => ({
    name: names[index % names.length] ?? "network",
    status,
    started_at: status === "pending" ? null : began,
    finished_at: null,
    detail: null,
  }));
  return { phases } as Workspace["progress"];
}

const other = workspace({ id: "b7yq2m4n8rdz", name: "other" });

describe("isNotOlder", () => {
  const known = workspace({ generation: 2, updated_at: "2026-01-01T10:00:00.5Z" });
  it.each([
    ["a later change", { generation: 2, updated_at: "2026-01-01T10:00:01Z" }, true],
    ["progress within the same change", { generation: 2, updated_at: "2026-01-01T10:00:00.500Z" }, true],
    ["an earlier change", { generation: 2, updated_at: "2026-01-01T10:00:00Z" }, false],
    ["a later generation", { generation: 3, updated_at: "2026-01-01T09:00:00Z" }, true],
    ["an earlier generation", { generation: 1, updated_at: "2026-01-01T11:00:00Z" }, false],
  ])("judges %s", (_, changes, expected) => {
    expect(isNotOlder(workspace(changes), known)).toBe(expected);
  });
});

describe("isNotOlder, within one change of the row", () => {
  const at = (...statuses: PhaseStatus[]) => start("2026-01-01T10:00:00Z", statuses);
  const again = (...statuses: PhaseStatus[]) => start("2026-01-01T10:00:09Z", statuses);
  it.each([
    ["the next phase", at("done", "running"), true],
    ["more of the same phase", at("running", "pending"), true],
    ["a failed phase", at("failed", "pending"), true],
    ["a start anew, of a server that was restarted", again("pending", "pending"), false],
    ["a start anew, as soon as it has begun", again("running", "pending"), true],
    ["the phase before", at("pending", "pending"), false],
    ["no word of the start", null, false],
  ])("judges %s", (_, progress, expected) => {
    const known = workspace({ state: "starting", progress: at("running", "pending") });
    expect(isNotOlder(workspace({ state: "starting", progress }), known)).toBe(expected);
  });

  it("takes the first word of a start", () => {
    const known = workspace({ state: "starting", progress: null });
    expect(isNotOlder(workspace({ state: "starting", progress: at("running") }), known)).toBe(true);
  });
});

describe("events and the cache", () => {
  it("replaces a workspace in its place and adds a new one", () => {
    const client = makeQueryClient();
    client.setQueryData(keys.workspaces, [workspace(), other]);
    const stopped = workspace({ state: "stopped", updated_at: "2026-01-01T11:00:00Z" });
    const added = workspace({ id: "c1kq9w3x5vbn", name: "added" });
    rememberWorkspace(client, stopped);
    rememberWorkspace(client, added);
    expect(client.getQueryData(keys.workspaces)).toEqual([stopped, other, added]);
    expect(client.getQueryData(keys.workspace(stopped.id))).toEqual(stopped);
  });

  it("does not go back to what an overtaken response says", () => {
    const client = makeQueryClient();
    const running = workspace({ updated_at: "2026-01-01T11:00:00Z" });
    client.setQueryData(keys.workspaces, [running]);
    rememberWorkspace(client, running);
    rememberWorkspace(client, workspace({ state: "starting", updated_at: "2026-01-01T10:59:00Z" }));
    expect(client.getQueryData(keys.workspaces)).toEqual([running]);
    expect(client.getQueryData(keys.workspace(running.id))).toEqual(running);
  });

  it("leaves a list alone that was never asked for", () => {
    const client = makeQueryClient();
    rememberWorkspace(client, workspace());
    expect(client.getQueryData(keys.workspaces)).toBeUndefined();
  });


  it("brings a list that was fetched meanwhile up to date", () => {
    const client = makeQueryClient();
    const newer = workspace({ state: "stopping", updated_at: "2026-01-01T11:00:00Z" });
    rememberWorkspace(client, newer);
    expect(reconciled(client, [workspace(), other])).toEqual([newer, other]);
  });

  it("asks again for what a snapshot did not mention", () => {
    const client = makeQueryClient();
    client.setQueryData(keys.workspaces, [workspace(), other]);
    const invalidate = vi.spyOn(client, "invalidateQueries");
    checkAgainstSnapshot(client, new Set([workspace().id, other.id]));
    expect(invalidate).not.toHaveBeenCalled();
    checkAgainstSnapshot(client, new Set([other.id]));
    expect(invalidate.mock.calls.map(([filter]) => filter?.queryKey)).toEqual([
      keys.workspaces,
      keys.deletedWorkspaces,
      keys.workspace(workspace().id),
    ]);
  });
});

describe("what is gone", () => {
  const { id } = workspace();
  const running = workspace();
  const deleting = workspace({ state: "deleting", updated_at: "2026-01-01T12:00:00Z" });
  const restored = workspace({ state: "stopped", updated_at: "2026-01-01T12:00:01Z" });

  /** A tab that has heard of a whole deletion. */
  function deleted() {
    const client = makeQueryClient();
    client.setQueryData(keys.workspaces, [running, other]);
    rememberWorkspace(client, deleting);
    takeRemoval(client, id);
    const expectGone = (): void => {
      expect(client.getQueryData(keys.workspaces)).toEqual([other]);
      expect(client.getQueryData(keys.workspace(id))).toBeNull();
    };
    return { client, expectGone };
  }

  it.each([
    ["from before", running],
    ["as it was last known", deleting],
    ["of the same moment", workspace({ state: "stopped", updated_at: deleting.updated_at })],
    ["of another deletion", workspace({ state: "deleting", updated_at: "2026-01-01T13:00:00Z" })],
  ])("stays gone when an answer comes in %s", (_, late) => {
    const { client, expectGone } = deleted();
    rememberWorkspace(client, late);
    expectGone();
    expect(reconciled(client, [late, other])).toEqual([other]);
  });

  it("comes back when it was restored, as an event says in another tab", () => {
    const { client } = deleted();
    rememberWorkspace(client, restored);
    expect(client.getQueryData(keys.workspaces)).toEqual([other, restored]);
    expect(client.getQueryData(keys.workspace(id))).toEqual(restored);
    rememberWorkspace(client, deleting);
    expect(client.getQueryData(keys.workspace(id))).toEqual(restored);
  });

  it("comes back in a list that was fetched, and goes again as the newest that was known", () => {
    const { client, expectGone } = deleted();
    client.setQueryData(keys.workspaces, reconciled(client, [restored, other]));
    expect(client.getQueryData(keys.workspaces)).toEqual([restored, other]);
    forgetWorkspace(client, id);
    rememberWorkspace(client, restored);
    expectGone();
  });

  it("comes back whenever nothing was known of it", () => {
    const client = makeQueryClient();
    forgetWorkspace(client, id);
    expect(client.getQueryData(keys.workspace(id))).toBeNull();
    rememberWorkspace(client, running);
    expect(client.getQueryData(keys.workspace(id))).toEqual(running);
  });

  it("is asked for again when it was restored before the word of its removal arrived", () => {
    const client = makeQueryClient();
    client.setQueryData(keys.workspaces, [deleting, other]);
    rememberWorkspace(client, restored);
    const invalidate = vi.spyOn(client, "invalidateQueries");
    takeRemoval(client, id);
    expect(client.getQueryData(keys.workspaces)).toEqual([restored, other]);
    expect(invalidate.mock.calls.map(([filter]) => filter?.queryKey)).toEqual([
      keys.workspaces,
      keys.deletedWorkspaces,
      keys.workspace(id),
    ]);
  });

  it("is asked for among the deleted when it goes, and leaves them when it comes back", () => {
    const { client } = deleted();
    client.setQueryData(keys.deletedWorkspaces, [deletedWorkspace()]);
    expect(client.getQueryState(keys.deletedWorkspaces)?.isInvalidated).toBe(false);
    rememberWorkspace(client, restored);
    expect(client.getQueryData(keys.deletedWorkspaces)).toEqual([]);
    expect(client.getQueryState(keys.deletedWorkspaces)?.isInvalidated).toBe(true);

    client.setQueryData(keys.deletedWorkspaces, []);
    forgetWorkspace(client, id);
    expect(client.getQueryState(keys.deletedWorkspaces)?.isInvalidated).toBe(true);
  });

  it("leaves the deleted also in a tab that never knew it", () => {
    const client = makeQueryClient();
    client.setQueryData(keys.deletedWorkspaces, [deletedWorkspace()]);
    rememberWorkspace(client, restored);
    expect(client.getQueryData(keys.deletedWorkspaces)).toEqual([]);
  });
});
