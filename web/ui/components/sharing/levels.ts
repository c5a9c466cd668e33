import type { PortShare, SharingLevel } from "@/lib/api/types";

interface Level {
  level: SharingLevel;
  label: string;
  /** What it means, in plain words. */
  text: string;
}

/** Every level that a port can be shared at, the narrowest first. */
export const LEVELS: readonly Level[] = [
  { level: "owner", label: "Only me", text: "Nobody else can open this port." },
  { level: "members", label: "People I name", text: "The people you name can open it, once they are signed in." },
  {
    level: "organization",
    label: "Everybody here",
    text: "Everybody with an account on this Kalpana can open it, once they are signed in.",
  },
  {
    level: "link",
    label: "Anyone with a link",
    text: "Whoever has a link that you make can open it, without an account, until the link ends.",
  },
  {
    level: "public",
    label: "Everybody on the internet",
    text: "Everybody who knows or guesses the address can open it, without signing in.",
  },
];

/** Returns what a level is called. */
export function levelLabel(level: SharingLevel): string {
  return LEVELS.find((entry) => entry.level === level)?.label ?? level;
}

/** Returns the levels that the site allows. */
export function levelsUpTo(maximum: SharingLevel): readonly Level[] {
  const last = LEVELS.findIndex((entry) => entry.level === maximum);
  return LEVELS.slice(0, last + 1);
}

/** Whether people without an account can open a port at this level. */
export function isOpenToStrangers(level: SharingLevel): boolean {
  return level === "link" || level === "public";
}

const HOUR = 3_600;
const DAY = 24 * HOUR;

/** How long sharing can be limited to; 0 is "until I stop it". */
export const SHARE_TIMES: readonly { seconds: number; label: string }[] = [
  { seconds: 0, label: "Until I stop sharing" },
  { seconds: HOUR, label: "1 hour" },
  { seconds: 8 * HOUR, label: "8 hours" },
  { seconds: DAY, label: "1 day" },
  { seconds: 7 * DAY, label: "7 days" },
  { seconds: 30 * DAY, label: "30 days" },
];

/** How long a link can be good for. */
export const LINK_TIMES = SHARE_TIMES.filter(({ seconds }) => seconds > 0);

/** Returns what is to be known of a port beside its level, in one line; nothing when all is well. */
export function standing(share: PortShare): string | undefined {
  if (!share.is_in_force) {
    return share.expires_at !== undefined && share.expires_at !== null && Date.parse(share.expires_at) <= Date.now()
      ? "Not shared any more: its time is over."
      : "Not shared any more: the workspace was started anew.";
  }
  if (share.level_in_force !== share.level) {
    return `Limited by this site to: ${levelLabel(share.level_in_force)}.`;
  }
  return undefined;
}
