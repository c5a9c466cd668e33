"use client";

import {
  useMutation,
  useQuery,
  useQueryClient,
  type UseMutationResult,
  type UseQueryResult,
} from "@tanstack/react-query";

import { asApiError } from "@/lib/api/error";
import type { DeletedWorkspace, Sleep, Workspace } from "@/lib/api/types";
import {
  createWorkspace,
  deleteWorkspace,
  getWorkspace,
  listDeletedWorkspaces,
  listWorkspaces,
  pauseWorkspace,
  purgeWorkspace,
  restoreWorkspace,
  setSleep,
  startWorkspace,
  stopWorkspace,
  type NewWorkspace,
} from "@/lib/api/workspaces";
import { navigate, workspacePath } from "@/lib/navigate";
import { keys } from "@/lib/query";
import {
  forgetWorkspace,
  newest,
  reconciled,
  rememberWorkspace,
  type CachedWorkspace,
} from "@/lib/workspace-cache";

import { useFeedStatus } from "./use-events";

/** While events do not arrive, what is shown is asked for this often. */
const FALLBACK_INTERVAL_MS = 10_000;

/** Every workspace the signed-in person may see, kept up to date by events. */
export function useWorkspaces(): UseQueryResult<Workspace[]> {
  const client = useQueryClient();
  const isOffline = useFeedStatus() === "offline";
  return useQuery({
    queryKey: keys.workspaces,
    queryFn: async ({ signal }) => reconciled(client, await listWorkspaces(signal)),
    refetchInterval: isOffline ? FALLBACK_INTERVAL_MS : false,
  });
}

/** One workspace, kept up to date by events; `null` while it is gone. */
export function useWorkspace(id: string): UseQueryResult<CachedWorkspace> {
  const client = useQueryClient();
  const isOffline = useFeedStatus() === "offline";
  return useQuery({
    queryKey: keys.workspace(id),
    queryFn: async ({ signal }): Promise<CachedWorkspace> => {
      const kept = (): CachedWorkspace | undefined => client.getQueryData(keys.workspace(id));
      const known = kept();
      try {
        return newest(client, await getWorkspace(id, signal));
      } catch (cause) {
        if (asApiError(cause).status !== 404) throw cause;
        const now = kept();
        if (now === undefined) throw cause;
        // It was there and is not any more: that is a deletion, not a wrong address. Unless
        // something was heard of it meanwhile: then this answer is the late one.
        if (now !== null && now === known) forgetWorkspace(client, id);
        return kept() ?? null;
      }
    },
    refetchInterval: isOffline ? FALLBACK_INTERVAL_MS : false,
  });
}

function useWorkspaceMutation<Input>(
  act: (input: Input) => Promise<Workspace>,
): UseMutationResult<Workspace, Error, Input> {
  const client = useQueryClient();
  return useMutation({
    mutationFn: act,
    onSuccess: (workspace) => rememberWorkspace(client, workspace),
  });
}

/**
 * Makes a workspace and goes to its page. The going is part of the hook, because the form may be
 * gone by the time the answer arrives: the new workspace's own event can overtake it.
 */
export function useCreateWorkspace() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ wish, idempotencyKey }: { wish: NewWorkspace; idempotencyKey: string }) =>
      createWorkspace(wish, idempotencyKey),
    onSuccess: (workspace) => {
      rememberWorkspace(client, workspace);
      navigate.to(workspacePath(workspace.id));
    },
  });
}

/** Starts a workspace, or wakes it, by id. */
export function useStartWorkspace() {
  return useWorkspaceMutation(startWorkspace);
}

/** Puts a workspace to sleep, by id. */
export function usePauseWorkspace() {
  return useWorkspaceMutation(pauseWorkspace);
}

/** Changes how a workspace sleeps. */
export function useSetSleep(id: string) {
  return useWorkspaceMutation((sleep: Sleep) => setSleep(id, sleep));
}

/** Stops a workspace, by id. */
export function useStopWorkspace() {
  return useWorkspaceMutation(stopWorkspace);
}

/** Deletes a workspace, by id. */
export function useDeleteWorkspace() {
  return useWorkspaceMutation(deleteWorkspace);
}

/** The signed-in person's deleted workspaces that can be restored, the last deleted first. */
export function useDeletedWorkspaces(): UseQueryResult<DeletedWorkspace[]> {
  const isOffline = useFeedStatus() === "offline";
  return useQuery({
    queryKey: keys.deletedWorkspaces,
    queryFn: ({ signal }) => listDeletedWorkspaces(signal),
    refetchInterval: isOffline ? FALLBACK_INTERVAL_MS : false,
  });
}

/** Restores a deleted workspace, by id. */
export function useRestoreWorkspace() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: restoreWorkspace,
    onSuccess: (workspace) => rememberWorkspace(client, workspace),
    // Also when it failed: it may have been restored or removed elsewhere meanwhile.
    onSettled: () => void client.invalidateQueries({ queryKey: keys.deletedWorkspaces }),
  });
}

/** Removes a deleted workspace's files for good, by id. */
export function usePurgeWorkspace() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: purgeWorkspace,
    // Also when it failed: it may have been restored or removed elsewhere meanwhile.
    onSettled: () => client.invalidateQueries({ queryKey: keys.deletedWorkspaces }),
  });
}
