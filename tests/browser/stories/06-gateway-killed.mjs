// The gateway dies under an open editor.

import assert from "node:assert/strict";

import { containers } from "../lib/engine.mjs";
import { openWorkspace } from "../lib/ways.mjs";
import { left } from "../lib/world.mjs";

export const stories = {
  "after kill -9 of the gateway the editor reconnects by itself": async (world) => {
    const ada = left(world.ada, "the administrator");
    const { id } = left(world.workspace, "a workspace");
    const editor = await openWorkspace(ada, id);
    await editor.showsFile("README.md");
    await editor.openTerminal();
    await editor.makeFile(id, "before-the-kill.txt");
    const before = await containers(world.site.instance);

    // A reload would forget these.
    const frame = ada.page.frames().find((frame) => frame.url().startsWith(world.site.originOf(id)));
    for (const place of [ada.page, frame]) await place.evaluate(() => (window.isTheSameAsBefore = true));

    // While nobody listens, requests fail, and the browser says so.
    await ada.watch.expecting(/net::ERR_|status of 502|status of 503/, async () => {
      const killed = Date.now();
      await world.site.killRole("gateway");
      const back = Date.now() - killed;
      await editor.makeFile(id, "after-the-kill.txt");
      const typed = Date.now() - killed;
      world.note(`kill -9 of the gateway: ready again after ${back} ms, the open terminal works after ${typed} ms`);
    });
    await editor.showsFile("after-the-kill.txt");
    for (const place of [ada.page, frame]) {
      assert.equal(await place.evaluate(() => window.isTheSameAsBefore), true, "the page was loaded again");
    }
    assert.deepEqual(await containers(world.site.instance), before, "no container is lost or doubled");
    // The pages' live updates are back as well.
    await ada.visit("/dashboard");
    await ada.page.getByRole("list", { name: "Workspaces" }).waitFor();
    await ada.page.getByText("Live updates interrupted").waitFor({ state: "detached" });
  },
};
