import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it } from "vitest";

import { ArchiveButton } from "@/components/workspace/archive-button";
import { StatusBadge } from "@/components/workspace/status-badge";
import type { Snapshot } from "@/lib/api/types";
import { actionsFor, matches, stateLabel } from "@/lib/workspace";

import { ada, json, refusal, renderWith, serve, workspace } from "./fixtures";

const stopped = workspace({ state: "stopped" });
const ASK = `POST /api/workspaces/${stopped.id}/archive`;
const LIST = `GET /api/workspaces/${stopped.id}/snapshots`;

function archive(changes: Partial<Snapshot> = {}): Snapshot {
  return {
    id: "018f0000-0000-7000-8000-0000000000aa",
    workspace_id: stopped.id,
    kind: "archive",
    note: "",
    state: "making",
    created_at: "2026-01-01T10:00:00Z",
    finished_at: null,
    bytes: 0,
    files: 0,
    skipped: 0,
    failure: null,
    ...changes,
  };
}

async function confirm() {
  const user = userEvent.setup();
  await user.click(screen.getByRole("button", { name: "Archive…" }));
  const question = await screen.findByRole("alertdialog", { name: "Archive atlas?" });
  expect(question).toHaveTextContent("put in place again");
  await user.click(within(question).getByRole("button", { name: "Archive" }));
  return user;
}

describe("a workspace that is archived", () => {
  const archived = workspace({ state: "stopped", is_archived: true });

  it("is called so, and found by it", () => {
    renderWith(<StatusBadge workspace={archived} />);
    expect(screen.getByText("Archived")).toBeInTheDocument();
    expect(stateLabel(archived)).toBe("Archived");
    expect(matches(archived, "archived")).toBe(true);
    expect(matches(stopped, "archived")).toBe(false);
  });

  it("cannot be archived again, and neither can one that runs or is somebody else's", () => {
    expect(actionsFor(stopped, ada).archive).toBe(true);
    expect(actionsFor(archived, ada).archive).toBe(false);
    expect(actionsFor(workspace({ state: "running" }), ada).archive).toBe(false);
    const others = workspace({ state: "stopped", owner: { id: "someone", name: "Someone" } });
    expect(actionsFor(others, { ...ada, role: "administrator" }).archive).toBe(false);
  });
});

describe("archiving", () => {
  it("is asked about, and tells how far it is", async () => {
    serve({
      [ASK]: () => json(202, archive()),
      [LIST]: () => json(200, { snapshots: [archive({ bytes: 3_565_158 })], limit: 10 }),
    });
    renderWith(<ArchiveButton workspace={stopped} />);
    await confirm();
    const progress = await screen.findByRole("progressbar", { name: "Being archived" });
    expect(progress).toHaveTextContent("Archiving");
    expect(await screen.findByText("Archiving · 3.4 MB so far")).toBeInTheDocument();
    expect(screen.queryByRole("button", { name: "Archive…" })).toBeNull();
  });

  it("says why it did not happen, and can be asked for again", async () => {
    const failure = "The workspace was not archived, its files are as they were: somebody started it.";
    serve({
      [ASK]: () => json(202, archive()),
      [LIST]: () => json(200, { snapshots: [archive({ state: "ready", failure })], limit: 10 }),
    });
    renderWith(<ArchiveButton workspace={stopped} />);
    const user = await confirm();
    expect(await screen.findByRole("alert")).toHaveTextContent(failure);
    await user.click(screen.getByRole("button", { name: "Try again" }));
    expect(screen.getByRole("button", { name: "Archive…" })).toBeInTheDocument();
  });

  it("says what the server refuses it with", async () => {
    serve({
      [ASK]: () => refusal(507, "disk_full", "There is no room for another snapshot."),
      [LIST]: () => json(200, { snapshots: [], limit: 10 }),
    });
    renderWith(<ArchiveButton workspace={stopped} />);
    await confirm();
    expect(await screen.findByRole("alert")).toHaveTextContent("There is no room for another snapshot.");
  });
});
