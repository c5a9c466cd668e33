"use client";

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { api, unwrap } from "@/lib/api/client";
import { everyPage } from "@/lib/api/pages";
import type { Role } from "@/lib/api/types";
import { keys } from "@/lib/query";

/** Everybody with an account; for administrators. */
export function useUsers() {
  return useQuery({
    queryKey: keys.users,
    queryFn: ({ signal }) =>
      everyPage(async (query) => {
        const page = await unwrap(api.GET("/api/admin/users", { params: { query }, signal }));
        return { items: page.users, next: page.next_cursor };
      }),
  });
}

/** What a new account is to be. */
export interface NewUser {
  name: string;
  email: string;
  password: string;
  role: Role;
}

/** Makes an account. */
export function useCreateUser() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: NewUser) => unwrap(api.POST("/api/admin/users", { body })),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.users }),
  });
}
