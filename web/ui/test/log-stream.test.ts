import { describe, expect, it } from "vitest";

import { asLogLine, NdjsonParser, plainText, readLog } from "@/lib/log-stream";
import { refusal, serve } from "./fixtures";

describe("plainText", () => {
  it.each([
    ["plain words", "plain words"],
    ["\u001b[32mgreen\u001b[0m and \u001b[1;38;5;208mbold\u001b[m", "green and bold"],
    ["remote: done.\u001b[K", "remote: done."],
    ["\u001b]0;a title\u0007text", "text"],
    ["\u001b]8;;https://evil.example\u001b\\link\u001b]8;;\u001b\\", "link"],
    ["\u009b31mred", "red"],
    ["cut off \u001b[3", "cut off "],
    ["\u001b(Btext\u001b=", "text"],
    ["Receiving:  1%\rReceiving: 64%\rReceiving: 99%", "Receiving: 99%"],
    ["Receiving: 99%\r", "Receiving: 99%"],
    ["a\u0000b\u0008c\u007fd", "abcd"],
    ["tab\tstays", "tab\tstays"],
    ["abc\u202edcba\u2066x", "abcdcbax"],
    ["<b>not html</b>", "<b>not html</b>"],
    ["", ""],
  ])("makes %j into %j", (line, expected) => {
    expect(plainText(line)).toBe(expected);
  });

  it("cuts what has no end", () => {
    expect(plainText("x".repeat(100_000)).length).toBeLessThan(5_000);
  });
});

describe("NdjsonParser", () => {
  it("gives the same values however the stream is cut", () => {
    const text = '{"a":1}\n\n{"b":"two\\nlines"}\nnot json\n{"c":3}';
    for (let size = 1; size <= text.length; size += 1) {
      const parser = new NdjsonParser();
      const values: unknown[] = [];
      for (let at = 0; at < text.length; at += size) values.push(...parser.push(text.slice(at, at + size)));
      values.push(...parser.end());
      expect(values).toEqual([{ a: 1 }, { b: "two\nlines" }, { c: 3 }]);
    }
  });

  it("throws an endless line away and goes on behind it", () => {
    const parser = new NdjsonParser();
    expect(parser.push("x".repeat(300 * 1024))).toEqual([]);
    expect(parser.push('tail"}\n{"a":1}\n')).toEqual([{ a: 1 }]);
  });
});

describe("asLogLine", () => {
  it("takes only what is a line", () => {
    expect(asLogLine({ at: "2026-01-01T00:00:00Z", source: "git", text: "\u001b[1mhi" })).toEqual({
      at: "2026-01-01T00:00:00Z",
      source: "git",
      text: "hi",
    });
    for (const other of [null, 1, "text", [], {}, { at: 1, source: "git", text: "x" }]) {
      expect(asLogLine(other)).toBeUndefined();
    }
  });
});

describe("readLog", () => {
  const line = (text: string): string => `${JSON.stringify({ at: "2026-01-01T00:00:00Z", source: "git", text })}\n`;

  it("hands on lines, also where a character is cut in two", async () => {
    const bytes = new TextEncoder().encode(line("grüße") + line("zwei"));
    const cut = bytes.indexOf(0xc3) + 1;
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(bytes.slice(0, cut));
        controller.enqueue(bytes.slice(cut));
        controller.close();
      },
    });
    const fetched = serve({ "GET /api/workspaces/abc/logs": () => new Response(body) });
    const texts: string[] = [];
    await readLog("abc", true, new AbortController().signal, (lines) => texts.push(...lines.map(({ text }) => text)));
    expect(texts).toEqual(["grüße", "zwei"]);
    expect(fetched.mock.calls[0]?.[0]).toBe("/api/workspaces/abc/logs?follow=true");
  });

  it("says why there is no log", async () => {
    serve({ "GET /api/workspaces/abc/logs": () => refusal(404, "workspace_not_found", "there is no such workspace") });
    await expect(readLog("abc", false, new AbortController().signal, () => undefined)).rejects.toMatchObject({
      code: "workspace_not_found",
      status: 404,
    });
  });

  it("ends quietly when it is given up", async () => {
    const abort = new AbortController();
    serve({
      "GET /api/workspaces/abc/logs": () => {
        abort.abort();
        throw new DOMException("given up", "AbortError");
      },
    });
    await expect(readLog("abc", true, abort.signal, () => undefined)).resolves.toBeUndefined();
  });
});
