/** A link's secret, out of the address and in this page's memory only. */
let secret: string | null = null;

/**
 * Returns the secret of the link to a port that was opened last in this page, `null` when none was.
 *
 * It is in the fragment, which no browser sends and no server logs. It is taken out of the address
 * bar and the history at once.
 */
export function takeShareSecret(): string | null {
  const url = new URL(window.location.href);
  if (url.hash.length > 1) {
    secret = url.hash.slice(1);
    window.history.replaceState(window.history.state, "", url.pathname + url.search);
  }
  return secret;
}
