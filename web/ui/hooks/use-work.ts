"use client";

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";

import { getWork } from "@/lib/api/workspaces";
import { keys } from "@/lib/query";

/** Nobody waits longer than this for an answer. */
const LONGEST_WAIT_MS = 25_000;

/**
 * What is only in a workspace, looked for once each time that it is asked.
 *
 * While `isFetching`, what is there is from the last time, and holds no more.
 */
export function useWork(id: string, isAsked: boolean) {
  const client = useQueryClient();
  // What was asked stays on the screen for the moment in which it fades, but not the question.
  useEffect(() => {
    if (!isAsked) void client.cancelQueries({ queryKey: keys.work(id) });
  }, [client, id, isAsked]);
  return useQuery({
    queryKey: keys.work(id),
    queryFn: ({ signal }) => getWork(id, AbortSignal.any([signal, AbortSignal.timeout(LONGEST_WAIT_MS)])),
    enabled: isAsked,
    staleTime: 0,
    gcTime: 0,
    // Looking is work for the workspace, and what was read must not change while it is read.
    retry: false,
    refetchInterval: false,
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  });
}
