import type { Workspace } from "@/lib/api/types";

/** Whether changes arrive as they happen. */
export type FeedStatus = "connecting" | "live" | "offline";

/** What an {@link EventFeed} tells. */
export interface FeedHandlers {
  onWorkspace(workspace: Workspace): void;
  onRemoved(id: string): void;
  /** All that existed when the stream opened has been told; `seen` are its ids. */
  onReady(seen: ReadonlySet<string>): void;
  onStatus(status: FeedStatus): void;
  /** The server refused the stream; the session may have ended. */
  onRefused(): void;
}

/** The part of `EventSource` that is used; tests bring their own. */
export interface EventSourceLike {
  readonly readyState: number;
  addEventListener(type: string, listener: (event: Event) => void): void;
  close(): void;
}

const CLOSED = 2;
const FIRST_DELAY_MS = 1_000;
const LONGEST_DELAY_MS = 15_000;

/**
 * The stream of workspace changes (`GET /api/events`).
 *
 * The browser reconnects by itself when a connection breaks, but gives up for good on an answer
 * that is an error, as a gateway gives while the server behind it restarts. Then this does it,
 * waiting longer each time.
 */
export class EventFeed {
  #source: EventSourceLike | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #delay = FIRST_DELAY_MS;
  #seen = new Set<string>();

  constructor(
    private readonly handlers: FeedHandlers,
    private readonly connect: () => EventSourceLike = () => new EventSource("/api/events"),
  ) {}

  /** Opens the stream; returns what closes it. */
  open(): () => void {
    this.#listen();
    return () => {
      clearTimeout(this.#timer);
      this.#source?.close();
      this.#source = undefined;
    };
  }

  #listen(): void {
    const source = this.connect();
    this.#source = source;
    this.handlers.onStatus("connecting");
    source.addEventListener("open", () => {
      this.#seen = new Set();
    });
    source.addEventListener("workspace", (event) => {
      const workspace = parse(event);
      if (!isWorkspace(workspace)) return;
      this.#seen.add(workspace.id);
      this.handlers.onWorkspace(workspace);
    });
    source.addEventListener("workspace_removed", (event) => {
      const removed = parse(event);
      if (typeof removed !== "object" || removed === null) return;
      const { id } = removed as { id?: unknown };
      if (typeof id === "string") this.handlers.onRemoved(id);
    });
    source.addEventListener("ready", () => {
      this.#delay = FIRST_DELAY_MS;
      this.handlers.onReady(this.#seen);
      this.handlers.onStatus("live");
    });
    source.addEventListener("error", () => this.#failed(source));
  }

  #failed(source: EventSourceLike): void {
    if (source !== this.#source) return;
    this.handlers.onStatus("offline");
    if (source.readyState !== CLOSED) return;
    source.close();
    this.handlers.onRefused();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#listen(), this.#delay);
    this.#delay = Math.min(this.#delay * 2, LONGEST_DELAY_MS);
  }
}

function parse(event: Event): unknown {
  try {
    return JSON.parse((event as MessageEvent<string>).data) as unknown;
  } catch {
    return undefined;
  }
}

function isWorkspace(value: unknown): value is Workspace {
  if (typeof value !== "object" || value === null) return false;
  const { id, state } = value as Record<string, unknown>;
  return typeof id === "string" && typeof state === "string";
}
