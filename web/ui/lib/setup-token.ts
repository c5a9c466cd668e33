/** The setup link's secret, out of the address and in this page's memory only. */
let token: string | null | undefined;

/**
 * Returns the token of the one-time setup link, `null` when the address had none.
 *
 * It is in the fragment, which no browser sends and no server logs. The first call takes it out of
 * the address bar and the history, so that it is neither bookmarked nor seen over a shoulder.
 */
export function takeSetupToken(): string | null {
  if (token === undefined) {
    const url = new URL(window.location.href);
    const found = new URLSearchParams(url.hash.slice(1)).get("token");
    token = found === null || found === "" ? null : found;
    if (found !== null) {
      window.history.replaceState(window.history.state, "", url.pathname + url.search);
    }
  }
  return token;
}
