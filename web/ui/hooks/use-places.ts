"use client";

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { api, unwrap } from "@/lib/api/client";
import { keys } from "@/lib/query";

/** Where the person is signed in, this browser included. */
export function usePlaces() {
  return useQuery({
    queryKey: keys.places,
    queryFn: async ({ signal }) => (await unwrap(api.GET("/api/sessions", { signal }))).sessions,
  });
}

/** Signs the person out at one place, by the session's id. */
export function useEndPlace() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => unwrap(api.DELETE("/api/sessions/{id}", { params: { path: { id } } })),
    // Also when it failed: it may have ended by itself meanwhile.
    onSettled: () => client.invalidateQueries({ queryKey: keys.places }),
  });
}

/** Signs the person out everywhere but here. */
export function useEndOtherPlaces() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => unwrap(api.DELETE("/api/sessions")),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.places }),
  });
}

/** What a change of a password says. */
export interface PasswordWish {
  current: string;
  new: string;
  revoke_tokens: boolean;
}

/** Changes the person's password, which signs them out everywhere but here. */
export function useChangePassword() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: PasswordWish) => unwrap(api.PUT("/api/password", { body })),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: keys.places });
      void client.invalidateQueries({ queryKey: keys.tokens });
    },
    // Passwords must not stay in memory longer than they are needed.
    gcTime: 0,
  });
}
