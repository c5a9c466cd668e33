import { api, unwrap } from "@/lib/api/client";
import type { Figures } from "@/lib/api/types";

/** Asks what a workspace uses, and what it used in the last day. */
export function getFigures(id: string, signal: AbortSignal): Promise<Figures> {
  return unwrap(api.GET("/api/workspaces/{id}/figures", { params: { path: { id } }, signal }));
}
