/**
 * Full page loads, in one place. Leaving the page is right where the target is not one of the
 * exported pages as they are (a workspace's address, the server's own paths), and at sign-in and
 * sign-out, where nothing of the old page may remain.
 */
export const navigate = {
  /** Goes to `path`; back returns here. */
  to(path: string): void {
    window.location.assign(path);
  },
  /** Goes to `path` in place of this page. */
  replace(path: string): void {
    window.location.replace(path);
  },
};

/** Returns the address of a workspace's page. */
export function workspacePath(id: string): string {
  return `/workspace/${encodeURIComponent(id)}`;
}

/** The part of the dashboard that lists deleted workspaces. */
export const RECENTLY_DELETED = "recently-deleted";

/** Reads the workspace's id out of the page's path, whatever page was exported for it. */
export function workspaceIdFromPath(pathname: string): string | undefined {
  const match = /^\/workspace\/([^/]+)\/?$/.exec(pathname);
  if (match?.[1] === undefined) return undefined;
  try {
    return decodeURIComponent(match[1]);
  } catch {
    return undefined;
  }
}

const PUBLIC_PATHS = new Set(["/", "/login", "/setup", "/share"]);

/** Tells whether a page makes sense without being signed in. */
export function isPublicPath(pathname: string): boolean {
  return PUBLIC_PATHS.has(pathname.replace(/(.)\/$/, "$1"));
}
