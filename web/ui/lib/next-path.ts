/** Where people go when no other place was asked for. */
export const HOME = "/dashboard";

/**
 * Returns the place to go to after sign-in: `wanted` when it is a path of this very origin, else
 * the dashboard.
 *
 * Only what begins with a single `/` counts. Browsers read `//host` and `/\host` as another host,
 * and drop tabs and newlines before reading, so control characters are refused as well.
 */
export function safeNext(wanted: string | null | undefined, origin: string): string {
  if (wanted === null || wanted === undefined || !wanted.startsWith("/")) return HOME;
  if (wanted[1] === "/" || wanted[1] === "\\") return HOME;
  if (/[\u0000-\u001f\u007f]/.test(wanted)) return HOME;
  try {
    // Belt and braces: what the browser itself makes of it must stay here.
    const url = new URL(wanted, origin);
    if (url.origin !== origin) return HOME;
    // Back to the sign-in page would be a circle.
    if (url.pathname === "/login" || url.pathname.startsWith("/login/")) return HOME;
  } catch {
    return HOME;
  }
  return wanted;
}

/**
 * Returns the place to go to after sign-in, with the fragment that the browser carried along: a
 * redirect to the sign-in page keeps the fragment of the address that led to it.
 */
export function destinationAfterSignIn(location: Pick<Location, "search" | "hash" | "origin">): string {
  const next = safeNext(new URLSearchParams(location.search).get("next"), location.origin);
  return next.includes("#") ? next : next + location.hash;
}

/** Returns the sign-in address that leads back to where the person is now. */
export function signInPath(location: Pick<Location, "pathname" | "search" | "hash">): string {
  const here = location.pathname + location.search;
  return `/login?next=${encodeURIComponent(here)}${location.hash}`;
}
