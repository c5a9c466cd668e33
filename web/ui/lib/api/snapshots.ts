import { api, unwrap } from "@/lib/api/client";
import type { Snapshot, Snapshots, Workspace } from "@/lib/api/types";

/** Names a snapshot: each is kept with the workspace that it was taken of. */
export type SnapshotName = Pick<Snapshot, "id" | "workspace_id">;

/** What a workspace that begins with the files of a snapshot is to be. */
export interface WorkspaceFromSnapshot extends Pick<Workspace, "name" | "size" | "egress"> {
  snapshot: { workspace_id: string; snapshot_id: string };
}

const inPath = ({ id, workspace_id }: SnapshotName) => ({ path: { id: workspace_id, snapshot: id } });

/** Returns a workspace's snapshots, the newest first. */
export function listSnapshots(id: string, signal?: AbortSignal): Promise<Snapshots> {
  return unwrap(api.GET("/api/workspaces/{id}/snapshots", { params: { path: { id } }, signal }));
}

/** Asks for a snapshot of a workspace; it is being made then. */
export function takeSnapshot(id: string, note: string): Promise<Snapshot> {
  return unwrap(api.POST("/api/workspaces/{id}/snapshots", { params: { path: { id } }, body: { note } }));
}

/** Asks for a stopped workspace to be archived. Returns the snapshot that its files are put into. */
export function archiveWorkspace(id: string): Promise<Snapshot> {
  return unwrap(api.POST("/api/workspaces/{id}/archive", { params: { path: { id } } }));
}

/** Removes a snapshot for good. */
export function deleteSnapshot(snapshot: SnapshotName): Promise<undefined> {
  return unwrap(api.DELETE("/api/workspaces/{id}/snapshots/{snapshot}", { params: inPath(snapshot) }));
}

/**
 * Asks for a workspace's files to be as in a snapshot. Returns the snapshot of the present ones,
 * which is made before; the workspace starts when it is ready.
 */
export function restoreSnapshot(snapshot: SnapshotName): Promise<Snapshot> {
  return unwrap(api.POST("/api/workspaces/{id}/snapshots/{snapshot}/restore", { params: inPath(snapshot) }));
}

/** Asks for a workspace with the files of a snapshot. With the same `idempotencyKey` a repeated request makes only one. */
export function createFromSnapshot(wish: WorkspaceFromSnapshot, idempotencyKey: string): Promise<Workspace> {
  const body = { ...wish };
  return unwrap(api.POST("/api/workspaces", { params: { header: { "Idempotency-Key": idempotencyKey } }, body }));
}

/** Returns the address that a snapshot's archive is downloaded from. */
export function snapshotContentPath({ id, workspace_id }: SnapshotName): string {
  return `/api/workspaces/${encodeURIComponent(workspace_id)}/snapshots/${encodeURIComponent(id)}/content`;
}
