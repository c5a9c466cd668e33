"use client";

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { api, unwrap } from "@/lib/api/client";
import type { ShareWish } from "@/lib/api/types";
import { keys } from "@/lib/query";

/** Wishes to be let in arrive without an event, so they are looked for this often. */
const LOOK_AGAIN_MS = 20_000;

/** How a workspace's ports are shared, and who asks to be let in. Only its owner is told. */
export function useSharing(id: string) {
  return useQuery({
    queryKey: keys.sharing(id),
    queryFn: ({ signal }) =>
      unwrap(api.GET("/api/workspaces/{id}/sharing", { params: { path: { id } }, signal })),
    refetchInterval: LOOK_AGAIN_MS,
  });
}

function useSharingMutation<Input, Output>(id: string, act: (input: Input) => Promise<Output>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: act,
    onSuccess: () => client.invalidateQueries({ queryKey: keys.sharing(id) }),
  });
}

/** Shares a port from now on as is said. */
export function useShare(id: string) {
  return useSharingMutation(id, ({ port, wish }: { port: number; wish: ShareWish }) =>
    unwrap(api.PUT("/api/workspaces/{id}/ports/{port}/share", { params: { path: { id, port } }, body: wish })),
  );
}

/** Shares a port no more. */
export function useUnshare(id: string) {
  return useSharingMutation(id, (port: number) =>
    unwrap(api.DELETE("/api/workspaces/{id}/ports/{port}/share", { params: { path: { id, port } } })),
  );
}

/** What a new link is to be. */
export interface LinkWish {
  expires_in_seconds: number;
  one_use: boolean;
  path?: string;
}

/** Makes a link. Its address is in the answer and nowhere else. */
export function useCreateLink(id: string, port: number) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: LinkWish) =>
      unwrap(api.POST("/api/workspaces/{id}/ports/{port}/links", { params: { path: { id, port } }, body })),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.sharing(id) }),
    // The secret must not stay in memory longer than it is shown.
    gcTime: 0,
  });
}

/** Makes a link worthless, and ends what was opened by it. */
export function useRevokeLink(id: string, port: number) {
  return useSharingMutation(id, (link: string) =>
    unwrap(
      api.DELETE("/api/workspaces/{id}/ports/{port}/links/{link}", { params: { path: { id, port, link } } }),
    ),
  );
}

/** Lets somebody in who has asked, or does not. */
export function useAnswerRequest(id: string) {
  return useSharingMutation(
    id,
    ({ port, user, isApproved }: { port: number; user: string; isApproved: boolean }) => {
      const params = { path: { id, port, user } };
      const path = "/api/workspaces/{id}/ports/{port}/requests/{user}";
      return unwrap(isApproved ? api.POST(path, { params }) : api.DELETE(path, { params }));
    },
  );
}

/** People whose name or e-mail address has `search` in it. */
export function usePeople(search: string) {
  const wanted = search.trim();
  return useQuery({
    queryKey: keys.people(wanted),
    queryFn: async ({ signal }) =>
      (await unwrap(api.GET("/api/people", { params: { query: { search: wanted } }, signal }))).people,
    enabled: wanted.length >= 2,
    staleTime: 60_000,
  });
}
