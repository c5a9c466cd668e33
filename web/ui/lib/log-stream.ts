import { ApiError, networkError, problemFrom } from "@/lib/api/error";
import { isAbort } from "@/lib/api/client";
import type { LogLine } from "@/lib/api/types";

/** A line longer than this is cut: what a container says has no bound of its own. */
const LINE_LIMIT = 4_000;
/** An unfinished NDJSON line may grow to this before it is thrown away. */
const BUFFER_LIMIT = 256 * 1024;

// Written out of code points, so that no editor or tool can eat them.
const ESCAPE = "\\u001b";
const ANSI = new RegExp(
  [
    // Operating-system commands and other strings, up to BEL or ST.
    `(?:${ESCAPE}[\\]PX^_]|[\\u009d\\u0090\\u0098\\u009e\\u009f])[^\\u0007\\u001b\\u009c]*(?:\\u0007|${ESCAPE}\\\\|\\u009c|$)`,
    // Control sequences: colours, cursor movement, erasing.
    `(?:${ESCAPE}\\[|\\u009b)[0-?]*[ -/]*[@-~]`,
    // What is left of a sequence that was cut off, and two-character escapes.
    `(?:${ESCAPE}\\[|\\u009b)[0-?]*[ -/]*$`,
    `${ESCAPE}[ -/]*[0-~]`,
  ].join("|"),
  "g",
);
// Control characters but tab; and the marks that turn the direction of text around.
const UNSEEN = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c]/g;

/**
 * Returns a line as plain text: without escape sequences, without invisible characters, and of a
 * progress display that overwrote itself only what was left standing.
 */
export function plainText(line: string): string {
  const text = line.slice(0, LINE_LIMIT * 4).replace(ANSI, "");
  const last = text.split("\r").findLast((part) => part.trim() !== "") ?? "";
  const plain = last.replace(UNSEEN, "");
  return plain.length > LINE_LIMIT ? `${plain.slice(0, LINE_LIMIT)}…` : plain;
}

/** Cuts a stream of text into the JSON values of its lines; what is no JSON is skipped. */
export class NdjsonParser {
  #rest = "";
  #isSkipping = false;

  /** Takes the next piece and returns the values of the lines it completed. */
  push(chunk: string): unknown[] {
    const lines = (this.#rest + chunk).split("\n");
    this.#rest = lines.pop() ?? "";
    if (this.#isSkipping && lines.length > 0) {
      lines.shift();
      this.#isSkipping = false;
    }
    if (this.#rest.length > BUFFER_LIMIT) {
      this.#rest = "";
      this.#isSkipping = true;
    }
    return lines.flatMap(parseLine);
  }

  /** Returns the value of a last line that had no line end. */
  end(): unknown[] {
    const rest = this.#isSkipping ? "" : this.#rest;
    this.#rest = "";
    this.#isSkipping = false;
    return parseLine(rest);
  }
}

function parseLine(line: string): unknown[] {
  if (line.trim() === "") return [];
  try {
    return [JSON.parse(line) as unknown];
  } catch {
    return [];
  }
}

/** Reads a value as a log line, cleaned for showing; nothing when it is something else. */
export function asLogLine(value: unknown): LogLine | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { at, source, text } = value as Record<string, unknown>;
  if (typeof at !== "string" || typeof source !== "string" || typeof text !== "string") {
    return undefined;
  }
  return { at, source: source as LogLine["source"], text: plainText(text) };
}

/**
 * Reads a workspace's log and hands on its lines in batches as they come, until the server ends
 * the stream or `signal` does. With `isFollowing` the stream goes on with new lines.
 *
 * @throws ApiError when the server refuses or the connection breaks.
 */
export async function readLog(
  id: string,
  isFollowing: boolean,
  signal: AbortSignal,
  onLines: (lines: LogLine[]) => void,
): Promise<void> {
  try {
    const response = await fetch(`/api/workspaces/${encodeURIComponent(id)}/logs?follow=${isFollowing}`, {
      signal,
      credentials: "same-origin",
      cache: "no-store",
      headers: { accept: "application/x-ndjson" },
    });
    if (!response.ok) {
      throw problemFrom(response, await response.json().catch(() => undefined));
    }
    if (response.body === null) return;
    const parser = new NdjsonParser();
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      const values = done ? parser.end() : parser.push(decoder.decode(value, { stream: true }));
      const lines = values.flatMap((entry) => asLogLine(entry) ?? []);
      if (lines.length > 0) onLines(lines);
      if (done) return;
    }
  } catch (cause) {
    if (signal.aborted || isAbort(cause)) return;
    throw cause instanceof ApiError ? cause : networkError(cause);
  }
}
