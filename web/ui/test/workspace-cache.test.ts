import { describe, expect, it, vi } from "vitest";

import { keys, makeQueryClient } from "@/lib/query";
import {
  checkAgainstSnapshot,
  forgetWorkspace,
  isNotOlder,
  reconciled,
  rememberWorkspace,
} from "@/lib/workspace-cache";
import type { PhaseStatus, Workspace } from "@/lib/api/types";
import { workspace } from "./fixtures";

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

  it("keeps what is gone gone, whatever arrives late", () => {
    const client = makeQueryClient();
    client.setQueryData(keys.workspaces, [workspace(), other]);
    forgetWorkspace(client, workspace().id);
    rememberWorkspace(client, workspace({ updated_at: "2026-01-01T12:00:00Z" }));
    expect(client.getQueryData(keys.workspaces)).toEqual([other]);
    expect(client.getQueryData(keys.workspace(workspace().id))).toBeNull();
    expect(reconciled(client, [workspace(), other])).toEqual([other]);
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
      keys.workspace(workspace().id),
    ]);
  });
});
