// What must hold of every page that the stories before have passed.

import assert from "node:assert/strict";

/** Each page of the product, and each of its dialogs. */
const PAGES = [
  "account",
  "account-places",
  "admin",
  "asleep",
  "create-dialog",
  "create-dialog-wrong",
  "dashboard",
  "dashboard-empty",
  "dashboard-several",
  "delete-dialog",
  "elsewhere-dialog",
  "failed",
  "figures",
  "figures-day",
  "gateway-asleep",
  "gateway-link-over",
  "gateway-not-found",
  "gateway-port-not-listening",
  "gateway-starting",
  "gateway-stopped",
  "landing",
  "link-gone",
  "login",
  "login-refused",
  "not-found",
  "password-refused",
  "person-dialog",
  "progress",
  "purge-dialog",
  "recently-deleted",
  "request-access",
  "revoke-dialog",
  "setup",
  "setup-done",
  "share-form",
  "sharing-dialog",
  "sleep-dialog",
  "sleep-popover",
  "snapshot-restore",
  "snapshots",
  "stopped",
  "token-dialog",
  "workspace",
  "workspace-archived",
  "workspace-deleted",
  "workspace-elsewhere",
  "workspace-not-found",
  "workspace-terminal",
];

/** Fails with the whole list, one entry to a line. */
function none(found) {
  assert.ok(found.length === 0, `\n${found.join("\n")}`);
}

export const stories = {
  "there is a picture of every page": ({ gallery }) => {
    assert.deepEqual(gallery.taken, PAGES);
  },
  "no page of ours complained in the console, and none broke its content security policy": ({ browser }) =>
    none(browser.watch.complaints),
  "no page of ours breaks a serious accessibility rule": ({ gallery }) => none(gallery.violations),
  "every page of ours follows the system's colours": ({ gallery }) => none(gallery.wrongColours),
  "no page of ours is wider than its window": ({ gallery }) => none(gallery.overflows),
};
