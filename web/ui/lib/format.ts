/** Numbers, sizes and times as people read them. */

const GIBIBYTE = 1024 ** 3;

/** Returns e.g. `2 GB`: memory is sold by that name, whatever the base. */
export function memory(bytes: number): string {
  const gigabytes = bytes / GIBIBYTE;
  return gigabytes >= 1
    ? `${trimmed(gigabytes)} GB`
    : `${Math.max(1, Math.round(bytes / 1024 ** 2))} MB`;
}

const DATA_UNITS = ["bytes", "KB", "MB", "GB", "TB"] as const;

/** Returns e.g. `512 bytes`, `3.4 MB` or `120 GB`, with the same base as {@link memory}. */
export function dataSize(bytes: number): string {
  let value = Math.max(0, bytes);
  let unit = 0;
  // What would be written as 1024 of a unit is one of the next.
  while (value >= 1023.5 && unit < DATA_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const text = unit > 0 && value < 99.95 ? trimmed(value) : String(Math.round(value));
  return text === "1" && unit === 0 ? "1 byte" : `${text} ${DATA_UNITS[unit]}`;
}

/** Returns e.g. `1 file` or `12,345 files`. */
export function fileCount(files: number): string {
  return `${new Intl.NumberFormat("en").format(files)} ${files === 1 ? "file" : "files"}`;
}

/** Returns e.g. `1 CPU` or `0.5 CPUs`. */
export function cpus(count: number): string {
  return `${trimmed(count)} ${count === 1 ? "CPU" : "CPUs"}`;
}

function trimmed(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** Returns a duration as e.g. `0.4 s`, `12 s`, `3 min 05 s` or `1 h 02 min`. */
export function duration(milliseconds: number): string {
  const safe = Math.max(0, milliseconds);
  if (safe < 9_950) return `${(safe / 1000).toFixed(1)} s`;
  const seconds = Math.round(safe / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(seconds % 60).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

const WHOLE_UNITS: readonly [string, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** Returns e.g. `90 minutes` or `1 day`: whole seconds in the largest unit that leaves nothing over. */
export function wholeTime(seconds: number): string {
  const [unit, size] = WHOLE_UNITS.find(([, size]) => seconds % size === 0) ?? ["second", 1];
  const count = seconds / size;
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

const UNITS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 365 * 86_400],
  ["month", 30 * 86_400],
  ["week", 7 * 86_400],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** Returns e.g. `5 minutes ago`, `in 3 days`, or `just now`. */
export function relativeTime(at: string, now: number): string {
  const seconds = Math.round((Date.parse(at) - now) / 1000);
  if (Number.isNaN(seconds)) return "";
  for (const [unit, size] of UNITS) {
    if (Math.abs(seconds) >= size) {
      return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(
        Math.trunc(seconds / size),
        unit,
      );
    }
  }
  return "just now";
}

/** Returns the full date and time, for tooltips. */
export function fullTime(at: string): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime())
    ? ""
    : new Intl.DateTimeFormat("en", { dateStyle: "long", timeStyle: "short" }).format(date);
}

/** Returns the day as e.g. `29 Dec`, with the year where it is not this one. */
export function shortDate(at: string, now: number): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "";
  const month = new Intl.DateTimeFormat("en", { month: "short" }).format(date);
  const day = `${date.getDate()} ${month}`;
  const year = date.getFullYear();
  return year === new Date(now).getFullYear() ? day : `${day} ${year}`;
}

/** Returns the time of day as e.g. `14:20`, with the day where it is not today. */
export function timeOfDay(at: string, now: number): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "";
  const time = clockTime(at).slice(0, "00:00".length);
  const isToday = date.toDateString() === new Date(now).toDateString();
  return isToday ? time : `${time} on ${shortDate(at, now)}`;
}

/** Returns the time of day, for log lines. */
export function clockTime(at: string): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "";
  return [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((part) => String(part).padStart(2, "0"))
    .join(":");
}

/** Returns a repository's URL without what every one of them has. */
export function shortRepository(url: string): string {
  return url.replace(/^https?:\/\//, "").replace(/\/+$/, "").replace(/\.git$/, "");
}

/** Longest name of a browser that is shown whole. */
const BROWSER_LIMIT = 100;

/** Returns what a browser calls itself without what every one of them says. */
export function browserName(userAgent: string | null | undefined): string {
  const text = (userAgent ?? "")
    .replace(/^Mozilla\/5\.0 /, "")
    .replace(/AppleWebKit\/\S+ \(KHTML, like Gecko\) /, "")
    .trim();
  if (text === "") return "A browser without a name";
  const letters = [...text];
  return letters.length > BROWSER_LIMIT ? `${letters.slice(0, BROWSER_LIMIT - 1).join("")}…` : text;
}

/** Returns e.g. `small` as `Small`. */
export function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Returns up to two initials of a name. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : [words[0]];
  return letters.map((word) => [...(word ?? "?")][0] ?? "?").join("").toUpperCase();
}
