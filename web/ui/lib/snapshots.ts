import type { Snapshot, Snapshots, WorkspaceState } from "@/lib/api/types";
import { dataSize, fileCount } from "@/lib/format";
import { WORKSPACE_NAME_LIMIT } from "@/lib/validation";

/** What a snapshot is, for who has none yet. */
export const WHAT_IT_IS =
  "A copy of all files of the workspace, in /workspace and the home directory, kept outside of it.";

/** What is said before one is taken of a workspace whose programs are at work. */
export const NOT_ONE_MOMENT =
  "Files that change while the snapshot is taken may be from different moments; stop the workspace first for an exact copy.";

/** Why a snapshot was taken. */
export const KIND_WORDS: Readonly<Record<Snapshot["kind"], string>> = {
  manual: "by you",
  scheduled: "scheduled",
  before_restore: "before a restore",
  archive: "archive",
};

/** Whether one of the snapshots is being made. */
export function isBeingMade(snapshots: readonly Snapshot[]): boolean {
  return snapshots.some(({ state }) => state === "making");
}

/** Whether files may change while they are copied: programs that sleep write nothing. */
export function mayChange(state: WorkspaceState): boolean {
  return state === "running" || state === "starting";
}

/** Returns why no snapshot can be restored at the moment. */
export function restoreObstacle(state: WorkspaceState, snapshots: readonly Snapshot[]): string | undefined {
  if (state === "stopping") return "Wait until the workspace is stopped";
  if (state !== "stopped" && state !== "failed") return "Stop the workspace first";
  return isBeingMade(snapshots) ? "Wait until the other snapshot is made" : undefined;
}

/** Returns how far one is that is being made: nothing tells how much there is to come. */
export function progressOf({ bytes }: Pick<Snapshot, "bytes">): string {
  return bytes > 0 ? `${dataSize(bytes)} so far` : "Just begun";
}

/** Returns e.g. `3.4 MB · 120 files`, and how many files could not be read and are not in it. */
export function contentOf({ bytes, files, skipped }: Pick<Snapshot, "bytes" | "files" | "skipped">): string {
  const content = `${dataSize(bytes)} · ${fileCount(files)}`;
  return skipped > 0 ? `${content} · ${skipped} could not be read` : content;
}

/** Returns how many snapshots that were asked for are kept, and how many can be. */
export function roomOf({ snapshots, limit }: Snapshots): string {
  const count = snapshots.filter(({ kind, state }) => kind === "manual" && state !== "failed").length;
  const text = `${count} of at most ${limit} taken by you.`;
  return count >= limit ? `${text} Delete one to take another.` : text;
}

/** Proposes a name for a workspace with the files of another. */
export function copyName(name: string): string {
  const suffix = " copy";
  // Cut off where a letter or a digit is last, as in every name.
  return name.slice(0, WORKSPACE_NAME_LIMIT - suffix.length).replace(/[^A-Za-z0-9]+$/, "") + suffix;
}

/** Returns what became of snapshots since they were known, in words to be heard. */
export function changesOf(known: readonly Snapshot[], now: readonly Snapshot[]): string {
  const before = new Map(known.map(({ id, state }) => [id, state]));
  const said = now.flatMap((snapshot) => {
    if (before.get(snapshot.id) === snapshot.state) return [];
    switch (snapshot.state) {
      case "making":
        return ["A snapshot is being made."];
      case "ready":
        return [`The snapshot is ready: ${dataSize(snapshot.bytes)}, ${fileCount(snapshot.files)}.`];
      case "failed":
        return ["The snapshot failed."];
    }
  });
  const left = new Set(now.map(({ id }) => id));
  if (known.some(({ id }) => !left.has(id))) said.push("A snapshot was deleted.");
  return said.join(" ");
}
