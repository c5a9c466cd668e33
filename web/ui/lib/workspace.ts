import type { Phase, Site, User, Workspace, WorkspaceState } from "@/lib/api/types";

/** What a state is called, and how it is coloured. */
export const STATES: Readonly<
  Record<WorkspaceState, { label: string; tone: "neutral" | "success" | "warning" | "destructive"; isChanging: boolean }>
> = {
  running: { label: "Running", tone: "success", isChanging: false },
  starting: { label: "Starting", tone: "warning", isChanging: true },
  paused: { label: "Asleep", tone: "neutral", isChanging: false },
  stopping: { label: "Stopping", tone: "warning", isChanging: true },
  stopped: { label: "Stopped", tone: "neutral", isChanging: false },
  failed: { label: "Failed", tone: "destructive", isChanging: false },
  deleting: { label: "Deleting", tone: "warning", isChanging: true },
};

/** Returns what the state of a workspace is called: one whose files are archived is stopped, and more. */
export function stateLabel({ state, is_archived: isArchived }: Pick<Workspace, "state" | "is_archived">): string {
  return isArchived ? "Archived" : STATES[state].label;
}

/** What can still be done about a deletion. The time is a setting of the server, which nobody is told. */
export const CAN_BE_RESTORED =
  "It can be restored, with its files, from “Recently deleted” for a while, by default 30 days.";

const PHASE_LABELS: Readonly<Record<string, string>> = {
  network: "Network",
  volume: "Storage",
  container: "Container",
  boot: "Boot",
  clone: "Repository",
  editor: "Editor",
};

/** The phases of a start, in order, as they stand before the first of them is reported. */
export const PENDING_PHASES: readonly Phase[] = (
  ["network", "volume", "container", "boot", "clone", "editor"] as const
).map((name) => ({ name, status: "pending", started_at: null, finished_at: null, detail: null }) as Phase);

/** Returns what a phase is called for people. */
export function phaseLabel(name: string): string {
  return PHASE_LABELS[name] ?? name;
}

/** Whether `user` owns the workspace. Others, administrators among them, neither start, wake nor enter it. */
export function isOwner(workspace: Workspace, user: User): boolean {
  return workspace.owner.id === user.id;
}

/** Whether programs run in the workspace, or wait in its memory: a stop ends them, so it is asked about. */
export function hasPrograms({ state }: Pick<Workspace, "state">): boolean {
  return state === "running" || state === "paused";
}

/** What can be asked of a workspace in its present state. */
export function actionsFor(
  workspace: Workspace,
  user: User,
): Readonly<
  Record<"start" | "wake" | "open" | "pause" | "sleep" | "snapshots" | "archive" | "stop" | "delete", boolean>
> {
  const { state } = workspace;
  const owned = isOwner(workspace, user);
  return {
    start: owned && (state === "stopped" || state === "failed"),
    wake: owned && state === "paused",
    // Whoever opens one that is asleep wakes it, unless it stays asleep.
    open: owned && hasPrograms(workspace),
    pause: state === "running",
    // Say how it sleeps from now on.
    sleep: owned && state !== "deleting",
    // They hold its files, which are its owner's alone.
    snapshots: owned && state !== "deleting",
    archive: owned && state === "stopped" && !workspace.is_archived,
    stop: hasPrograms(workspace) || state === "starting",
    delete: state !== "deleting",
  };
}

/** Newest first. By creation, which never changes, so that rows stay where they are. */
export function byCreation(one: Workspace, other: Workspace): number {
  return Date.parse(other.created_at) - Date.parse(one.created_at) || one.id.localeCompare(other.id);
}

/** Whether every word of a search occurs in what is shown of the workspace. */
export function matches(workspace: Workspace, search: string): boolean {
  const shown = [
    workspace.name,
    workspace.repository ?? "",
    workspace.branch ?? "",
    stateLabel(workspace),
    workspace.owner.name,
    workspace.id,
  ]
    .join("\n")
    .toLowerCase();
  return search
    .toLowerCase()
    .split(/\s+/)
    .every((word) => shown.includes(word));
}

/**
 * Whether the editor can be shown inside this page. Browsers give a frame from another site no
 * storage, and the editor does not come up without; it then opens in a tab of its own.
 */
export function canFrame(workspace: Workspace, site: Pick<Site, "base_url">): boolean {
  try {
    const base = new URL(site.base_url);
    const editor = new URL(workspace.url);
    return editor.protocol === base.protocol && editor.hostname.endsWith(`.${base.hostname}`);
  } catch {
    return false;
  }
}
