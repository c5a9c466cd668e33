import type { Workspace, WorkspaceActivity } from "@/lib/api/types";
import { relativeTime, timeOfDay } from "@/lib/format";

/** What is said of a workspace's sleep: how it is now and why, and what comes next. */
export interface Outlook {
  why: string;
  next: string;
}

const MINUTE_MS = 60_000;

/** Returns what an activity means for people. What it quotes from a container is in `why` alone. */
export function outlook(
  { state, since }: Pick<Workspace, "state" | "since">,
  { awake, pauses_at, stops_at }: WorkspaceActivity,
  now: number,
): Outlook {
  const stop = moment(stops_at, now);
  const stops = stop === undefined ? "" : `It is stopped ${stop}.`;
  if (state === "paused") {
    return { why: `Asleep since ${timeOfDay(since, now)}.`, next: stops || "It is not stopped by itself." };
  }
  const why = awake === null || awake === undefined ? "Nothing keeps it awake." : `Awake because ${awake.text}.`;
  const pause = moment(pauses_at, now);
  if (pause !== undefined) return { why, next: `It goes to sleep ${pause}.` };
  const isHeld = awake?.kind === "busy" || awake?.kind === "keep_awake";
  const stays = isHeld ? "Stays awake as long as that goes on." : "It does not go to sleep by itself.";
  return { why, next: stops === "" ? stays : `${stays} ${stops}` };
}

/** Returns e.g. `at 14:20, in 12 minutes`; what was due already comes at any moment. */
function moment(at: string | null | undefined, now: number): string | undefined {
  const time = Date.parse(at ?? "");
  if (at === null || at === undefined || Number.isNaN(time)) return undefined;
  if (time - now < MINUTE_MS) return "within a minute";
  return `at ${timeOfDay(at, now)}, ${relativeTime(at, now)}`;
}
