// A stop keeps the files and nothing else.

import assert from "node:assert/strict";

import { Editor } from "../lib/editor.mjs";
import { containers } from "../lib/engine.mjs";
import { FOLDER } from "../lib/git.mjs";
import { editorInPage, openWorkspace, START_LIMIT_MS, stopWorkspace } from "../lib/ways.mjs";
import { left } from "../lib/world.mjs";
import { MADE } from "./04-editor.mjs";

export const stories = {
  "a workspace stopped and started from its page has its files": async (world) => {
    const ada = left(world.ada, "the administrator");
    const { id, name } = left(world.workspace, "a workspace");
    await openWorkspace(ada, id);
    await stopWorkspace(ada, name);
    const names = await containers(world.site.instance);
    assert.ok(!names.some((container) => container.includes(id)), `a container is left: ${names}`);
    await world.gallery.take(ada.page, "stopped");
    // What the editor had open were WebSockets over HTTP/2 (RFC 8441), and the stop has ended them.
    await world.site.says("a WebSocket over HTTP/2", /"http":2,[^\n]*"upgraded":true,[^\n]*"end":"workspace"/);

    // Its own address says so as well to whom a page sends there, and leads to the page that offers
    // the start.
    const address = world.site.originOf(id);
    const sender = `${world.site.origin}/sends-elsewhere`;
    const html = `<!doctype html><title>A page</title><meta http-equiv="refresh" content="0;url=${address}/">`;
    await ada.page.route(sender, (route) => route.fulfill({ contentType: "text/html", body: html }));
    await ada.watch.expecting(/status of 503/, async () => {
      await ada.visit(sender);
      await ada.page.getByRole("heading", { name: "This workspace is stopped" }).waitFor();
    });
    await ada.page.unroute(sender);
    await world.gallery.take(ada.page, "gateway-stopped");
    await ada.page.getByRole("link", { name: "Start it" }).click();
    await ada.page.waitForURL(`${world.site.origin}/workspace/${id}`);
    await ada.page.getByRole("heading", { name: `${name} is stopped` }).waitFor();

    await ada.page.getByRole("button", { name: "Start", exact: true }).click();
    await ada.page.locator('iframe[title="Editor"]').waitFor({ timeout: START_LIMIT_MS });
    const editor = await editorInPage(ada, id);
    await editor.showsFile(MADE);
    await editor.showsFile("README.md");
  },

  "whoever opens the address of a stopped workspace sees it start, and then the editor in the same place": async (
    world,
  ) => {
    const ada = left(world.ada, "the administrator");
    const { id, name } = left(world.workspace, "a workspace");
    await openWorkspace(ada, id);
    await stopWorkspace(ada, name);
    const address = `${world.site.originOf(id)}/?folder=${FOLDER}`;
    await ada.watch.expecting(/status of 503/, async () => {
      await ada.visit(address);
      await ada.page.getByRole("heading", { name: "Your workspace is starting" }).waitFor();
      assert.equal(ada.page.url(), address);
      await world.gallery.take(ada.page, "gateway-starting");
      await Editor.asPage(ada.page).showsFile(MADE, START_LIMIT_MS);
    });
    assert.equal(ada.page.url(), address);
  },
};
