// VS Code does what VS Code does.

import assert from "node:assert/strict";

import { Editor } from "../lib/editor.mjs";
import { FOLDER } from "../lib/git.mjs";
import { runInside } from "../lib/engine.mjs";
import { fillSignIn, openWorkspace } from "../lib/ways.mjs";
import { ADA, left } from "../lib/world.mjs";

export const MADE = "from-the-terminal.txt";

export const stories = {
  "a file made in VS Code's terminal is in the Explorer and in the volume": async (world) => {
    const ada = left(world.ada, "the administrator");
    const { id } = left(world.workspace, "a workspace");
    const editor = await openWorkspace(ada, id);
    await editor.showsFile("README.md");
    await editor.openTerminal();
    await editor.makeFile(id, MADE);
    await editor.showsFile(MADE);
    assert.equal(await runInside(id, `cat ${FOLDER}/${MADE}`), "made in the terminal");
    await world.gallery.take(ada.page, "workspace-terminal", { isOurs: false });
  },

  "a workspace's address typed without a session leads through sign-in to exactly that address": async (world) => {
    const { id } = left(world.workspace, "a workspace");
    const wanted = `${world.site.originOf(id)}/?folder=${FOLDER}`;
    const other = await world.browser.person("ada-elsewhere");
    await other.visit(wanted);
    assert.equal(new URL(other.page.url()).origin, world.site.origin, "nothing of the editor is shown");
    await fillSignIn(other, ADA);
    await other.page.waitForURL(wanted);
    await Editor.asPage(other.page).showsFile(MADE);
    assert.equal(other.page.url(), wanted);
    await other.leave();
  },
};
