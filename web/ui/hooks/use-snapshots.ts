"use client";

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import {
  archiveWorkspace,
  createFromSnapshot,
  deleteSnapshot,
  listSnapshots,
  restoreSnapshot,
  takeSnapshot,
  type WorkspaceFromSnapshot,
} from "@/lib/api/snapshots";
import { navigate, workspacePath } from "@/lib/navigate";
import { askAgainAfter, keys } from "@/lib/query";
import { isBeingMade } from "@/lib/snapshots";
import { rememberWorkspace } from "@/lib/workspace-cache";

/** How often to look again while one is being made: of snapshots there are no events. */
const BUSY_MS = 1_000;

/** A workspace's snapshots. Looked at again and again only as long as one is being made. */
export function useSnapshots(id: string) {
  return useQuery({
    queryKey: keys.snapshots(id),
    queryFn: ({ signal }) => listSnapshots(id, signal),
    // Whoever opens them or comes back to them wants to see those there are.
    staleTime: 0,
    refetchInterval: ({ state }) => {
      if (state.status === "error") return askAgainAfter(state.error);
      return isBeingMade(state.data?.snapshots ?? []) ? BUSY_MS : false;
    },
  });
}

function useSnapshotMutation<Input, Output>(id: string, act: (input: Input) => Promise<Output>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: act,
    // Also when it failed: what is shown may be what was there before.
    onSettled: () => client.invalidateQueries({ queryKey: keys.snapshots(id) }),
  });
}

/** Takes a snapshot, with a note. */
export function useTakeSnapshot(id: string) {
  return useSnapshotMutation(id, (note: string) => takeSnapshot(id, note));
}

/** Puts a stopped workspace's files into a snapshot, and frees their place. */
export function useArchive(id: string) {
  return useSnapshotMutation(id, () => archiveWorkspace(id));
}

/** Removes a snapshot. */
export function useDeleteSnapshot(id: string) {
  return useSnapshotMutation(id, deleteSnapshot);
}

/** Brings the files of a snapshot back, once the present ones are kept. */
export function useRestoreSnapshot(id: string) {
  return useSnapshotMutation(id, restoreSnapshot);
}

/** Makes a workspace with the files of a snapshot and goes to its page. */
export function useCreateFromSnapshot() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ wish, idempotencyKey }: { wish: WorkspaceFromSnapshot; idempotencyKey: string }) =>
      createFromSnapshot(wish, idempotencyKey),
    onSuccess: (workspace) => {
      rememberWorkspace(client, workspace);
      navigate.to(workspacePath(workspace.id));
    },
  });
}
