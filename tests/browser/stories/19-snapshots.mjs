// A workspace's files are kept outside of it, and come back.

import assert from "node:assert/strict";
import { stat } from "node:fs/promises";

import { runInside, volumes } from "../lib/engine.mjs";
import { until } from "../lib/until.mjs";
import { onDashboard, rowOf } from "../lib/ways.mjs";
import { left } from "../lib/world.mjs";

const state = async (ada, id) => (await ada.api("GET", `/api/workspaces/${id}`)).body.state;

const reaches = (ada, id, wanted) => until(`it to be ${wanted}`, async () => (await state(ada, id)) === wanted, 120_000);

async function openSnapshots(ada, name) {
  await ada.visit("/dashboard");
  await onDashboard(ada);
  await ada.page.getByRole("button", { name: `More actions for ${name}`, exact: true }).click();
  await ada.page.getByRole("menuitem", { name: "Snapshots…" }).click();
  const dialog = ada.page.getByRole("dialog", { name: `Snapshots of ${name}` });
  await dialog.waitFor();
  return dialog;
}

export const stories = {
  "an archived workspace has no volumes, and its visitor finds the files where they were": async (world) => {
    const ada = left(world.ada, "the administrator");
    await ada.visit("/dashboard");
    await onDashboard(ada);
    const made = await ada.api("POST", "/api/workspaces", { name: "put away" });
    assert.equal(made.status, 202);
    const { id } = made.body;
    await reaches(ada, id, "running");
    await runInside(id, "echo kept > /workspace/kept.txt");
    assert.equal((await ada.api("POST", `/api/workspaces/${id}/stop`)).status, 202);
    await reaches(ada, id, "stopped");
    assert.equal((await volumes(id)).length, 2);

    await ada.visit(`/workspace/${id}`);
    await ada.page.getByRole("button", { name: "Archive…" }).click();
    const question = ada.page.getByRole("alertdialog", { name: "Archive put away?" });
    await question.getByRole("button", { name: "Archive", exact: true }).click();
    await ada.page.getByRole("heading", { name: "put away is archived" }).waitFor({ timeout: 60_000 });
    await until("its volumes to be removed", async () => (await volumes(id)).length === 0);
    await world.gallery.take(ada.page, "workspace-archived");
    await ada.visit("/dashboard");
    await rowOf(ada, "put away").getByText("Archived").waitFor();

    await ada.visit(`/workspace/${id}`);
    await ada.page.getByRole("button", { name: "Start" }).click();
    await reaches(ada, id, "running");
    assert.equal((await runInside(id, "cat /workspace/kept.txt")).trim(), "kept");
    assert.equal((await volumes(id)).length, 2);
    await ada.visit("/dashboard");
    assert.equal((await ada.api("DELETE", `/api/workspaces/${id}`)).status, 202);
    await rowOf(ada, "put away").waitFor({ state: "detached" });
  },
  "the files of a snapshot come back, those before are kept, and another workspace begins with them": async (world) => {
    const ada = left(world.ada, "the administrator");
    await ada.visit("/dashboard");
    await onDashboard(ada);
    const made = await ada.api("POST", "/api/workspaces", { name: "kept" });
    assert.equal(made.status, 202);
    const { id } = made.body;
    await reaches(ada, id, "running");
    await runInside(id, "echo first > /workspace/kept.txt");

    const dialog = await openSnapshots(ada, "kept");
    await dialog.getByText("No snapshots").waitFor();
    await dialog.getByLabel("Note").fill("before the experiment");
    await dialog.getByRole("button", { name: "Take a snapshot" }).click();
    const row = dialog.getByRole("listitem").filter({ hasText: "before the experiment" });
    await row.getByRole("link", { name: "Download" }).waitFor({ timeout: 60_000 });
    await row.getByText("Stop the workspace first").waitFor();
    await world.gallery.take(ada.page, "snapshots");
    const coming = ada.page.waitForEvent("download");
    await row.getByRole("link", { name: "Download" }).click();
    const download = await coming;
    assert.match(download.suggestedFilename(), /^kept-.*\.tar\.zst$/);
    assert.ok((await stat(await download.path())).size > 0);

    await runInside(id, "echo second > /workspace/kept.txt");
    assert.equal((await ada.api("POST", `/api/workspaces/${id}/stop`)).status, 202);
    await reaches(ada, id, "stopped");
    await row.getByRole("button", { name: "Restore…" }).click();
    const question = ada.page.getByRole("alertdialog", { name: "Restore this snapshot?" });
    await world.gallery.take(ada.page, "snapshot-restore");
    await question.getByRole("button", { name: "Restore", exact: true }).click();
    await dialog.getByRole("listitem", { name: /before a restore/ }).waitFor();
    await reaches(ada, id, "running");
    assert.equal((await runInside(id, "cat /workspace/kept.txt")).trim(), "first");

    // A copy of what was there before the restore, which is a workspace of its own.
    const before = dialog.getByRole("listitem", { name: /before a restore/ });
    await before.getByRole("button", { name: "New workspace…" }).click();
    const asks = ada.page.getByRole("dialog", { name: "New workspace from this snapshot" });
    assert.equal(await asks.getByLabel("Name").inputValue(), "kept copy");
    await asks.getByRole("button", { name: "Create" }).click();
    await ada.page.waitForURL(/\/workspace\/(?!.*[?#])/);
    const copy = ada.page.url().split("/").at(-1);
    assert.notEqual(copy, id);
    await reaches(ada, copy, "running");
    assert.equal((await runInside(copy, "cat /workspace/kept.txt")).trim(), "second");

    const again = await openSnapshots(ada, "kept");
    const first = again.getByRole("listitem").filter({ hasText: "before the experiment" });
    await first.getByRole("button", { name: "Delete…" }).click();
    const sure = ada.page.getByRole("alertdialog", { name: "Delete this snapshot?" });
    await sure.getByRole("button", { name: "Delete", exact: true }).click();
    await first.waitFor({ state: "detached" });
    await ada.visit("/dashboard");
    for (const gone of [id, copy]) {
      assert.equal((await ada.api("DELETE", `/api/workspaces/${gone}`)).status, 202);
      await rowOf(ada, gone === id ? "kept" : "kept copy").waitFor({ state: "detached" });
    }
  },
};
