import type { Sleep } from "@/lib/api/types";
import { wholeTime } from "@/lib/format";

/** A time that can be chosen, in seconds: 0 is for ever, `null` as the site has it. */
export interface IdleTime {
  seconds: number | null;
  label: string;
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const AS_THE_SITE: IdleTime = { seconds: null, label: "As the site has it" };
const NEVER: IdleTime = { seconds: 0, label: "Never" };

/** How long a workspace may be idle until it is put to sleep. */
export const PAUSE_TIMES: readonly IdleTime[] = [
  AS_THE_SITE,
  { seconds: 15 * MINUTE, label: "15 minutes" },
  { seconds: 30 * MINUTE, label: "30 minutes" },
  { seconds: HOUR, label: "1 hour" },
  { seconds: 4 * HOUR, label: "4 hours" },
  { seconds: 8 * HOUR, label: "8 hours" },
  { seconds: 24 * HOUR, label: "24 hours" },
  NEVER,
];

/** How long it may be asleep until it is stopped. */
export const STOP_TIMES: readonly IdleTime[] = [
  AS_THE_SITE,
  { seconds: HOUR, label: "1 hour" },
  { seconds: 2 * HOUR, label: "2 hours" },
  { seconds: 8 * HOUR, label: "8 hours" },
  { seconds: DAY, label: "1 day" },
  { seconds: 7 * DAY, label: "7 days" },
  { seconds: 30 * DAY, label: "30 days" },
  NEVER,
];

/** How long it may be stopped until it is archived. */
export const ARCHIVE_TIMES: readonly IdleTime[] = [
  AS_THE_SITE,
  { seconds: DAY, label: "1 day" },
  { seconds: 7 * DAY, label: "7 days" },
  { seconds: 14 * DAY, label: "14 days" },
  { seconds: 30 * DAY, label: "30 days" },
  NEVER,
];

/** Returns the times with the present one among them: the command line can set any. */
export function timesWith(present: number | null, times: readonly IdleTime[]): readonly IdleTime[] {
  if (present === null || times.some(({ seconds }) => seconds === present)) return times;
  // The site's own comes first; for ever is longer than any.
  const next = times.findIndex(({ seconds }) => seconds === 0 || (seconds !== null && seconds > present));
  return times.toSpliced(next, 0, { seconds: present, label: wholeTime(present) });
}

/** Returns how a form's field holds a time. */
export function toField(seconds: number | null): string {
  return seconds === null ? "" : String(seconds);
}

/** Returns the time that a form's field holds. */
export function fromField(text: string): number | null {
  return text === "" ? null : Number(text);
}

/** Returns how a workspace sleeps, with nothing left out. */
export function wholeSleep(sleep: Sleep): Required<Sleep> {
  return {
    pause_after_seconds: sleep.pause_after_seconds ?? null,
    stop_after_seconds: sleep.stop_after_seconds ?? null,
    archive_after_seconds: sleep.archive_after_seconds ?? null,
    stays_asleep: sleep.stays_asleep ?? false,
  };
}
