// What people do on Kalpana's own pages, found as people find it: by role and label.

import assert from "node:assert/strict";

import { Editor } from "./editor.mjs";

/** A start on a busy machine: container, clone, editor. */
export const START_LIMIT_MS = 90_000;
const STOP_LIMIT_MS = 60_000;

/** Makes the administrator of a fresh site, by the link that it printed, and waits for the dashboard. */
export async function setUp(person, account) {
  await person.visit(person.site.setupLink());
  const form = person.page.getByRole("form", { name: "Create the first administrator" });
  await form.getByLabel("Name").fill(account.name);
  await form.getByLabel("E-mail").fill(account.email);
  await form.getByLabel("Password", { exact: true }).fill(account.password);
  await form.getByRole("button", { name: "Create administrator" }).click();
  await onDashboard(person);
}

/** Fills the sign-in form and sends it, wherever it leads. */
export async function fillSignIn(person, { email, password }) {
  const form = person.page.getByRole("form", { name: "Sign in" });
  await form.getByLabel("E-mail").fill(email);
  await form.getByLabel("Password", { exact: true }).fill(password);
  await form.getByRole("button", { name: "Sign in" }).click();
}

/** Signs in from the sign-in page and waits for the dashboard. */
export async function signIn(person, account) {
  await person.visit("/login");
  await fillSignIn(person, account);
  await onDashboard(person);
}

/** Waits for the dashboard with its workspaces, or with what it shows when there are none. */
export async function onDashboard({ page, site }) {
  await page.waitForURL(({ origin, pathname }) => origin === site.origin && pathname === "/dashboard");
  await page.getByRole("heading", { name: "Workspaces", level: 1 }).waitFor();
  await page
    .getByRole("list", { name: "Workspaces" })
    .or(page.getByRole("button", { name: "Create your first workspace" }))
    .first()
    .waitFor();
}

/** Signs out through the menu, which leads to the front page. */
export async function signOut({ page, site }) {
  await page.getByRole("button", { name: /^Account menu of / }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.waitForURL(`${site.origin}/`);
}

/** Opens the dialog for a new workspace from the dashboard. */
export async function openCreateDialog(person) {
  await person.visit("/dashboard");
  await onDashboard(person);
  await person.page.getByRole("button", { name: "New workspace" }).click();
  const dialog = person.page.getByRole("dialog", { name: "New workspace" });
  await dialog.waitFor();
  return dialog;
}

/** Makes a workspace through the dialog and returns its id as soon as its page is there. */
export async function createWorkspace(person, { name, repository }) {
  const dialog = await openCreateDialog(person);
  if (repository) await dialog.getByLabel("Git repository URL").fill(repository);
  await dialog.getByLabel("Name", { exact: true }).fill(name);
  await dialog.getByRole("button", { name: "Create workspace" }).click();
  return onWorkspacePage(person);
}

/** Waits for a workspace's page and returns the id in its address. */
export async function onWorkspacePage({ page, site }) {
  await page.waitForURL(`${site.origin}/workspace/*`);
  return new URL(page.url()).pathname.split("/")[2];
}

/** Waits until the editor of a workspace is in its page, and returns it. */
export async function editorInPage(person, workspace) {
  const frame = person.page.locator('iframe[title="Editor"]');
  await frame.waitFor({ state: "attached", timeout: START_LIMIT_MS });
  const source = new URL(await frame.getAttribute("src"));
  assert.equal(source.origin, person.site.originOf(workspace), "the editor has an origin of its own");
  return Editor.inFrame(person.page);
}

/** Goes to a workspace's page and waits for its editor. */
export async function openWorkspace(person, workspace) {
  await person.visit(`/workspace/${workspace}`);
  return editorInPage(person, workspace);
}

/** Stops the workspace whose page is shown, and waits until the page says that it is stopped. */
export async function stopWorkspace({ page }, name) {
  await page.getByRole("button", { name: "Stop workspace" }).click();
  const question = page.getByRole("alertdialog", { name: `Stop ${name}?` });
  await question.getByRole("button", { name: "Stop now" }).click();
  await page.getByRole("heading", { name: `${name} is stopped` }).waitFor({ timeout: STOP_LIMIT_MS });
}

/** Returns the row of a workspace on the dashboard. */
export function rowOf({ page }, name) {
  return page.getByRole("list", { name: "Workspaces" }).getByRole("listitem", { name, exact: true });
}

/** Opens the question that comes before a deletion, from the dashboard. */
export async function askToDelete(person, name) {
  await person.page.getByRole("button", { name: `More actions for ${name}`, exact: true }).click();
  await person.page.getByRole("menuitem", { name: "Delete…" }).click();
  const question = person.page.getByRole("alertdialog", { name: `Delete ${name}?` });
  await question.waitFor();
  return question;
}
