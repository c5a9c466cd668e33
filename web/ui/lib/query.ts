import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";

import { asApiError } from "@/lib/api/error";
import { isPublicPath, navigate } from "@/lib/navigate";
import { signInPath } from "@/lib/next-path";

/** Names of everything that is kept of the server's state. */
export const keys = {
  site: ["site"] as const,
  session: ["session"] as const,
  workspaces: ["workspaces"] as const,
  workspace: (id: string) => ["workspace", id] as const,
  activity: (id: string, since: string) => ["activity", id, since] as const,
  work: (id: string) => ["work", id] as const,
  figures: (id: string) => ["figures", id] as const,
  snapshots: (id: string) => ["snapshots", id] as const,
  lastKnown: (id: string) => ["last-known", id] as const,
  deletedWorkspaces: ["deleted-workspaces"] as const,
  sharing: (id: string) => ["sharing", id] as const,
  people: (search: string) => ["people", search] as const,
  tokens: ["tokens"] as const,
  places: ["places"] as const,
  users: ["admin", "users"] as const,
  certificates: ["admin", "certificates"] as const,
};

/** Whether the person is signing out on this very page, which then leads to the front page by itself. */
let isSigningOut = false;

/** Says that a sign-out of this page's own began, or came to nothing. */
export function signingOut(is: boolean): void {
  isSigningOut = is;
}

/**
 * Leads to sign-in when an answer says that nobody is signed in, wherever it was asked. Not while
 * the person signs out here: what the page still asks for is refused then, and must not overtake
 * the way to the front page.
 */
export function onApiFailure(cause: unknown): void {
  if (isSigningOut || !asApiError(cause).isSignedOut || isPublicPath(window.location.pathname)) return;
  navigate.replace(signInPath(window.location));
}

/** How soon to ask again where the server did not say. */
const ASK_AGAIN_SECONDS = 3;

/** Longest wait before asking again, whatever the server said. */
const LONGEST_WAIT_SECONDS = 30;

/**
 * How long to wait, in milliseconds, before asking again for what could not be had; `false` when
 * asking again is of no use. So a page goes on by itself when the database is back.
 */
export function askAgainAfter(cause: unknown): number | false {
  const error = asApiError(cause);
  if (!error.isTransient) return false;
  const seconds = error.retryAfterSeconds ?? ASK_AGAIN_SECONDS;
  return Math.min(Math.max(seconds, 1), LONGEST_WAIT_SECONDS) * 1000;
}

/** Makes the cache of server state. One per page load. */
export function makeQueryClient(): QueryClient {
  return new QueryClient({
    queryCache: new QueryCache({ onError: onApiFailure }),
    mutationCache: new MutationCache({ onError: onApiFailure }),
    defaultOptions: {
      queries: {
        staleTime: 5_000,
        networkMode: "always",
        // A refusal stays one; only a server that is away is asked again.
        retry: (failures, cause) => failures < 2 && asApiError(cause).isTransient,
        refetchInterval: ({ state }) => (state.status === "error" ? askAgainAfter(state.error) : false),
        retryDelay: (attempt) => Math.min(600 * 2 ** attempt, 5_000),
      },
      // "Offline" is the browser's guess, and wrong for a server on this very machine.
      mutations: { networkMode: "always" },
    },
  });
}
