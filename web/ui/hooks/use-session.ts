"use client";

import { useMutation, useQuery, useQueryClient, type UseQueryResult } from "@tanstack/react-query";

import { api, unwrap } from "@/lib/api/client";
import { asApiError } from "@/lib/api/error";
import type { User } from "@/lib/api/types";
import { navigate } from "@/lib/navigate";
import { keys, signingOut } from "@/lib/query";

/** Who is signed in. An error with `isSignedOut` means nobody is. */
export function useSession(): UseQueryResult<User> {
  return useQuery({
    queryKey: keys.session,
    queryFn: async ({ signal }) => (await unwrap(api.GET("/api/session", { signal }))).user,
    staleTime: 60_000,
  });
}

/** Ends the session and leaves for the front page, forgetting everything that was shown. */
export function useSignOut() {
  const client = useQueryClient();
  const leave = (): void => {
    client.clear();
    navigate.replace("/");
  };
  return useMutation({
    mutationFn: () => unwrap(api.DELETE("/api/session")),
    onMutate: () => signingOut(true),
    onSuccess: leave,
    // Signed out already is what was wanted.
    onError: (cause) => {
      if (asApiError(cause).isSignedOut) leave();
      else signingOut(false);
    },
  });
}
