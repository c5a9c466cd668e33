"use client";

import { useRef } from "react";

import { SnapshotRow } from "@/components/snapshots/snapshot-row";
import { Card } from "@/components/ui/card";
import type { Snapshots, Workspace } from "@/lib/api/types";
import { restoreObstacle, roomOf, WHAT_IT_IS } from "@/lib/snapshots";

/** A workspace's snapshots, the newest first, or what one is. */
export function SnapshotList({ workspace, found }: { workspace: Workspace; found: Snapshots }) {
  const place = useRef<HTMLElement>(null);
  const { snapshots } = found;
  const obstacle = restoreObstacle(workspace.state, snapshots);
  return (
    // Where the keyboard's place goes when a row goes and takes it along.
    <section ref={place} tabIndex={-1} aria-label="Snapshots there are" className="outline-none">
      {snapshots.length === 0 ? (
        <div className="rounded-xl border border-dashed px-5 py-8 text-center">
          <p className="font-medium">No snapshots</p>
          <p className="mx-auto mt-1 max-w-sm text-sm leading-relaxed text-pretty text-muted-foreground">{WHAT_IT_IS}</p>
        </div>
      ) : (
        <>
          <Card className="overflow-hidden">
            <ul aria-label="Snapshots" className="divide-y">
              {snapshots.map((snapshot) => (
                <SnapshotRow
                  key={snapshot.id}
                  workspace={workspace}
                  snapshot={snapshot}
                  obstacle={obstacle}
                  onFocusLost={() => place.current?.focus()}
                />
              ))}
            </ul>
          </Card>
          <p className="mt-2 text-xs leading-5 text-muted-foreground">{roomOf(found)}</p>
        </>
      )}
    </section>
  );
}
