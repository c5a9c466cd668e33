// What is not made, and what is made no longer.

import assert from "node:assert/strict";

import { containers, runInside, volumes } from "../lib/engine.mjs";
import { until } from "../lib/until.mjs";
import { askToDelete, onDashboard, openCreateDialog, rowOf } from "../lib/ways.mjs";
import { left } from "../lib/world.mjs";

const FINE = { "Git repository URL": "", Name: "fine", Branch: "" };

/** One wrong value each, with the code by which the API refuses the same. */
const WRONG = [
  { label: "Name", field: "name", value: "rocket 🚀", code: "invalid_name" },
  { label: "Name", field: "name", value: "n".repeat(300), code: "invalid_name" },
  { label: "Git repository URL", field: "repository", value: "ext::sh -c touch% /tmp/x", code: "invalid_repository" },
  { label: "Git repository URL", field: "repository", value: "file:///etc", code: "invalid_repository" },
  { label: "Git repository URL", field: "repository", value: "ssh://-oProxyCommand=x/y", code: "invalid_repository" },
  { label: "Git repository URL", field: "repository", value: "--upload-pack=x", code: "invalid_repository" },
  { label: "Git repository URL", field: "repository", value: "https://me:secret@example.com/x.git", code: "invalid_repository" },
  { label: "Branch", field: "branch", value: "--upload-pack=x", code: "invalid_branch" },
  { label: "Branch", field: "branch", value: "a..b", code: "invalid_branch" },
];

