/** The setup link's secret, out of the address and in this page's memory only. */
let token: string | null | undefined;

/**
 * Returns the token of the one-time setup link, `null` when the address had none.
 *
 * The first call takes it out of the address bar and the history, so that it is neither bookmarked
 * nor seen over a shoulder nor sent on as a referrer.
 */
export function takeSetupToken(): string | null {
  if (token === undefined) {
    const url = new URL(window.location.href);
    const found = url.searchParams.get("token");
    token = found === null || found === "" ? null : found;
    if (found !== null) {
      url.searchParams.delete("token");
      window.history.replaceState(window.history.state, "", url.pathname + url.search + url.hash);
    }
  }
  return token;
}
