import type { Workspace } from "@/lib/api/types";

/**
 * What an owner does at a workspace that is asleep: opens its page, comes back to it, presses a key
 * or clicks anywhere on it; or asks for it to wake.
 */
export type Sign = "visit" | "return" | "key" | "click" | "wake";

/** Whether a workspace that is asleep wakes at a sign. One that stays asleep wants to be asked. */
export function isWokenBy(sign: Sign, { sleep }: Pick<Workspace, "sleep">): boolean {
  return sign === "wake" || sleep.stays_asleep !== true;
}

/** Keys that only change what others mean, and those by which people move about or out of the way. */
const SILENT_KEYS: ReadonlySet<string> = new Set([
  "Shift",
  "Control",
  "Alt",
  "AltGraph",
  "Meta",
  "OS",
  "Super",
  "Hyper",
  "Symbol",
  "SymbolLock",
  "Fn",
  "FnLock",
  "CapsLock",
  "NumLock",
  "ScrollLock",
  "Tab",
  "Escape",
]);

/** Whether a key that is pressed wakes a workspace. One that is still held from before does not. */
export function isWakingKey({ key, repeat }: Pick<KeyboardEvent, "key" | "repeat">): boolean {
  return !repeat && !SILENT_KEYS.has(key);
}

/** Whether somebody has this page before them, and looks at it. */
export function isLookedAt(): boolean {
  return document.visibilityState === "visible" && document.hasFocus();
}
