import { describe, expect, it, vi } from "vitest";

import { keys, makeQueryClient } from "@/lib/query";
import {
  checkAgainstSnapshot,
  forgetWorkspace,
  isNotOlder,
  reconciled,
  rememberWorkspace,
} from "@/lib/workspace-cache";
import { workspace } from "./fixtures";

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
