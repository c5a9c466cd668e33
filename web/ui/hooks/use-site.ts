"use client";

import { useQuery, type UseQueryResult } from "@tanstack/react-query";

import { api, unwrap } from "@/lib/api/client";
import type { Site } from "@/lib/api/types";
import { keys } from "@/lib/query";

/** What this installation is like; the same for everybody, and needed before signing in. */
export function useSite(): UseQueryResult<Site> {
  return useQuery({
    queryKey: keys.site,
    queryFn: ({ signal }) => unwrap(api.GET("/api/site", { signal })),
    staleTime: Infinity,
  });
}
