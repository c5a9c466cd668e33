/** What the server says when it refuses: a stable code, a sentence, and often the next step. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    /** Stable, snake_case; what programs decide by. */
    readonly code: string,
    /** One sentence for people. */
    message: string,
    /** HTTP status, or 0 when no answer arrived. */
    readonly status: number,
    /** What to do about it, if there is something. */
    readonly hint?: string,
    /** Names the request in the server's log. */
    readonly requestId?: string,
    /** Seconds the server asks to wait before trying again. */
    readonly retryAfterSeconds?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  /** Whether nobody is signed in any more. A wrong password at sign-in has its own code. */
  get isSignedOut(): boolean {
    return this.status === 401 && this.code !== "wrong_credentials";
  }

  /** Whether the database does not answer, or takes no changes while it is moved. */
  get isDatabaseAway(): boolean {
    return this.code === "store_unavailable" || this.code === "store_frozen";
  }

  /** Whether trying again, unchanged, may succeed. */
  get isTransient(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 503 || this.status === 504;
  }
}

/** Makes the error for a request that got no answer. */
export function networkError(cause?: unknown): ApiError {
  return new ApiError(
    "server_unreachable",
    "The server did not answer.",
    0,
    "Check your connection, or ask whoever runs this Kalpana whether it is up.",
    undefined,
    undefined,
    { cause },
  );
}

/** Reads the error out of a refusal. Bodies that are not ours still become a usable sentence. */
export function problemFrom(response: Response, body: unknown): ApiError {
  const retryAfter = retryAfterSeconds(response.headers.get("retry-after"));
  const problem = field(body, "error");
  const code = text(field(problem, "code"));
  const message = text(field(problem, "message"));
  if (code !== undefined && message !== undefined) {
    return new ApiError(
      code,
      asSentence(message),
      response.status,
      sentenceOrNothing(text(field(problem, "hint"))),
      text(field(problem, "request_id")),
      retryAfter,
    );
  }
  const gone = response.status >= 502 && response.status <= 504;
  return new ApiError(
    `http_${response.status}`,
    gone
      ? "The server is away for the moment."
      : `The server answered with status ${response.status}.`,
    response.status,
    gone ? "It usually comes back by itself; try again in a few seconds." : undefined,
    response.headers.get("x-request-id") ?? undefined,
    retryAfter,
  );
}

/** Turns whatever was thrown into an {@link ApiError}, so that the page has one shape to show. */
export function asApiError(cause: unknown): ApiError {
  if (cause instanceof ApiError) return cause;
  return new ApiError(
    "unexpected",
    "Something went wrong in this page.",
    0,
    "Reload it; if that does not help, tell whoever runs this Kalpana.",
    undefined,
    undefined,
    { cause },
  );
}

/** Reads `Retry-After`, which is seconds or a date. */
export function retryAfterSeconds(header: string | null, now = Date.now()): number | undefined {
  if (header === null) return undefined;
  if (/^\d+$/.test(header.trim())) return Number(header.trim());
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, Math.ceil((at - now) / 1000));
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function sentenceOrNothing(value: string | undefined): string | undefined {
  return value === undefined ? undefined : asSentence(value);
}

/** The server's messages may start small and end without a stop, as log lines do. */
function asSentence(value: string): string {
  const trimmed = value.trim();
  const capital = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`;
}
