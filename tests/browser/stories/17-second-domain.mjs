// A site whose workspaces have a domain of their own: the editor opens in a tab, and nobody frames it.

import assert from "node:assert/strict";
import path from "node:path";

import { Browser } from "../lib/browser.mjs";
import { Editor } from "../lib/editor.mjs";
import { runInside } from "../lib/engine.mjs";
import { Site } from "../lib/site.mjs";
import { createWorkspace, setUp, START_LIMIT_MS } from "../lib/ways.mjs";
import { ADA, World } from "../lib/world.mjs";

/** Another site than the control plane's by any browser's count. */
const CONTENT = "content.localhost";

/** Puts a frame with an address into a page and returns where it ended. */
async function framed(person, address) {
  const frame = await person.page.evaluateHandle((address) => {
    const frame = document.createElement("iframe");
    frame.src = address;
    const loaded = new Promise((resolve) => frame.addEventListener("load", () => resolve(frame), { once: true }));
    document.body.append(frame);
    return loaded;
  }, address);
  return (await frame.asElement().contentFrame()).url();
}

async function inOwnTab(world, site, browser) {
  const ada = await browser.person("ada of two domains");
  await setUp(ada, ADA);
  const name = "Apart";
  const id = await createWorkspace(ada, { name });
  await ada.page.getByRole("heading", { name: `${name} is running` }).waitFor({ timeout: START_LIMIT_MS });
  assert.equal(await ada.page.locator("iframe").count(), 0);
  await world.gallery.take(ada.page, "workspace-elsewhere");

  const opened = ada.context.waitForEvent("page");
  await ada.page.getByRole("link", { name: "Open the editor" }).click();
  const tab = await opened;
  await tab.waitForURL((url) => url.origin === site.originOf(id));
  assert.ok(tab.url().startsWith(`https://${id}.${CONTENT}:`), tab.url());
  await runInside(id, "touch /workspace/seen.txt");
  await Editor.asPage(tab).showsFile("seen.txt");
  const names = async (origin) => (await ada.context.cookies(origin)).map(({ name }) => name);
  assert.ok(!(await names(site.originOf(id))).includes("__Host-ksess"), "the control plane's cookie is not there");

  // Neither the control plane, whose own policy allows the frame, nor another site's page.
  const evil = "https://evil.example";
  await ada.context.route(`${evil}/**`, (route) => route.fulfill({ contentType: "text/html", body: "<p>a page</p>" }));
  for (const page of [`${site.origin}/workspace/${id}`, `${evil}/`]) {
    await ada.visit(page);
    const shown = await ada.watch.expecting(/frame-ancestors|frame-src/, () => framed(ada, `${site.originOf(id)}/`));
    assert.equal(shown, "chrome-error://chromewebdata/", `the editor in ${page}`);
  }
}

export const stories = {
  "where workspaces have a domain of their own the editor opens in a tab, and no other site frames it": async (world) => {
    const site = await Site.start({
      binary: world.site.binary,
      image: process.env.KALPANA_IMAGE,
      log: path.join(World.results, "e2e-second-domain.log"),
      workspaceDomain: CONTENT,
    });
    let browser;
    try {
      browser = await Browser.launch({ site, executable: process.env.KALPANA_CHROMIUM });
      await inOwnTab(world, site, browser);
      assert.deepEqual(browser.watch.complaints, []);
    } finally {
      await browser?.close();
      assert.equal(await site.stop(), 0);
    }
  },
};
