import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { EventFeed, type FeedHandlers } from "@/lib/event-feed";
import { workspace } from "./fixtures";

/** An event source that says what the test says. */
class Source extends EventTarget {
  readyState = 0;
  close = vi.fn();
  tell(type: string, data: unknown): void {
    this.dispatchEvent(new MessageEvent(type, { data: typeof data === "string" ? data : JSON.stringify(data) }));
  }
  fail(readyState: number): void {
    this.readyState = readyState;
    this.dispatchEvent(new Event("error"));
  }
}

function open() {
  const sources: Source[] = [];
  const handlers = {
    onWorkspace: vi.fn<FeedHandlers["onWorkspace"]>(),
    onRemoved: vi.fn<FeedHandlers["onRemoved"]>(),
    onReady: vi.fn<FeedHandlers["onReady"]>(),
    onStatus: vi.fn<FeedHandlers["onStatus"]>(),
    onRefused: vi.fn<FeedHandlers["onRefused"]>(),
  };
  const close = new EventFeed(handlers, () => {
    const source = new Source();
    sources.push(source);
    return source;
  }).open();
  return { sources, handlers, close };
}

describe("EventFeed", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("tells of workspaces, of removals, and of all it has seen", () => {
    const { sources, handlers } = open();
    sources[0]?.tell("workspace", workspace());
    sources[0]?.tell("workspace_removed", { id: "gone" });
    sources[0]?.tell("ready", {});
    expect(handlers.onWorkspace).toHaveBeenCalledWith(workspace());
    expect(handlers.onRemoved).toHaveBeenCalledWith("gone");
    expect(handlers.onReady).toHaveBeenCalledWith(new Set([workspace().id]));
    expect(handlers.onStatus).toHaveBeenLastCalledWith("live");
  });

  it("ignores what is not an event of ours", () => {
    const { sources, handlers } = open();
    sources[0]?.tell("workspace", "not json");
    sources[0]?.tell("workspace", { name: "no id" });
    sources[0]?.tell("workspace_removed", null);
    expect(handlers.onWorkspace).not.toHaveBeenCalled();
    expect(handlers.onRemoved).not.toHaveBeenCalled();
  });

  it("begins a new snapshot with each connection", () => {
    const { sources, handlers } = open();
    sources[0]?.tell("workspace", workspace());
    sources[0]?.fail(0);
    sources[0]?.dispatchEvent(new Event("open"));
    sources[0]?.tell("ready", {});
    expect(handlers.onReady).toHaveBeenLastCalledWith(new Set());
  });

  it("leaves a broken connection to the browser", () => {
    const { sources, handlers } = open();
    sources[0]?.fail(0);
    expect(handlers.onStatus).toHaveBeenLastCalledWith("offline");
    vi.advanceTimersByTime(60_000);
    expect(sources).toHaveLength(1);
    expect(handlers.onRefused).not.toHaveBeenCalled();
  });

  it("tries a refused one again, later each time, and at once again after a success", () => {
    const { sources, handlers } = open();
    sources[0]?.fail(2);
    expect(handlers.onRefused).toHaveBeenCalledOnce();
    vi.advanceTimersByTime(999);
    expect(sources).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(sources).toHaveLength(2);
    sources[1]?.fail(2);
    vi.advanceTimersByTime(1_999);
    expect(sources).toHaveLength(2);
    vi.advanceTimersByTime(1);
    expect(sources).toHaveLength(3);
    sources[2]?.tell("ready", {});
    sources[2]?.fail(2);
    vi.advanceTimersByTime(1_000);
    expect(sources).toHaveLength(4);
  });

  it("is over when it is closed", () => {
    const { sources, handlers, close } = open();
    sources[0]?.fail(2);
    close();
    vi.advanceTimersByTime(60_000);
    expect(sources).toHaveLength(1);
    sources[0]?.fail(2);
    expect(handlers.onRefused).toHaveBeenCalledOnce();
  });
});
