// Pages that no other story passes by.

import assert from "node:assert/strict";

import { until } from "../lib/until.mjs";
import { openWorkspace } from "../lib/ways.mjs";
import { left } from "../lib/world.mjs";

export const stories = {
  "the front page leads to sign-in": async (world) => {
    const other = await world.browser.person("stranger");
    await other.visit("/");
    await other.page.getByRole("heading", { level: 1 }).waitFor();
    await world.gallery.take(other.page, "landing");
    await other.page.getByRole("main").getByRole("link", { name: "Sign in" }).click();
    await other.page.waitForURL(`${world.site.origin}/login`);
    await other.leave();
  },

  "a script that somebody plants in a page does not run": async (world) => {
    const { browser } = world;
    const other = await browser.person("stranger");
    await other.visit("/login");
    const heard = () => browser.watch.provoked.filter((line) => line.includes("securitypolicyviolation")).length;
    const before = heard();
    await browser.watch.expecting(/content security policy|securitypolicyviolation/i, async () => {
      await other.page.evaluate(() => {
        const script = document.createElement("script");
        script.textContent = "window.isPlanted = true";
        document.body.append(script);
      });
      // What "no page broke its policy" listens to at the end is heard here.
      await until("the violation to be heard", () => heard() > before);
    });
    assert.equal(await other.page.evaluate(() => window.isPlanted), undefined);
    await other.leave();
  },

  "administrators see people and the installation": async (world) => {
    const ada = left(world.ada, "the administrator");
    await ada.visit("/admin");
    await ada.page.getByRole("list", { name: "People" }).getByText("ada@example.com").waitFor();
    await ada.page.getByText(world.site.origin, { exact: true }).waitFor();
    const certificates = ada.page.getByRole("list", { name: "Certificates" });
    await certificates.getByText("the site's own authority").waitFor();
    await certificates.getByText("Good", { exact: true }).waitFor();
    await world.gallery.take(ada.page, "admin");
    await ada.page.getByRole("button", { name: "New person" }).click();
    await ada.page.getByRole("dialog", { name: "New person" }).waitFor();
    await world.gallery.take(ada.page, "person-dialog");
  },

  "an address with nothing at it says so": async (world) => {
    const ada = left(world.ada, "the administrator");
    await ada.watch.expecting(/status of 404/, async () => {
      const answer = await ada.visit("/no/such/page");
      assert.equal(answer.status(), 404);
      await ada.page.getByRole("heading", { name: "There is nothing at this address" }).waitFor();
    });
    await world.gallery.take(ada.page, "not-found");
  },

  "a port that nobody listens on says so, by its number": async (world) => {
    const ada = left(world.ada, "the administrator");
    const { id } = left(world.workspace, "a workspace");
    await openWorkspace(ada, id);
    await ada.watch.expecting(/status of 502/, async () => {
      const answer = await ada.visit(world.site.originOf(`3000-${id}`));
      assert.equal(answer.status(), 502);
    });
    await ada.page.getByText("3000").first().waitFor();
    await world.gallery.take(ada.page, "gateway-port-not-listening");
  },
};