export const stories = {
  "wrong input in the dialog is refused at its field, and nothing is made": async (world) => {
    const ada = left(world.ada, "the administrator");
    const { page } = ada;
    const dialog = await openCreateDialog(ada);
    await world.gallery.take(page, "create-dialog");
    let sent = 0;
    const counter = (request) => {
      if (request.method() === "POST" && request.url().endsWith("/api/workspaces")) sent += 1;
    };
    page.on("request", counter);
    for (const { label, value } of WRONG) {
      for (const [one, text] of Object.entries({ ...FINE, [label]: value })) {
        await dialog.getByLabel(one, { exact: true }).fill(text);
      }
      await dialog.getByRole("button", { name: "Create workspace" }).click();
      const field = dialog.getByLabel(label, { exact: true });
      assert.equal(await field.getAttribute("aria-invalid"), "true", `${label}: ${value}`);
      const said = await page.locator(`[id="${await field.getAttribute("aria-describedby")}"]`).innerText();
      assert.match(said, /\w/, `${label}: ${value} is refused without a word`);
      assert.ok(await field.evaluate((element) => element === document.activeElement), `${label} has the keyboard`);
    }
    assert.equal(sent, 0, "the page knows these mistakes itself");
    await world.gallery.take(page, "create-dialog-wrong");
    page.off("request", counter);
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await dialog.waitFor({ state: "detached" });
  },

  "the API refuses the same input by itself, and nothing is made": async (world) => {
    const ada = left(world.ada, "the administrator");
    await ada.visit("/dashboard");
    await onDashboard(ada);
    const count = async () => (await ada.api("GET", "/api/workspaces")).body.workspaces.length;
    const before = await count();
    await ada.watch.expecting(/status of 400/, async () => {
      for (const { field, value, code } of WRONG) {
        const answer = await ada.api("POST", "/api/workspaces", { name: "fine", [field]: value });
        assert.deepEqual([answer.status, answer.body.error?.code], [400, code], `${field}: ${value}`);
      }
    });
    assert.equal(await count(), before);
  },

  "a deletion asks first, and can be undone at once": async (world) => {
    const ada = left(world.ada, "the administrator");
    const name = "Short-lived";
    await ada.visit("/dashboard");
    await onDashboard(ada);
    const made = await ada.api("POST", "/api/workspaces", { name });
    assert.equal(made.status, 202, JSON.stringify(made.body));
    const { id } = made.body;
    // It appears by itself, as events tell.
    await rowOf(ada, name).getByText("Running").waitFor({ timeout: 60_000 });
    await runInside(id, "echo precious > /workspace/work.txt");

    const question = await askToDelete(ada, name);
    await question.getByText("There is no Git repository in it.").waitFor();
    await world.gallery.take(ada.page, "delete-dialog");
    await question.getByRole("button", { name: "Cancel" }).click();
    await question.waitFor({ state: "detached" });
    await rowOf(ada, name).getByText("Running").waitFor();

    await deleteFromDashboard(ada, name);
    await ada.page.getByRole("button", { name: "Undo" }).click();
    await ada.page.getByText(`${name} is back`).waitFor();
    await rowOf(ada, name).getByText("Stopped").waitFor({ timeout: 60_000 });
    world.shortLived = { id, name };
  },

  "a deleted workspace is restored from the list, with its files": async (world) => {
    const ada = left(world.ada, "the administrator");
    const { id, name } = left(world.shortLived, "a workspace that was deleted and is back");
    await deleteFromDashboard(ada, name);
    await rowOf(ada, name).waitFor({ state: "detached", timeout: 60_000 });
    const names = await containers(world.site.instance);
    assert.ok(!names.some((container) => container.includes(id)), `a container is left: ${names}`);
    assert.equal((await volumes(id)).length, 2, "its files are there");

    // Its page says what became of it, and leads to the list.
    await ada.watch.expecting(/status of 404/, async () => {
      await ada.visit(`/workspace/${id}`);
      await ada.page.getByRole("heading", { name: "This workspace was deleted" }).waitFor();
    });
    await world.gallery.take(ada.page, "workspace-deleted");
    await ada.page.getByRole("link", { name: "Recently deleted" }).click();
    await onDashboard(ada);
    const row = deletedRow(ada, name);
    await row.getByText("kept until").waitFor();
    await world.gallery.take(ada.page, "recently-deleted");
    await row.getByRole("button", { name: `Restore ${name}` }).click();
    await rowOf(ada, name).getByText("Stopped").waitFor();
    await row.waitFor({ state: "detached" });
    const started = await ada.api("POST", `/api/workspaces/${id}/start`);
    assert.equal(started.status, 202, JSON.stringify(started.body));
    await rowOf(ada, name).getByText("Running").waitFor({ timeout: 60_000 });
    assert.equal(await runInside(id, "cat /workspace/work.txt"), "precious");
  },

  "what is deleted for ever is gone, files and all": async (world) => {
    const ada = left(world.ada, "the administrator");
    const { id, name } = left(world.shortLived, "a workspace that was deleted and is back");
    await deleteFromDashboard(ada, name);
    await rowOf(ada, name).waitFor({ state: "detached", timeout: 60_000 });
    await ada.visit("/dashboard#recently-deleted");
    await onDashboard(ada);
    const row = deletedRow(ada, name);
    await row.getByRole("button", { name: `Delete for ever: ${name}` }).click();
    const question = ada.page.getByRole("alertdialog", { name: `Delete ${name} for ever?` });
    await question.waitFor();
    await world.gallery.take(ada.page, "purge-dialog");
    await question.getByRole("button", { name: "Delete for ever", exact: true }).click();
    await question.waitFor({ state: "detached" });
    await row.waitFor({ state: "detached" });
    await until("its volumes to go", async () => (await volumes(id)).length === 0);
    await ada.watch.expecting(/status of 404/, async () => {
      await ada.visit(`/workspace/${id}`);
      await ada.page.getByRole("heading", { name: "There is no such workspace" }).waitFor();
    });
  },
};

/** Deletes a workspace from the dashboard, and waits until that was taken. */
async function deleteFromDashboard(person, name) {
  const question = await askToDelete(person, name);
  await question.getByRole("button", { name: "Delete workspace" }).click();
  // While a dialog is open, nothing behind it counts as being there.
  await question.waitFor({ state: "detached" });
  await person.page.getByText(`Deleted ${name}`, { exact: true }).waitFor();
}

/** Returns the row of a workspace among the deleted ones. */
function deletedRow({ page }, name) {
  return page.getByRole("list", { name: "Recently deleted" }).getByRole("listitem", { name, exact: true });
}
