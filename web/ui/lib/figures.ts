/** What a workspace uses of the machine, as people read it. */
import type { FiguresLimits, FiguresNow, FiguresSample } from "@/lib/api/types";
import { cpus, dataSize } from "@/lib/format";

/** How near to its limit something is. */
export type Tone = "calm" | "warning" | "critical";

const WARNING_SHARE = 0.8;
const CRITICAL_SHARE = 0.95;

/** Returns which part of its limit something is, from 0 to 1; nothing where there is no limit. */
export function shareOf(value: number | null | undefined, limit: number | null | undefined): number | undefined {
  if (value === null || value === undefined || limit === null || limit === undefined || limit <= 0) return undefined;
  return Math.min(Math.max(value / limit, 0), 1);
}

/** Returns how near to its limit a share is. */
export function toneOf(share: number | undefined): Tone {
  if (share === undefined || share < WARNING_SHARE) return "calm";
  return share < CRITICAL_SHARE ? "warning" : "critical";
}

/** Returns e.g. `38%`. */
export function percent(share: number): string {
  return `${Math.round(share * 100)}%`;
}

/** Returns e.g. `38% of 2 CPUs`, or `0.4 CPUs` without a limit. */
export function cpuText(cores: number | null | undefined, limit: number | null | undefined): string {
  if (cores === null || cores === undefined) return "–";
  const share = shareOf(cores, limit);
  return share === undefined || limit === null || limit === undefined ? cpus(cores) : `${percent(share)} of ${cpus(limit)}`;
}

/** Returns e.g. `1.2 GB of 2 GB`. */
export function memoryText(bytes: number | null | undefined, limit: number | null | undefined): string {
  if (bytes === null || bytes === undefined) return "–";
  return limit === null || limit === undefined ? dataSize(bytes) : `${dataSize(bytes)} of ${dataSize(limit)}`;
}

/** Returns e.g. `42 of 1024`. */
export function countText(count: number | null | undefined, limit: number | null | undefined): string {
  if (count === null || count === undefined) return "–";
  return limit === null || limit === undefined ? String(count) : `${count} of ${limit}`;
}

/** Returns e.g. `3.4 KB/s`. */
export function rateText(rate: number | null | undefined): string {
  return rate === null || rate === undefined ? "–" : `${dataSize(rate)}/s`;
}

const WHY_NONE: Record<NonNullable<FiguresNow["reason"]>, string> = {
  engine_away: "The container engine does not answer right now.",
  elsewhere: "Its container is not on the server's own host, or is not there any more, so what it uses cannot be read.",
  forbidden: "The server may not read what it uses. An administrator of this site can change that.",
  unreadable: "What it uses cannot be read on this server.",
};

/** Says why there are no figures of the moment; nothing when there are. */
export function whyNone(now: FiguresNow): string | undefined {
  if (now.state === "stopped") return "It does not run, and uses no memory and no processor.";
  if (now.state !== "unavailable") return undefined;
  return now.reason === null || now.reason === undefined ? WHY_NONE.unreadable : WHY_NONE[now.reason];
}

/** Says of memory that is nearly used up what that means; nothing while there is enough. */
export function memoryWarning(sample: FiguresSample, limits: FiguresLimits): string | undefined {
  switch (toneOf(shareOf(sample.memory_bytes, limits.memory_bytes))) {
    case "critical":
      return "Memory is almost used up. The kernel ends programs when it is.";
    case "warning":
      return "Memory is getting scarce.";
    case "calm":
      return undefined;
  }
}

/** Says how many processes the kernel ended; nothing when it ended none. */
export function killsText(count: number): string | undefined {
  if (count === 0) return undefined;
  const what = count === 1 ? "a process" : `${count} processes`;
  return `The kernel ended ${what} since the start because memory was used up. The workspace's log may say which.`;
}

/** A point of a chart: where it is from left to right, and how high. Both from 0 to 1. */
export interface Point {
  x: number;
  y: number;
}

/** Returns values side by side, the newest at the right end, as if there were `places` of them. */
export function latest(values: readonly (number | null | undefined)[], top: number, places: number): Point[][] {
  const from = places - values.length;
  return runs(
    values.map((value, index) => ({ x: (from + index) / Math.max(places - 1, 1), value })),
    top,
    1.5 / Math.max(places - 1, 1),
  );
}

/** Returns samples of the time before `now` at their places in it. */
export function overTime(
  samples: readonly FiguresSample[],
  value: (sample: FiguresSample) => number | null | undefined,
  { now, span, resolution, top }: { now: number; span: number; resolution: number; top: number },
): Point[][] {
  const placed = samples.map((sample) => ({ x: 1 - (now - Date.parse(sample.at)) / span, value: value(sample) }));
  // A minute's sample may come a little late; where one is missing, it did not run.
  return runs(
    placed.filter(({ x }) => x >= 0 && x <= 1),
    top,
    (2.5 * resolution * 1000) / span,
  );
}

/** Cuts points into lines: what is not known, and what is far apart, is not joined. */
function runs(placed: { x: number; value: number | null | undefined }[], top: number, farthest: number): Point[][] {
  const lines: Point[][] = [];
  let line: Point[] = [];
  const finish = (): void => {
    if (line.length > 0) lines.push(line);
    line = [];
  };
  for (const { x, value } of placed) {
    if (value === null || value === undefined) {
      finish();
      continue;
    }
    const before = line.at(-1);
    if (before !== undefined && x - before.x > farthest) finish();
    line.push({ x, y: top > 0 ? Math.min(Math.max(value / top, 0), 1) : 0 });
  }
  finish();
  return lines;
}

/** Returns two values together; nothing where neither is known. */
export function together(one: number | null | undefined, other: number | null | undefined): number | null {
  return typeof one === "number" || typeof other === "number" ? (one ?? 0) + (other ?? 0) : null;
}

/** Returns the most of some values, or `least` where all are lower. */
export function topOf(values: readonly (number | null | undefined)[], least: number): number {
  return values.reduce<number>((top, value) => Math.max(top, value ?? 0), least);
}

/** Says in words what a chart of a day shows. */
export function daySummary(samples: readonly FiguresSample[], limits: FiguresLimits): string {
  if (samples.length === 0) return "Nothing was recorded in the last 24 hours.";
  const memory = topOf(samples.map((sample) => sample.memory_bytes), 0);
  const most = `In the last 24 hours at most ${memoryText(memory, limits.memory_bytes)} of memory`;
  const cpu = samples.map((sample) => sample.cpu_cores).filter((cores) => typeof cores === "number");
  return cpu.length === 0 ? `${most}.` : `${most} and ${cpuText(topOf(cpu, 0), limits.cpu_cores)}.`;
}
