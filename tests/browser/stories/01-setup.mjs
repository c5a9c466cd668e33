// The first person on a fresh site.

import assert from "node:assert/strict";

import { onDashboard } from "../lib/ways.mjs";
import { ADA } from "../lib/world.mjs";

export const stories = {
  "the setup link creates the administrator and leads to an empty dashboard": async (world) => {
    const ada = await world.browser.person("ada");
    await ada.visit(world.site.setupLink());
    const form = ada.page.getByRole("form", { name: "Create the first administrator" });
    await form.waitFor();
    assert.ok(!ada.page.url().includes("token"), `the secret stays in the address: ${ada.page.url()}`);
    await world.gallery.take(ada.page, "setup");

    await form.getByLabel("Name").fill(ADA.name);
    await form.getByLabel("E-mail").fill(ADA.email);
    await form.getByLabel("Password", { exact: true }).fill(ADA.password);
    await form.getByRole("button", { name: "Create administrator" }).click();
    await onDashboard(ada);
    await ada.page.getByRole("button", { name: "Create your first workspace" }).waitFor();
    const { body } = await ada.api("GET", "/api/session");
    assert.equal(body.user.email, ADA.email);
    assert.equal(body.user.role, "administrator");
    await world.gallery.take(ada.page, "dashboard-empty");
    world.ada = ada;
  },

  "the setup link has no power once there is an administrator": async (world) => {
    const other = await world.browser.person("stranger");
    await other.visit(world.site.setupLink());
    await other.page.getByRole("heading", { name: "Setup is done already" }).waitFor();
    await world.gallery.take(other.page, "setup-done");
    await other.leave();
  },
};
