"use client";

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { api, unwrap } from "@/lib/api/client";
import { askAgainAfter, keys } from "@/lib/query";

/** How often to look again while something is being done, and while nothing is. */
const BUSY_MS = 2_000;
const QUIET_MS = 60_000;

/** The gateway's certificates; for administrators. Looked at more often while one is ordered. */
export function useCertificates() {
  return useQuery({
    queryKey: keys.certificates,
    queryFn: ({ signal }) => unwrap(api.GET("/api/admin/certificates", { signal })),
    refetchInterval: (query) => {
      if (query.state.error !== null) return askAgainAfter(query.state.error);
      const isBusy = query.state.data?.certificates.some((certificate) => certificate.step !== undefined) ?? false;
      return isBusy ? BUSY_MS : QUIET_MS;
    },
  });
}

/** Orders a new certificate, and waits until it is there. */
export function useRenewCertificate() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => unwrap(api.POST("/api/admin/certificates/{id}/renew", { params: { path: { id } } })),
    onMutate: () => window.setTimeout(() => void client.invalidateQueries({ queryKey: keys.certificates }), 500),
    onSettled: () => client.invalidateQueries({ queryKey: keys.certificates }),
  });
}

/** Has a certificate declared void, and another ordered. */
export function useRevokeCertificate() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => unwrap(api.POST("/api/admin/certificates/{id}/revoke", { params: { path: { id } } })),
    onSettled: () => client.invalidateQueries({ queryKey: keys.certificates }),
  });
}
