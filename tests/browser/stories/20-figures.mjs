// What a workspace uses is shown while somebody looks, and read for nobody else.

import assert from "node:assert/strict";

import { PHONE, WIDE } from "../lib/browser.mjs";
import { runInside } from "../lib/engine.mjs";
import { until } from "../lib/until.mjs";
import { onDashboard, rowOf } from "../lib/ways.mjs";
import { left } from "../lib/world.mjs";

/** Keeps a processor busy for a while. */
const BUSY = "nohup timeout 120 node -e 'for (;;);' > /dev/null 2>&1 &";

const stateOf = async (ada, id) => (await ada.api("GET", `/api/workspaces/${id}`)).body.state;

export const stories = {
  "what a workspace uses is shown as it is read, and nothing is read once nobody looks": async (world) => {
    const ada = left(world.ada, "the administrator");
    await ada.visit("/dashboard");
    await onDashboard(ada);
    const made = await ada.api("POST", "/api/workspaces", { name: "busy" });
    assert.equal(made.status, 202);
    const { id } = made.body;
    await until("it to run", async () => (await stateOf(ada, id)) === "running", 120_000);
    await runInside(id, BUSY);
    await ada.visit(`/workspace/${id}`);

    // The stream is one request, which is over when the panel is closed.
    const open = new Set();
    const isLive = (request) => request.url().endsWith("/figures/live");
    ada.page.on("request", (request) => isLive(request) && open.add(request));
    for (const over of ["requestfinished", "requestfailed"]) ada.page.on(over, (request) => open.delete(request));

    const button = ada.page.getByRole("button", { name: "Resources" });
    await button.click();
    const panel = ada.page.getByRole("dialog", { name: "Resources of busy" });
    await panel.getByText(/^(\d\d|100)% of \d+ CPUs?$/).waitFor();
    await panel.getByText(/^[1-9][\d.]* (MB|GB) of 2 GB$/).waitFor();
    await panel.getByText(/^[1-9]\d* of 1024$/).waitFor();
    assert.equal(open.size, 1, "one stream");
    await world.gallery.take(ada.page, "figures");

    await panel.getByRole("button", { name: "24 hours" }).click();
    await panel.getByText(/in the last 24 hours/i).first().waitFor();
    await panel.getByText(/of memory and/).waitFor({ timeout: 150_000 });
    await world.gallery.take(ada.page, "figures-day");
    await ada.page.setViewportSize(PHONE);
    await panel.getByRole("button", { name: "Now" }).click();
    const box = await panel.boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= PHONE.width, "it fits on a phone");
    await ada.page.setViewportSize(WIDE);

    await ada.page.keyboard.press("Escape");
    await panel.waitFor({ state: "detached" });
    await until("the stream to be over", () => open.size === 0);
    await ada.visit("/dashboard");
    assert.equal((await ada.api("DELETE", `/api/workspaces/${id}`)).status, 202);
    await rowOf(ada, "busy").waitFor({ state: "detached" });
  },
};
