import { api, unwrap } from "@/lib/api/client";
import { everyPage } from "@/lib/api/pages";
import type { DeletedWorkspace, Sleep, Workspace, WorkspaceActivity, WorkspaceWork } from "@/lib/api/types";

/** What a person fills in to get a workspace. Empty texts mean "not given". */
export interface NewWorkspace {
  name: string;
  repository: string;
  branch: string;
  size: string;
}

/** Returns every workspace the signed-in person may see. */
export function listWorkspaces(signal?: AbortSignal): Promise<Workspace[]> {
  return everyPage(async (query) => {
    const page = await unwrap(api.GET("/api/workspaces", { params: { query }, signal }));
    return { items: page.workspaces, next: page.next_cursor };
  });
}

/** Returns one workspace. */
export function getWorkspace(id: string, signal?: AbortSignal): Promise<Workspace> {
  return unwrap(api.GET("/api/workspaces/{id}", { params: { path: { id } }, signal }));
}

/** Asks for a workspace. With the same `idempotencyKey` a repeated request makes only one. */
export function createWorkspace(wish: NewWorkspace, idempotencyKey: string): Promise<Workspace> {
  return unwrap(
    api.POST("/api/workspaces", {
      params: { header: { "Idempotency-Key": idempotencyKey } },
      body: {
        name: wish.name,
        size: wish.size as Workspace["size"],
        ...(wish.repository === "" ? {} : { repository: wish.repository }),
        ...(wish.branch === "" ? {} : { branch: wish.branch }),
      },
    }),
  );
}

/** Asks for a workspace to run: to start, or to wake. */
export function startWorkspace(id: string): Promise<Workspace> {
  return unwrap(api.POST("/api/workspaces/{id}/start", { params: { path: { id } } }));
}

/** Asks for a workspace to be put to sleep: its programs stay in memory, frozen. */
export function pauseWorkspace(id: string): Promise<Workspace> {
  return unwrap(api.POST("/api/workspaces/{id}/pause", { params: { path: { id } } }));
}

/** Says how a workspace sleeps from now on. */
export function setSleep(id: string, sleep: Sleep): Promise<Workspace> {
  return unwrap(api.PUT("/api/workspaces/{id}/sleep", { params: { path: { id } }, body: sleep }));
}

/** Returns what keeps a workspace awake, and when it goes to sleep and is stopped. */
export function getActivity(id: string, signal?: AbortSignal): Promise<WorkspaceActivity> {
  return unwrap(api.GET("/api/workspaces/{id}/activity", { params: { path: { id } }, signal }));
}

/** Returns what is in a workspace's repositories and nowhere else. It may take its time. */
export function getWork(id: string, signal?: AbortSignal): Promise<WorkspaceWork> {
  return unwrap(api.GET("/api/workspaces/{id}/work", { params: { path: { id } }, signal }));
}

/** Asks for a workspace to stop; its files stay. */
export function stopWorkspace(id: string): Promise<Workspace> {
  return unwrap(api.POST("/api/workspaces/{id}/stop", { params: { path: { id } } }));
}

/** Asks for a workspace's container to be removed; for a while it can be restored. */
export function deleteWorkspace(id: string): Promise<Workspace> {
  return unwrap(api.DELETE("/api/workspaces/{id}", { params: { path: { id } } }));
}

/** Returns the signed-in person's deleted workspaces that can be restored, the last deleted first. */
export function listDeletedWorkspaces(signal?: AbortSignal): Promise<DeletedWorkspace[]> {
  return everyPage(async (query) => {
    const page = await unwrap(api.GET("/api/deleted-workspaces", { params: { query }, signal }));
    return { items: page.workspaces, next: page.next_cursor };
  });
}

/** Takes a deletion back, complete or not; the workspace is stopped then. */
export function restoreWorkspace(id: string): Promise<Workspace> {
  return unwrap(api.POST("/api/deleted-workspaces/{id}/restore", { params: { path: { id } } }));
}

/** Removes a deleted workspace's files at once, for good. */
export function purgeWorkspace(id: string): Promise<undefined> {
  return unwrap(api.DELETE("/api/deleted-workspaces/{id}", { params: { path: { id } } }));
}
