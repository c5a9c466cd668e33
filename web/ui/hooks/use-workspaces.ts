"use client";

import {
  useMutation,
  useQuery,
  useQueryClient,
  type UseMutationResult,
  type UseQueryResult,
} from "@tanstack/react-query";

import { asApiError } from "@/lib/api/error";
import type { Workspace } from "@/lib/api/types";
import {
  createWorkspace,
  deleteWorkspace,
  getWorkspace,
  listWorkspaces,
  startWorkspace,
  stopWorkspace,
  type NewWorkspace,
} from "@/lib/api/workspaces";
import { navigate, workspacePath } from "@/lib/navigate";
import { keys } from "@/lib/query";
import { newest, reconciled, rememberWorkspace, type CachedWorkspace } from "@/lib/workspace-cache";

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

/** One workspace, kept up to date by events; `null` once it is gone. */
export function useWorkspace(id: string): UseQueryResult<CachedWorkspace> {
  const client = useQueryClient();
  const isOffline = useFeedStatus() === "offline";
  return useQuery({
    queryKey: keys.workspace(id),
    queryFn: async ({ signal }): Promise<CachedWorkspace> => {
      const known = client.getQueryData<CachedWorkspace>(keys.workspace(id));
      if (known === null) return null;
      try {
        const fetched = await getWorkspace(id, signal);
        return newest(fetched, client.getQueryData<CachedWorkspace>(keys.workspace(id)));
      } catch (cause) {
        // It was there and is not any more: that is a deletion, not a wrong address.
        if (known !== undefined && asApiError(cause).status === 404) return null;
        throw cause;
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

/** Starts a workspace, by id. */
export function useStartWorkspace() {
  return useWorkspaceMutation(startWorkspace);
}

/** Stops a workspace, by id. */
export function useStopWorkspace() {
  return useWorkspaceMutation(stopWorkspace);
}

/** Deletes a workspace, by id. */
export function useDeleteWorkspace() {
  return useWorkspaceMutation(deleteWorkspace);
}
