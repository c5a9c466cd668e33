import { act, fireEvent, screen } from "@testing-library/react";
import { toast } from "sonner";
import { afterEach, beforeEach, expect, vi } from "vitest";

import { Toaster } from "@/components/ui/sonner";
import { TooltipProvider } from "@/components/ui/tooltip";
import { WorkspacePage } from "@/components/workspace/workspace-page";
import type { Workspace } from "@/lib/api/types";
import { rememberWorkspace } from "@/lib/workspace-cache";

import { ada, json, renderWith, serve, site, workspace } from "./fixtures";

export const START = "POST /api/workspaces/kx3v9qm2w7ta/start";
export const PAUSE = "POST /api/workspaces/kx3v9qm2w7ta/pause";
export const ACTIVITY = "GET /api/workspaces/kx3v9qm2w7ta/activity";
export const SLEEP = "PUT /api/workspaces/kx3v9qm2w7ta/sleep";

/** One moment after another in the life of a workspace, without a start between them. */
export const moment = (minute: number, changes: Partial<Workspace>) => {
  const at = `2026-01-01T11:0${minute}:00Z`;
  return workspace({ since: at, updated_at: at, ...changes });
};
export const awake = moment(0, { state: "running" });
export const asleep = moment(1, { state: "paused" });
export const woken = moment(2, { state: "running" });

// What the page asks of a browser and jsdom does not have.
vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener() {}, removeEventListener() {} }));
vi.stubGlobal(
  "EventSource",
  class {
    addEventListener(): void {}
    close(): void {}
  },
);

let hasFocus = true;
/** Whether the window has the focus, as it has at first. */
export const giveFocus = (is: boolean): void => {
  hasFocus = is;
};
beforeEach(() => {
  hasFocus = true;
  vi.spyOn(document, "hasFocus").mockImplementation(() => hasFocus);
  window.history.replaceState(null, "", "/workspace/kx3v9qm2w7ta");
});
afterEach(() => {
  window.history.replaceState(null, "", "/");
  // Messages outlive what shows them.
  act(() => void toast.dismiss());
});

/** What is heard is shown a moment later. */
export const soon = () => new Promise((resolve) => setTimeout(resolve, 20));

export type Routes = Parameters<typeof serve>[0];

/** Opens the page of a workspace as it is at first. */
export function open(first: Workspace, routes: Routes = {}) {
  const start = vi.fn<(request: Request) => Response | Promise<Response>>(() => json(202, woken));
  serve({
    "GET /api/session": () => json(200, { user: ada }),
    "GET /api/site": () => json(200, site),
    "GET /api/workspaces/kx3v9qm2w7ta": () => json(200, first),
    "GET /api/workspaces/kx3v9qm2w7ta/sharing": () => json(200, { ports: [], requests: [], maximum: "private" }),
    [START]: start,
    ...routes,
  });
  const { client } = renderWith(
    <TooltipProvider>
      <WorkspacePage />
      <Toaster />
    </TooltipProvider>,
  );
  const hear = (said: Workspace) =>
    act(async () => {
      rememberWorkspace(client, said);
      await soon();
    });
  return { start, hear };
}

export const frame = () => screen.queryByTitle("Editor");
export const overlay = () => screen.queryByRole("dialog", { name: "atlas is asleep" });
export const shownOverlay = () => screen.findByRole("dialog", { name: "atlas is asleep" });
export const wakeButton = () => screen.getByRole("button", { name: "Wake" });

/** Opens the page while the workspace runs, and lets it fall asleep. */
export async function fallAsleep(routes?: Routes, changes?: Partial<Workspace>) {
  const page = open({ ...awake, ...changes }, routes);
  const editor = await screen.findByTitle("Editor");
  fireEvent.load(editor);
  expect(editor).toHaveFocus();
  await page.hear({ ...asleep, ...changes });
  return { ...page, editor };
}
