// From a Git repository to VS Code in the page.

import assert from "node:assert/strict";

import { FOLDER } from "../lib/git.mjs";
import { runInside } from "../lib/engine.mjs";
import { createWorkspace, editorInPage, onDashboard, rowOf } from "../lib/ways.mjs";
import { left } from "../lib/world.mjs";

const PHASES = ["Network", "Storage", "Container", "Boot", "Repository", "Editor"];

export const stories = {
  "a workspace made from a repository opens in the page, at its own subdomain": async (world) => {
    const ada = left(world.ada, "the administrator");
    const name = "Demo";
    const id = await createWorkspace(ada, { name, repository: await world.git.nextUrl() });
    world.workspace = { id, name };
    const editor = await editorInPage(ada, id);
    await editor.showsFile("README.md");
    assert.equal(await runInside(id, `git -C ${FOLDER} log --format=%s`), "First");
    await world.gallery.take(ada.page, "workspace", { isOurs: false });
  },

  "the dashboard shows it, running": async (world) => {
    const ada = left(world.ada, "the administrator");
    const { name } = left(world.workspace, "a workspace");
    await ada.visit("/dashboard");
    await onDashboard(ada);
    await rowOf(ada, name).getByText("Running").waitFor();
    await world.gallery.take(ada.page, "dashboard");
  },

  "progress is shown phase by phase, and a start under way can be stopped": async (world) => {
    const ada = left(world.ada, "the administrator");
    // A server that takes the connection and says nothing: the clone stays under way.
    const name = "Patience";
    await createWorkspace(ada, { name, repository: await world.git.nextSilentUrl() });
    const progress = ada.page.getByRole("list", { name: "Progress of the start" });
    const items = progress.getByRole("listitem");
    await items.filter({ hasText: "Repository, under way" }).waitFor({ timeout: 60_000 });
    const shown = await items.allInnerTexts();
    assert.deepEqual(shown.map((text) => /^\w+/.exec(text)[0]), PHASES);
    for (const before of PHASES.slice(0, 4)) {
      assert.equal(await items.filter({ hasText: `${before}, done` }).count(), 1, shown.join("\n"));
    }
    assert.equal(await items.filter({ hasText: "Editor, not begun" }).count(), 1, shown.join("\n"));
    await world.gallery.take(ada.page, "progress");

    await ada.page.getByRole("button", { name: "Stop workspace" }).click();
    await ada.page.getByRole("heading", { name: `${name} is stopped` }).waitFor({ timeout: 60_000 });
  },

  "a repository that does not exist fails in words, with a way to try again": async (world) => {
    const ada = left(world.ada, "the administrator");
    const name = "Nowhere";
    const repository = (await world.git.nextUrl()).replace(/[^/]+\.git$/, "missing.git");
    await createWorkspace(ada, { name, repository });
    await ada.page.getByRole("heading", { name: `${name} failed` }).waitFor({ timeout: 60_000 });
    const alert = ada.page.getByRole("alert").filter({ hasText: `${name} failed` });
    const text = await alert.innerText();
    assert.match(text, /repository/i, "it says what failed");
    assert.match(text, /^[a-z]+(_[a-z]+)+$/m, "it has a stable code");
    await alert.getByRole("button", { name: "Retry" }).waitFor();
    const failed = ada.page.getByRole("listitem").filter({ hasText: "Repository, failed" });
    await failed.waitFor();
    await world.gallery.take(ada.page, "failed");
    await ada.visit("/dashboard");
    await onDashboard(ada);
    await rowOf(ada, name).getByText("Failed").waitFor();
    await world.gallery.take(ada.page, "dashboard-several");
  },
};
