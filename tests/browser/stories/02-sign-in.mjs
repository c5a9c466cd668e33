// Who one is, and where one wanted to go.

import assert from "node:assert/strict";

import { fillSignIn, onDashboard, signOut } from "../lib/ways.mjs";
import { ADA, left } from "../lib/world.mjs";

export const stories = {
  "signing out, then in again, leads back to the exact address": async (world) => {
    const { site } = world;
    const ada = left(world.ada, "the administrator");
    await ada.visit("/dashboard");
    await onDashboard(ada);
    await signOut(ada);
    assert.equal((await ada.api("GET", "/api/session")).status, 401);

    const wanted = `${site.origin}/account?from=a%20story#tokens`;
    await ada.visit(wanted);
    await ada.page.waitForURL((url) => url.pathname === "/login");
    await world.gallery.take(ada.page, "login");
    await fillSignIn(ada, ADA);
    await ada.page.waitForURL(wanted);
    await ada.page.getByRole("heading", { name: "Account", level: 1 }).waitFor();
    assert.equal(ada.page.url(), wanted);
  },

  "a wrong password is refused in words, and nobody is signed in": async (world) => {
    const other = await world.browser.person("stranger");
    await other.visit("/login");
    await fillSignIn(other, { ...ADA, password: "incorrect horse battery staple" });
    const alert = other.page.getByRole("alert").filter({ hasText: "wrong_credentials" });
    await alert.waitFor();
    await world.gallery.take(other.page, "login-refused");
    assert.equal((await other.api("GET", "/api/session")).status, 401);
    assert.equal(new URL(other.page.url()).pathname, "/login");
    await other.leave();
  },

  "sign-in leads nowhere but to this site": async (world) => {
    left(world.ada, "the administrator");
    const other = await world.browser.person("stranger");
    await other.visit(`/login?next=${encodeURIComponent("//example.com/")}`);
    await fillSignIn(other, ADA);
    await onDashboard(other);
    // Whoever is signed in already is led on at once, by the same rule.
    for (const next of ["https://example.com/", "/\\example.com/", "javascript:alert(1)"]) {
      await other.visit(`/login?next=${encodeURIComponent(next)}`);
      await onDashboard(other);
    }
    await other.leave();
  },
};
