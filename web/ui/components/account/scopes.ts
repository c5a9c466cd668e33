import type { Scope } from "@/lib/api/types";

/** What a token may be used for, as people choose it. */
export const SCOPES: readonly { scope: Scope; label: string; isForAdministrators: boolean }[] = [
  { scope: "workspace:read", label: "See workspaces, their logs and events", isForAdministrators: false },
  { scope: "workspace:write", label: "Create, start and stop workspaces", isForAdministrators: false },
  { scope: "workspace:delete", label: "Delete workspaces", isForAdministrators: false },
  { scope: "users:write", label: "Manage people", isForAdministrators: true },
];

/** How long a token may live, in days. */
export const LIFETIMES: readonly { days: number; label: string }[] = [
  { days: 7, label: "7 days" },
  { days: 30, label: "30 days" },
  { days: 90, label: "90 days" },
  { days: 365, label: "1 year" },
];
