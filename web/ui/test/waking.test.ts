import { describe, expect, it } from "vitest";

import { isWakingKey, isWokenBy, type Sign } from "@/lib/waking";

import { workspace } from "./fixtures";

describe("the keys that wake", () => {
  it.each(["a", "A", "ä", " ", "Enter", "ArrowDown", "F1", "Backspace", "Dead", "Process"])("%j does", (key) => {
    expect(isWakingKey({ key, repeat: false })).toBe(true);
    expect(isWakingKey({ key, repeat: true })).toBe(false);
  });

  it.each(["Shift", "Control", "Alt", "AltGraph", "Meta", "CapsLock", "Fn", "Tab", "Escape"])("%s does not", (key) => {
    expect(isWakingKey({ key, repeat: false })).toBe(false);
  });
});

describe("what wakes a workspace", () => {
  const { sleep } = workspace();
  const stays = { sleep: { ...sleep, stays_asleep: true } };

  it.each<Sign>(["visit", "return", "key", "click"])("is a %s, unless it stays asleep", (sign) => {
    expect(isWokenBy(sign, { sleep })).toBe(true);
    expect(isWokenBy(sign, stays)).toBe(false);
  });

  it("is always that its owner asks for it", () => {
    expect(isWokenBy("wake", { sleep })).toBe(true);
    expect(isWokenBy("wake", stays)).toBe(true);
  });
});
