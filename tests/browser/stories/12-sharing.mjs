// A port is shared: with a colleague who asks, and with a stranger who has a link.

import assert from "node:assert/strict";

import { runInside } from "../lib/engine.mjs";
import { until } from "../lib/until.mjs";
import { openWorkspace } from "../lib/ways.mjs";
import { left } from "../lib/world.mjs";

const PORT = 3000;
const GREETING = "hello from the workspace";

/** Opens the owner's dialog about sharing. */
async function openSharing(ada, id) {
  await openWorkspace(ada, id);
  await ada.page.getByRole("button", { name: /^Share ports/ }).click();
  const dialog = ada.page.getByRole("dialog", { name: /^Sharing of / });
  await dialog.waitFor();
  return dialog;
}

/** Shares the port, or shares it in another way, at the level that is called `level`. */
async function shareAt(dialog, level, { isNew = false } = {}) {
  if (isNew) {
    await dialog.getByRole("button", { name: "Share a port" }).click();
    await dialog.getByLabel("Port", { exact: true }).fill(String(PORT));
  } else {
    await dialog.getByRole("button", { name: `Change who can open port ${PORT}` }).click();
  }
  await dialog.getByRole("radio", { name: level }).click();
  await dialog.getByRole("button", { name: isNew ? "Share port" : "Save" }).click();
  await dialog.getByRole("heading", { name: `Port ${PORT}` }).waitFor();
}

export const stories = {
  "a colleague who asks is let in, and cut off when sharing ends": async (world) => {
    const ada = left(world.ada, "the administrator");
    const grace = left(world.grace, "a second person");
    const { id } = left(world.workspace, "a workspace");
    const address = world.site.originOf(`${PORT}-${id}`);
    let dialog = await openSharing(ada, id);
    await dialog.getByText("No port is shared").waitFor();
    const server = `require("http").createServer((q, a) => a.end("${GREETING}")).listen(${PORT}, "127.0.0.1")`;
    await runInside(id, `nohup node -e '${server}' >/dev/null 2>&1 &`);

    await grace.visit(address);
    await grace.page.getByRole("button", { name: "Request access" }).click();
    await grace.page.getByRole("heading", { name: "Your request is on its way" }).waitFor();
    dialog = await openSharing(ada, id);
    await dialog.getByText("would like to open port").waitFor();
    await world.gallery.take(ada.page, "sharing-dialog");
    await dialog.getByRole("button", { name: `Approve Grace Hopper for port ${PORT}` }).click();
    await dialog.getByText("Named: Grace Hopper").waitFor();
    await until("Grace to see the port", async () => {
      await grace.visit(address);
      return (await grace.page.innerText("body")).includes(GREETING);
    });
    assert.equal(new URL(grace.page.url()).origin, address);

    await dialog.getByRole("button", { name: `Stop sharing port ${PORT}` }).click();
    await ada.page.getByRole("alertdialog").getByRole("button", { name: "Stop sharing" }).click();
    await dialog.getByText("No port is shared").waitFor();
    const refused = await grace.watch.expecting(/status of 403/, () =>
      grace.page.evaluate(async () => (await fetch("/", { cache: "no-store" })).status));
    assert.equal(refused, 403);
    await grace.visit(address);
    await grace.page.getByRole("button", { name: "Request access" }).waitFor();
  },

  "a stranger with a link is let in until it is revoked": async (world) => {
    const ada = left(world.ada, "the administrator");
    const { id } = left(world.workspace, "a workspace");
    const address = world.site.originOf(`${PORT}-${id}`);
    const dialog = await openSharing(ada, id);
    await dialog.getByRole("button", { name: "Share a port" }).click();
    await world.gallery.take(ada.page, "share-form");
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await shareAt(dialog, /Anyone with a link/, { isNew: true });
    await dialog.getByRole("button", { name: /^New link/ }).click();
    await dialog.getByRole("button", { name: "Make link" }).click();
    const link = await dialog.getByLabel(/Copy this link now/).inputValue();
    assert.ok(link.startsWith(`${world.site.origin}/share#ksl_`), link);

    const stranger = await world.browser.person("stranger");
    await stranger.visit(link);
    await stranger.page.waitForURL(`${address}/`);
    assert.equal(await stranger.page.innerText("body"), GREETING);

    await dialog.getByRole("button", { name: "Done" }).click();
    await dialog.getByRole("button", { name: `Revoke the link to port ${PORT}` }).click();
    await dialog.getByText("None yet").waitFor();
    await stranger.watch.expecting(/status of 410/, async () => {
      const answer = await stranger.visit(address);
      assert.equal(answer.status(), 410);
      await stranger.page.getByRole("heading", { name: "This link has ended" }).waitFor();
    });
    await world.gallery.take(stranger.page, "gateway-link-over");
    await stranger.watch.expecting(/status of 410/, async () => {
      await stranger.visit(link);
      await stranger.page.getByRole("heading", { name: "This link does not lead anywhere" }).waitFor();
    });
    await world.gallery.take(stranger.page, "link-gone");
    await stranger.leave();
  },

  "a public port is open to everybody, and to nobody once it is not": async (world) => {
    const ada = left(world.ada, "the administrator");
    const { id } = left(world.workspace, "a workspace");
    const address = world.site.originOf(`${PORT}-${id}`);
    const dialog = await openSharing(ada, id);
    await shareAt(dialog, /Everybody on the internet/);
    const stranger = await world.browser.person("stranger");
    await stranger.visit(address);
    assert.equal(await stranger.page.innerText("body"), GREETING);
    assert.deepEqual(await stranger.context.cookies(address), [], "without a session");
    await shareAt(dialog, /Everybody here/);
    await stranger.visit(address);
    await stranger.page.waitForURL(`${world.site.origin}/login?*`);
    await stranger.leave();
  },
};
