// Where one is signed in, and one's password.

import assert from "node:assert/strict";

import { fillSignIn, onDashboard, signIn } from "../lib/ways.mjs";
import { left } from "../lib/world.mjs";

const HEDY = { name: "Hedy Lamarr", email: "hedy@example.com", password: "frequency hopping over the sea" };
const NEW_PASSWORD = "eighty eight piano rolls of paper";

/** Waits until a person who was signed in is shown the sign-in page, without having done anything. */
async function isThrownOut({ page, watch }, cause) {
  await watch.expecting(/status of 401/, async () => {
    await cause();
    await page.waitForURL((url) => url.pathname === "/login");
  });
}

const placesOf = ({ page }) =>
  page.getByRole("list", { name: "Where you are signed in" }).getByRole("listitem");

export const stories = {
  "a browser that is signed out elsewhere is shown the sign-in page at once": async (world) => {
    await world.site.createUser(HEDY);
    const [here, there] = [await world.browser.person("hedy"), await world.browser.person("hedy elsewhere")];
    await signIn(there, HEDY);
    await signIn(here, HEDY);
    await here.visit("/account");
    await placesOf(here).nth(1).waitFor();
    assert.equal(await placesOf(here).count(), 2);
    await placesOf(here).filter({ hasText: "This session" }).waitFor();
    await world.gallery.take(here.page, "account-places");

    await isThrownOut(there, () => here.page.getByRole("button", { name: /^Sign out .*Chrome/ }).click());
    await here.page.getByText("Signed out there").waitFor();
    assert.equal(await placesOf(here).count(), 1);

    await fillSignIn(there, HEDY);
    await onDashboard(there);
    await here.visit("/account");
    await here.page.getByRole("button", { name: "Sign out everywhere else" }).click();
    const question = here.page.getByRole("alertdialog", { name: "Sign out everywhere else?" });
    await question.waitFor();
    await world.gallery.take(here.page, "elsewhere-dialog");
    await isThrownOut(there, () => question.getByRole("button", { name: "Sign out", exact: true }).click());
    await question.waitFor({ state: "detached" });
    assert.equal((await here.api("GET", "/api/session")).status, 200);
    world.hedy = { here, there };
  },

  "a changed password throws out the other browser, and is the one to sign in with": async (world) => {
    const { here, there } = left(world.hedy, "a person who is signed in");
    await fillSignIn(there, HEDY);
    await onDashboard(there);
    await here.visit("/account");
    const form = here.page.getByRole("form", { name: "Change password" });
    const change = async (current, next) => {
      await form.getByLabel("Current password").fill(current);
      await form.getByLabel("New password").fill(next);
      await form.getByRole("button", { name: "Change password" }).click();
    };
    await here.watch.expecting(/status of 403/, async () => {
      await change("not this one, surely not", NEW_PASSWORD);
      await form.getByText("The current password is another one.").waitFor();
    });
    await form.scrollIntoViewIfNeeded();
    await world.gallery.take(here.page, "password-refused");
    await isThrownOut(there, () => change(HEDY.password, NEW_PASSWORD));
    await here.page.getByText("Password changed").waitFor();
    assert.equal((await here.api("GET", "/api/session")).status, 200);

    await there.watch.expecting(/status of 401/, async () => {
      await fillSignIn(there, HEDY);
      await there.page.getByRole("alert").filter({ hasText: "wrong_credentials" }).waitFor();
    });
    await fillSignIn(there, { ...HEDY, password: NEW_PASSWORD });
    // Sign-in leads back to where they were thrown out of.
    await onDashboard(there);
    await here.leave();
    await there.leave();
  },
};
