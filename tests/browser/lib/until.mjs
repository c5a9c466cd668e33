// Waits on conditions of other processes, never on time alone.

import { setTimeout as pause } from "node:timers/promises";

/** How often such a condition is looked at. */
const GLANCE_MS = 50;

/** How long most of them may take on a busy machine. */
export const USUAL_LIMIT_MS = 30_000;

/**
 * Looks until `look` returns something truthy, and returns that. An error of `look` ends the
 * waiting at once.
 */
export async function until(what, look, limit = USUAL_LIMIT_MS) {
  const deadline = Date.now() + limit;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited ${limit / 1000} s for ${what}`);
    await pause(GLANCE_MS);
  }
}
