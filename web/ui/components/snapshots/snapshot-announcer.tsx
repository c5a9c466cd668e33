"use client";

import { useState } from "react";

import type { Snapshot } from "@/lib/api/types";
import { changesOf } from "@/lib/snapshots";

/** Tells screen readers what becomes of snapshots while they are shown; not of each byte. */
export function SnapshotAnnouncer({ snapshots }: { snapshots: readonly Snapshot[] }) {
  const [known, setKnown] = useState(snapshots);
  const [message, setMessage] = useState("");
  if (known !== snapshots) {
    setKnown(snapshots);
    const changes = changesOf(known, snapshots);
    if (changes !== "") setMessage(changes);
  }
  return (
    <p role="status" aria-live="polite" aria-label="What became of snapshots" className="sr-only">
      {message}
    </p>
  );
}
