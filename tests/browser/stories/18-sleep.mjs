// A workspace sleeps and is woken, under an open editor.

import assert from "node:assert/strict";

import { stateOf } from "../lib/engine.mjs";
import { Editor } from "../lib/editor.mjs";
import { FOLDER } from "../lib/git.mjs";
import { until } from "../lib/until.mjs";
import { openWorkspace } from "../lib/ways.mjs";
import { left } from "../lib/world.mjs";

/** What the editor's own connections say in the console while it sleeps. */
const CUT_OFF = /status of 503|WebSocket|net::ERR_/;

/** From a minute of idleness until the workspace is frozen: looks are half a minute apart. */
const FALLS_ASLEEP_MS = 240_000;

const frozen = (id) => until("the container to be frozen", async () => (await stateOf(id)) === "paused", 30_000);

export const stories = {
  "a workspace is put to sleep under its open editor, and any key wakes it where it was": async (world) => {
    const ada = left(world.ada, "the administrator");
    const { id, name } = left(world.workspace, "a workspace");
    const editor = await openWorkspace(ada, id);
    await editor.showsFile("README.md");
    await editor.openTerminal();
    await editor.makeFile(id, "before-its-sleep.txt");
    const frame = ada.page.frames().find((frame) => frame.url().startsWith(world.site.originOf(id)));
    await frame.evaluate(() => (window.isTheSameAsBefore = true));

    // What was typed is known, and said.
    const typed = await until("somebody to have typed", async () => {
      const { body } = await ada.api("GET", `/api/workspaces/${id}/activity`);
      return body.awake.kind === "typing" && body;
    });
    assert.ok(Date.parse(typed.pauses_at) > Date.now());
    await ada.page.getByRole("button", { name: "State: Running, why and until when" }).click();
    const popover = ada.page.getByRole("dialog", { name: `Sleep of ${name}` });
    await popover.getByText("Awake because somebody typed").waitFor();
    await popover.getByText("It goes to sleep at").waitFor();
    await world.gallery.take(ada.page, "sleep-popover");

    await ada.watch.expecting(CUT_OFF, async () => {
      await popover.getByRole("button", { name: "Put to sleep" }).click();
      const overlay = ada.page.getByRole("dialog", { name: `${name} is asleep` });
      await overlay.waitFor();
      await frozen(id);
      await world.gallery.take(ada.page, "asleep");
      assert.equal(await stateOf(id), "paused", "an open page wakes nobody");

      const pressed = Date.now();
      await ada.page.keyboard.press("a");
      await overlay.waitFor({ state: "detached" });
      const awake = Date.now() - pressed;
      await editor.makeFile(id, "after-its-sleep.txt");
      world.note(`asleep: the page is the editor again ${awake} ms after a key, the open terminal works after ${Date.now() - pressed} ms`);
    });
    await editor.showsFile("after-its-sleep.txt");
    assert.equal(await frame.evaluate(() => window.isTheSameAsBefore), true, "the editor was loaded again");
  },

  "a workspace that stays asleep is woken by its button alone": async (world) => {
    const ada = left(world.ada, "the administrator");
    const { id, name } = left(world.workspace, "a workspace");
    await openWorkspace(ada, id);
    await ada.page.getByRole("button", { name: "State: Running, why and until when" }).click();
    await ada.page.getByRole("dialog", { name: `Sleep of ${name}` }).getByRole("button", { name: "Change…" }).click();
    const dialog = ada.page.getByRole("dialog", { name: `When ${name} sleeps` });
    await dialog.getByLabel(/^Put to sleep when/).selectOption({ label: "8 hours" });
    await dialog.getByLabel("Stay asleep when somebody visits").check();
    await world.gallery.take(ada.page, "sleep-dialog");
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.waitFor({ state: "detached" });

    await ada.watch.expecting(CUT_OFF, async () => {
      assert.equal((await ada.api("POST", `/api/workspaces/${id}/pause`)).status, 202);
      const overlay = ada.page.getByRole("dialog", { name: `${name} is asleep` });
      await overlay.getByText("It stays asleep until you wake it.").waitFor();
      await frozen(id);
      await ada.page.keyboard.press("a");
      // Its own address says so too, to whom means to open it.
      const other = await ada.page.context().newPage();
      await other.goto(`${world.site.originOf(id)}/?folder=${FOLDER}`);
      await other.getByRole("heading", { name: "This workspace is asleep" }).waitFor();
      await world.gallery.take(other, "gateway-asleep");
      await other.close();
      assert.equal(await stateOf(id), "paused");
      await overlay.getByRole("button", { name: "Wake" }).click();
      await overlay.waitFor({ state: "detached" });
    });
    const { body } = await ada.api("GET", `/api/workspaces/${id}`);
    assert.deepEqual(body.sleep, {
      pause_after_seconds: 28_800,
      stop_after_seconds: null,
      archive_after_seconds: null,
      stays_asleep: true,
    });
  },

  "an editor that is merely open does not keep a workspace awake, and its address wakes it": async (world) => {
    const ada = left(world.ada, "the administrator");
    const { id } = left(world.workspace, "a workspace");
    const wish = { pause_after_seconds: 60, stop_after_seconds: null, stays_asleep: false };
    assert.equal((await ada.api("PUT", `/api/workspaces/${id}/sleep`, wish)).status, 202);
    const address = `${world.site.originOf(id)}/?folder=${FOLDER}`;
    await ada.visit(address);
    const editor = Editor.asPage(ada.page);
    await editor.showsFile("README.md");
    await ada.watch.expecting(CUT_OFF, async () => {
      const opened = Date.now();
      await until("sleep", async () => (await stateOf(id)) === "paused", FALLS_ASLEEP_MS);
      world.note(`an open editor with nobody there fell asleep after ${Math.round((Date.now() - opened) / 1000)} s, of 60 that it may be idle`);
      await ada.page.reload();
      await editor.showsFile("README.md");
    });
    assert.equal(await stateOf(id), "running");
    await ada.visit("/dashboard");
    const usual = { pause_after_seconds: null, stop_after_seconds: null, stays_asleep: false };
    assert.equal((await ada.api("PUT", `/api/workspaces/${id}/sleep`, usual)).status, 202);
  },
};
