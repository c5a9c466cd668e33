import createClient from "openapi-fetch";

import { ApiError, networkError, problemFrom } from "@/lib/api/error";
import type { paths } from "@/lib/api/schema";

/**
 * The one typed client of Kalpana's API. Same origin, so that the session cookie and the browser's
 * own Fetch-Metadata headers are all the authentication there is.
 */
export const api = createClient<paths>({
  // Pages are also rendered when they are exported; nothing is asked for there.
  baseUrl: typeof window === "undefined" ? "" : window.location.origin,
  credentials: "same-origin",
  cache: "no-store",
  // Looked up at call time, so that a test can put its own `fetch` in place.
  fetch: (request) => globalThis.fetch(request),
});

/** What openapi-fetch resolves to, as far as {@link unwrap} needs it. */
interface Answer<Data> {
  data?: Data;
  error?: unknown;
  response: Response;
}

/**
 * Waits for an answer and returns its body.
 *
 * @throws ApiError for every answer that is not a success, and when there was no answer at all.
 */
export async function unwrap<Data>(pending: Promise<Answer<Data>>): Promise<Data> {
  let answer: Answer<Data>;
  try {
    answer = await pending;
  } catch (cause) {
    if (cause instanceof ApiError || isAbort(cause)) throw cause;
    throw networkError(cause);
  }
  if (!answer.response.ok) throw problemFrom(answer.response, answer.error);
  // 204 has no body; its callers ask for `Data = undefined`.
  return answer.data as Data;
}

/** Tells whether an operation ended because its caller gave it up. */
export function isAbort(cause: unknown): boolean {
  return cause instanceof DOMException && cause.name === "AbortError";
}
