"use client";

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { api, unwrap } from "@/lib/api/client";
import type { Scope } from "@/lib/api/types";
import { keys } from "@/lib/query";

/** The signed-in person's API tokens, without their secrets. */
export function useTokens() {
  return useQuery({
    queryKey: keys.tokens,
    queryFn: async ({ signal }) => (await unwrap(api.GET("/api/tokens", { signal }))).tokens,
  });
}

/** What a new token is to be. */
export interface NewToken {
  name: string;
  scopes: Scope[];
  expires_in_days: number;
}

/** Makes a token. Its secret is in the answer and nowhere else. */
export function useCreateToken() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: NewToken) => unwrap(api.POST("/api/tokens", { body })),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.tokens }),
    // The secret must not stay in memory longer than it is shown.
    gcTime: 0,
  });
}

/** Makes a token worthless, by id. */
export function useRevokeToken() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => unwrap(api.DELETE("/api/tokens/{id}", { params: { path: { id } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.tokens }),
  });
}
