// A token for the command line.

import assert from "node:assert/strict";

import { left } from "../lib/world.mjs";

export const stories = {
  "a token made on the account page is shown once, works on the command line, and can be revoked": async (world) => {
    const ada = left(world.ada, "the administrator");
    const { id } = left(world.workspace, "a workspace");
    const { page } = ada;
    await ada.visit("/account");
    await page.getByRole("button", { name: "New token" }).click();
    const dialog = page.getByRole("dialog", { name: "New API token" });
    await dialog.getByLabel("Name").fill("laptop");
    await world.gallery.take(page, "token-dialog");
    await dialog.getByRole("button", { name: "Create token" }).click();
    const shown = page.getByRole("dialog", { name: "Token laptop created" });
    const token = await shown.getByLabel("Token", { exact: true }).inputValue();
    assert.match(token, /^kp_[0-9a-f]{32}_[A-Za-z0-9_-]{43}_[0-9a-f]{8}$/);
    await shown.getByRole("button", { name: "Done" }).click();
    await shown.waitFor({ state: "detached" });
    assert.ok(!(await page.content()).includes(token), "the secret stays on the page");

    await ada.visit("/account");
    const row = page.getByRole("list", { name: "API tokens" }).getByRole("listitem", { name: "laptop" });
    await row.waitFor();
    assert.ok(!(await page.content()).includes(token), "the secret comes back");
    await world.gallery.take(page, "account");

    const list = () =>
      world.site.kalpana(["workspace", "list", "--format", "json"], { variables: { KALPANA_TOKEN: token } });
    const listed = await list();
    assert.equal(listed.code, 0, listed.stderr);
    assert.ok(JSON.parse(listed.stdout).some((workspace) => workspace.id === id), listed.stdout);

    await row.getByRole("button", { name: "Revoke laptop" }).click();
    const question = page.getByRole("alertdialog");
    await world.gallery.take(page, "revoke-dialog");
    await question.getByRole("button", { name: /^Revoke/ }).click();
    await question.waitFor({ state: "detached" });
    await row.waitFor({ state: "detached" });
    const refused = await list();
    assert.notEqual(refused.code, 0, refused.stdout);
  },
};
