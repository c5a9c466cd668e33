import { expect, it } from "vitest";

import {
  cpus,
  dataSize,
  duration,
  fileCount,
  initials,
  memory,
  relativeTime,
  shortDate,
  shortRepository,
  timeOfDay,
  wholeTime,
} from "@/lib/format";

it.each([
  [-5, "0.0 s"],
  [400, "0.4 s"],
  [9_960, "10 s"],
  [59_400, "59 s"],
  [185_000, "3 min 05 s"],
  [3_725_000, "1 h 02 min"],
])("writes %d milliseconds as %s", (milliseconds, text) => {
  expect(duration(milliseconds)).toBe(text);
});

it("writes sizes as people read them", () => {
  expect([memory(2 * 1024 ** 3), memory(512 * 1024 ** 2), cpus(1), cpus(0.5)]).toEqual([
    "2 GB",
    "512 MB",
    "1 CPU",
    "0.5 CPUs",
  ]);
});

it.each([
  [-1, "0 bytes"],
  [1, "1 byte"],
  [1_023, "1023 bytes"],
  [1_024, "1 KB"],
  [1_024 * 1_023.9, "1 MB"],
  [3.44 * 1024 ** 2, "3.4 MB"],
  [120.4 * 1024 ** 3, "120 GB"],
  [5_000 * 1024 ** 4, "5000 TB"],
])("writes %d bytes as %s", (bytes, text) => {
  expect(dataSize(bytes)).toBe(text);
});

it("counts files", () => {
  expect([0, 1, 12_345].map(fileCount)).toEqual(["0 files", "1 file", "12,345 files"]);
});

it("writes moments relative to now, in both directions", () => {
  const now = Date.parse("2026-01-10T00:00:00Z");
  expect(relativeTime("2026-01-09T23:59:50Z", now)).toBe("just now");
  expect(relativeTime("2026-01-09T21:00:00Z", now)).toBe("3 hours ago");
  expect(relativeTime("2026-01-12T00:00:00Z", now)).toBe("in 2 days");
  expect(relativeTime("nonsense", now)).toBe("");
});

it("writes a day, with the year where it is another", () => {
  const now = Date.parse("2026-12-10T12:00:00Z");
  expect(shortDate("2026-12-29T12:00:00Z", now)).toBe("29 Dec");
  expect(shortDate("2027-01-03T12:00:00Z", now)).toBe("3 Jan 2027");
  expect(shortDate("nonsense", now)).toBe("");
});

it("writes the time of day, with the day where it is another", () => {
  const now = new Date(2026, 0, 10, 13, 5).getTime();
  const at = (day: number) => new Date(2026, 0, day, 14, 20, 59).toISOString();
  expect([timeOfDay(at(10), now), timeOfDay(at(11), now), timeOfDay("nonsense", now)]).toEqual([
    "14:20",
    "14:20 on 11 Jan",
    "",
  ]);
});

it("shortens a repository's address and a person's name", () => {
  expect(shortRepository("https://git.example.com/team/atlas.git")).toBe("git.example.com/team/atlas");
  expect([initials("Ada Lovelace"), initials("grace"), initials(" ")]).toEqual(["AL", "G", "?"]);
});

it("writes a time in the largest unit that leaves nothing over", () => {
  expect([60, 90, 5_400, 3_600, 86_400, 7 * 86_400].map(wholeTime)).toEqual([
    "1 minute",
    "90 seconds",
    "90 minutes",
    "1 hour",
    "1 day",
    "7 days",
  ]);
});
