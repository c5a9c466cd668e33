// From sign-in to the editor with nothing but the keyboard.

import assert from "node:assert/strict";

import { until } from "../lib/until.mjs";
import { editorInPage, onDashboard, onWorkspacePage } from "../lib/ways.mjs";
import { ADA, left } from "../lib/world.mjs";

/** More stops than any page of ours has. */
const MOST_STOPS = 40;

export const stories = {
  "sign-in, a new workspace and its editor are reached with the keyboard alone": async (world) => {
    left(world.ada, "the administrator");
    const person = await world.browser.person("ada-by-keyboard");
    const { page } = person;
    const { keyboard } = page;
    await person.visit("/login");
    await focused(page, page.getByLabel("E-mail"));
    await keyboard.type(ADA.email);
    await tabTo(page, page.getByLabel("Password", { exact: true }));
    await keyboard.type(ADA.password);
    await keyboard.press("Enter");
    await onDashboard(person);

    const opener = page.getByRole("button", { name: "New workspace" });
    await tabTo(page, opener);
    await keyboard.press("Enter");
    const dialog = page.getByRole("dialog", { name: "New workspace" });
    await focused(page, dialog.getByLabel("Git repository URL"));
    await keyboard.press("Escape");
    await focused(page, opener);
    await keyboard.press("Enter");
    await focused(page, dialog.getByLabel("Git repository URL"));
    await keyboard.type(await world.git.nextUrl());
    await tabTo(page, dialog.getByLabel("Name", { exact: true }));
    await keyboard.press("Control+A");
    await keyboard.type("By keyboard");
    await tabTo(page, dialog.getByRole("button", { name: "Create workspace" }));
    await keyboard.press("Enter");

    const id = await onWorkspacePage(person);
    const editor = await editorInPage(person, id);
    await editor.showsFile("README.md");
    await focused(page, page.locator('iframe[title="Editor"]'));
    await editor.openTerminal({ isFocused: true });
    await editor.makeFile(id, "by-keyboard.txt", { isFocused: true });

    // The way back out of the editor's frame and the deletion, too.
    await person.visit("/dashboard");
    await onDashboard(person);
    await tabTo(page, page.getByRole("button", { name: "More actions for By keyboard" }));
    await keyboard.press("Enter");
    const item = page.getByRole("menuitem", { name: "Delete…" });
    await item.waitFor();
    for (let presses = 0; !(await hasFocus(item)); presses += 1) {
      assert.ok(presses < MOST_STOPS, "the arrow keys do not reach Delete…");
      await keyboard.press("ArrowDown");
    }
    await keyboard.press("Enter");
    const question = page.getByRole("alertdialog", { name: "Delete By keyboard?" });
    await focused(page, question.getByRole("button", { name: "Cancel" }));
    await tabTo(page, question.getByRole("button", { name: "Delete workspace" }));
    await keyboard.press("Enter");
    await question.waitFor({ state: "detached" });
    await page.getByRole("listitem", { name: "By keyboard" }).waitFor({ state: "detached", timeout: 60_000 });
    await person.leave();
  },
};

function hasFocus(locator) {
  return locator.evaluate((element) => element === document.activeElement);
}

async function focused(page, locator) {
  await locator.waitFor();
  await until(`the keyboard to be at ${locator}`, () => hasFocus(locator), 10_000);
}

/** Presses Tab until an element has the keyboard. */
async function tabTo(page, locator) {
  await locator.waitFor();
  const passed = [];
  while (!(await hasFocus(locator))) {
    assert.ok(passed.length < MOST_STOPS, `Tab does not reach ${locator}; it passed ${passed.join(", ")}`);
    await page.keyboard.press("Tab");
    passed.push(await page.evaluate(() => {
      const { tagName, ariaLabel, innerText } = document.activeElement;
      return `${tagName} ${ariaLabel ?? innerText?.slice(0, 20) ?? ""}`.trim();
    }));
  }
}
