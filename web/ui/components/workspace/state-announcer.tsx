"use client";

import { useState } from "react";

import type { Workspace } from "@/lib/api/types";
import { stateLabel } from "@/lib/workspace";

/** Tells screen readers of workspaces that changed their state while they are shown. */
export function StateAnnouncer({ workspaces }: { workspaces: readonly Workspace[] }) {
  const [known, setKnown] = useState<ReadonlyMap<string, string>>(() => statesOf(workspaces));
  const [message, setMessage] = useState("");
  const changed = workspaces.filter((one) => known.has(one.id) && known.get(one.id) !== stateLabel(one));
  const hasNew = workspaces.some(({ id }) => !known.has(id));
  if (changed.length > 0 || hasNew) {
    setKnown(statesOf(workspaces));
    if (changed.length > 0) {
      setMessage(changed.map((one) => `${one.name}: ${stateLabel(one)}.`).join(" "));
    }
  }
  return (
    <p role="status" aria-live="polite" aria-label="Status changes" className="sr-only">
      {message}
    </p>
  );
}

function statesOf(workspaces: readonly Workspace[]): ReadonlyMap<string, string> {
  return new Map(workspaces.map((one) => [one.id, stateLabel(one)]));
}
