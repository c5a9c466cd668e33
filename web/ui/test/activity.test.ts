import { describe, expect, it } from "vitest";

import { outlook } from "@/lib/activity";
import type { WorkspaceActivity } from "@/lib/api/types";

const now = new Date(2026, 0, 10, 14, 8).getTime();
const at = (hours: number, minutes: number) => new Date(2026, 0, 10, hours, minutes).toISOString();

type Awake = NonNullable<WorkspaceActivity["awake"]>;

const because = (kind: Awake["kind"], text: string): Awake => ({ kind, text, at: at(14, 0) });
const typing = because("typing", "somebody typed in the editor");
const busy = because("busy", "`cargo build` (pid 812) uses 97% of a CPU");

describe("a workspace that is awake", () => {
  const said = (activity: WorkspaceActivity) => outlook({ state: "running", since: at(13, 5) }, activity, now);

  it("says why, and when it goes to sleep", () => {
    expect(said({ awake: typing, pauses_at: at(14, 20), stops_at: null })).toEqual({
      why: "Awake because somebody typed in the editor.",
      next: "It goes to sleep at 14:20, in 12 minutes.",
    });
    expect(said({ awake: null, pauses_at: at(14, 20), stops_at: null }).why).toBe("Nothing keeps it awake.");
  });

  it.each([
    ["is less than a minute away", new Date(now + 59_000).toISOString()],
    ["has passed", at(14, 7)],
  ])("gives no time that %s", (_, pauses_at) => {
    expect(said({ awake: typing, pauses_at, stops_at: null }).next).toBe("It goes to sleep within a minute.");
  });

  it.each<[Awake["kind"], string]>([
    ["busy", "Stays awake as long as that goes on."],
    ["keep_awake", "Stays awake as long as that goes on."],
    ["typing", "It does not go to sleep by itself."],
    ["visit", "It does not go to sleep by itself."],
    ["started", "It does not go to sleep by itself."],
  ])("says without a time what %s means", (kind, next) => {
    expect(said({ awake: { ...busy, kind }, pauses_at: null, stops_at: null })).toEqual({
      why: "Awake because `cargo build` (pid 812) uses 97% of a CPU.",
      next,
    });
  });

  it("says that it never sleeps, and when it is stopped all the same", () => {
    expect(said({ awake: null }).next).toBe("It does not go to sleep by itself.");
    expect(said({ awake: null, pauses_at: null, stops_at: at(15, 9) }).next).toBe(
      "It does not go to sleep by itself. It is stopped at 15:09, in 1 hour.",
    );
  });
});

it("says since when one is asleep, and when it is stopped", () => {
  const said = (stops_at: string | null) =>
    outlook({ state: "paused", since: at(13, 5) }, { awake: null, pauses_at: null, stops_at }, now);
  expect(said(at(15, 8))).toEqual({ why: "Asleep since 13:05.", next: "It is stopped at 15:08, in 1 hour." });
  expect(said(null).next).toBe("It is not stopped by itself.");
});
