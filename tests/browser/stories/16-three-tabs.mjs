// One sign-out ends what every tab of a browser has, and no tab brings it back by itself.

import assert from "node:assert/strict";

import { Editor } from "../lib/editor.mjs";
import { until } from "../lib/until.mjs";
import { editorInPage, fillSignIn, openWorkspace, signIn, signOut } from "../lib/ways.mjs";
import { ADA, left } from "../lib/world.mjs";

/** What a browser has of a workspace when it is let in. */
const SESSION = "__Host-kws";

export const stories = {
  "a sign-out in one of three tabs ends all three, and none gets a new session without a password": async (world) => {
    const { id } = left(world.workspace, "a workspace");
    const editorOrigin = world.site.originOf(id);
    const ada = await world.browser.person("ada in three tabs");
    await signIn(ada, ADA);
    const inFrame = await ada.context.newPage();
    const bare = await ada.context.newPage();
    await openWorkspace({ ...ada, page: inFrame, visit: (path) => inFrame.goto(world.site.origin + path) }, id);
    await Editor.inFrame(inFrame).showsFile("README.md");
    await bare.goto(`${editorOrigin}/`);
    await Editor.asPage(bare).showsFile("README.md");
    const sessions = async () => (await ada.context.cookies(editorOrigin)).filter(({ name }) => name === SESSION);
    const before = (await sessions()).map(({ value }) => value);
    assert.equal(before.length, 1);

    // From here on nobody is given anything: every answer in any tab is looked at.
    const given = [];
    ada.context.on("response", async (response) => {
      const headers = await response.headersArray().catch(() => []);
      const cookies = headers.filter(({ name }) => name.toLowerCase() === "set-cookie").map(({ value }) => value);
      given.push(...cookies.filter((cookie) => cookie.startsWith(`${SESSION}=`) && !/Max-Age=0/i.test(cookie)));
    });
    await ada.watch.expecting(/status of 40[13]|WebSocket|closed/, async () => {
      await signOut(ada);
      // The tab with the workspace's page learns of it without being touched.
      await inFrame.waitForURL((url) => url.pathname === "/login");
      // The bare editor has lost its connection; what VS Code then asks for is refused.
      await until("the bare editor to be refused", async () => {
        const status = await bare.evaluate(async () => (await fetch("/", { redirect: "manual" })).status).catch(() => 0);
        return status === 401;
      });
      for (const page of [inFrame, bare]) {
        for (const address of [`${editorOrigin}/`, `${world.site.origin}/workspace/${id}`]) {
          await page.goto(address);
          await page.waitForURL((url) => url.origin === world.site.origin && url.pathname === "/login");
        }
      }
    });
    assert.deepEqual(given, [], "a session without a password");
    for (const { value } of await sessions()) assert.ok(before.includes(value));

    // With the password the tab goes on where it was.
    await fillSignIn({ page: inFrame }, ADA);
    await inFrame.waitForURL(`${world.site.origin}/workspace/${id}`);
    await editorInPage({ page: inFrame, site: world.site }, id);
    await Editor.inFrame(inFrame).showsFile("README.md");
    assert.equal(given.length, 1, "the one session that a password gave was seen, so another would have been");
    await ada.leave();
  },
};
