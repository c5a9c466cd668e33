"use client";

import { useState } from "react";

import type { Workspace, WorkspaceState } from "@/lib/api/types";
import { STATES } from "@/lib/workspace";

/** Tells screen readers of workspaces that changed their state while they are shown. */
export function StateAnnouncer({ workspaces }: { workspaces: readonly Workspace[] }) {
  const [known, setKnown] = useState<ReadonlyMap<string, WorkspaceState>>(() => statesOf(workspaces));
  const [message, setMessage] = useState("");
  const changed = workspaces.filter(({ id, state }) => known.has(id) && known.get(id) !== state);
  const hasNew = workspaces.some(({ id }) => !known.has(id));
  if (changed.length > 0 || hasNew) {
    setKnown(statesOf(workspaces));
    if (changed.length > 0) {
      setMessage(changed.map(({ name, state }) => `${name}: ${STATES[state].label}.`).join(" "));
    }
  }
  return (
    <p role="status" aria-live="polite" aria-label="Status changes" className="sr-only">
      {message}
    </p>
  );
}

function statesOf(workspaces: readonly Workspace[]): ReadonlyMap<string, WorkspaceState> {
  return new Map(workspaces.map(({ id, state }) => [id, state]));
}
