"use client";

import { useQuery } from "@tanstack/react-query";

import type { Workspace } from "@/lib/api/types";
import { getActivity } from "@/lib/api/workspaces";
import { keys } from "@/lib/query";

/** What a workspace does changes without an event, so it is looked for this often. */
const LOOK_AGAIN_MS = 15_000;

/** What keeps a workspace awake, asked for as long as the caller is shown. */
export function useActivity({ id, since }: Pick<Workspace, "id" | "since">) {
  return useQuery({
    // What was said of it awake does not hold once it sleeps.
    queryKey: keys.activity(id, since),
    queryFn: ({ signal }) => getActivity(id, signal),
    refetchInterval: LOOK_AGAIN_MS,
    // Nor does what was said the last time somebody looked.
    gcTime: 0,
  });
}
