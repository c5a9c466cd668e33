// What is somebody else's looks like nothing.

import assert from "node:assert/strict";

import { onDashboard, signIn } from "../lib/ways.mjs";
import { GRACE, left } from "../lib/world.mjs";

/** An id as ids are, of no workspace. */
const NOBODYS = "zzzzzzzzzzzz";

export const stories = {
  "a second person sees an empty dashboard": async (world) => {
    left(world.workspace, "a workspace of somebody else");
    await world.site.createUser(GRACE);
    const grace = await world.browser.person("grace");
    await signIn(grace, GRACE);
    await onDashboard(grace);
    await grace.page.getByRole("button", { name: "Create your first workspace" }).waitFor();
    assert.deepEqual((await grace.api("GET", "/api/workspaces")).body.workspaces, []);
    assert.equal(await grace.page.getByRole("link", { name: "Administration" }).count(), 0);
    world.grace = grace;
  },

  "a foreign workspace's page is that of one that does not exist": async (world) => {
    const grace = left(world.grace, "a second person");
    const { id, name } = left(world.workspace, "a workspace of somebody else");
    const seen = [];
    for (const one of [id, NOBODYS]) {
      seen.push(await grace.watch.expecting(/status of 404/, async () => {
        const answer = await grace.visit(`/workspace/${one}`);
        await grace.page.getByRole("heading", { name: "There is no such workspace" }).waitFor();
        return { status: answer.status(), title: await grace.page.title(), text: await grace.page.innerText("body") };
      }));
    }
    assert.deepEqual(seen[0], seen[1]);
    assert.ok(!seen[0].text.includes(name), seen[0].text);
    await world.gallery.take(grace.page, "workspace-not-found");
  },

  "a foreign workspace's address answers as one that does not exist": async (world) => {
    const grace = left(world.grace, "a second person");
    const { id } = left(world.workspace, "a workspace of somebody else");
    const seen = [];
    for (const one of [id, NOBODYS]) {
      seen.push(await grace.watch.expecting(/status of 404/, async () => {
        const answer = await grace.visit(world.site.originOf(one));
        const text = (await grace.page.innerText("body")).replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "<request>");
        return { status: answer.status(), title: await grace.page.title(), text };
      }));
    }
    assert.equal(seen[0].status, 404);
    assert.deepEqual(seen[0], seen[1]);
    await world.gallery.take(grace.page, "gateway-not-found");
  },

  "a foreign port leads to where one may ask for access, and so does one that does not exist": async (world) => {
    const grace = left(world.grace, "a second person");
    const { id } = left(world.workspace, "a workspace of somebody else");
    const seen = [];
    for (const one of [id, NOBODYS]) {
      const answer = await grace.visit(world.site.originOf(`3000-${one}`));
      await grace.page.getByRole("button", { name: "Request access" }).waitFor();
      const { origin, pathname } = new URL(grace.page.url());
      const text = (await grace.page.innerText("body")).replaceAll(one, "<workspace>");
      seen.push({ status: answer.status(), origin, pathname, title: await grace.page.title(), text });
    }
    assert.equal(seen[0].origin, world.site.origin);
    assert.deepEqual(seen[0], seen[1]);
    await world.gallery.take(grace.page, "request-access");
  },
};
