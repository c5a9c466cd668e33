import { act, fireEvent, screen, waitFor, within } from "@testing-library/react";
import userEvent, { type UserEvent } from "@testing-library/user-event";
import { afterEach, describe, expect, it, vi } from "vitest";

import { SnapshotsDialog } from "@/components/snapshots/snapshots-dialog";
import { TooltipProvider } from "@/components/ui/tooltip";
import { WorkspaceBar } from "@/components/workspace/workspace-bar";
import { WorkspaceRow } from "@/components/workspace/workspace-row";
import type { Snapshot, Workspace, WorkspaceState } from "@/lib/api/types";
import { navigate } from "@/lib/navigate";
import { changesOf, copyName, restoreObstacle } from "@/lib/snapshots";
import { workspaceName } from "@/lib/validation";

import { ada, json, refusal, renderWith, serve, workspace } from "./fixtures";

vi.mock("next/navigation", () => ({ usePathname: () => "/dashboard" }));

const ID = "kx3v9qm2w7ta";
const SNAPSHOTS = `/api/workspaces/${ID}/snapshots`;
const LIST = `GET ${SNAPSHOTS}`;
const TAKE = `POST ${SNAPSHOTS}`;
const CREATE = "POST /api/workspaces";
const one = "018f0000-0000-7000-8000-0000000000a1";
const two = "018f0000-0000-7000-8000-0000000000a2";
const three = "018f0000-0000-7000-8000-0000000000a3";
const RESTORE = `POST ${SNAPSHOTS}/${one}/restore`;
const DELETE = `DELETE ${SNAPSHOTS}/${one}`;

const NOT_ONE_MOMENT = /^Files that change while the snapshot is taken may be from different moments; stop/;
const FIRST_STOP = "Stop the workspace first";

/** What is read out where a moment stands in it: around that, the tests' reader sets spaces. */
const said = (text: string) =>
  new RegExp(`^${text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/,|\\\./g, " ?$&")}$`);

const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();

function snapshot(changes: Partial<Snapshot> = {}): Snapshot {
  return {
    id: one,
    workspace_id: ID,
    kind: "manual",
    note: "",
    state: "ready",
    created_at: minutesAgo(5),
    finished_at: minutesAgo(4),
    bytes: 3.4 * 1024 ** 2,
    files: 1_234,
    skipped: 0,
    failure: null,
    ...changes,
  };
}

const making = (changes: Partial<Snapshot> = {}) =>
  snapshot({ id: two, state: "making", created_at: minutesAgo(0), finished_at: null, bytes: 0, files: 0, ...changes });
const listed = (snapshots: Snapshot[], limit = 20) => json(200, { snapshots, limit });

const stopped = workspace({ state: "stopped" });

type Routes = Parameters<typeof serve>[0];

function show(routes: Routes, of: Workspace = stopped) {
  const fetched = serve(routes);
  const returned = vi.fn();
  const dialog = (isOpen: boolean, at = of) => (
    <SnapshotsDialog workspace={at} isOpen={isOpen} onOpenChange={() => undefined} returnFocus={returned} />
  );
  const rendered = renderWith(dialog(true));
  return { fetched, returned, dialog, ...rendered };
}

const list = () => screen.findByRole("list", { name: "Snapshots" });
const rows = async () => within(await list()).findAllByRole("listitem");
const takeButton = () => screen.getByRole("button", { name: "Take a snapshot" });
const count = (fetched: ReturnType<typeof serve>, method: string): number =>
  fetched.mock.calls.filter(([input]) => input instanceof Request && input.method === method).length;

/** Opens what is asked before something is done with the only snapshot. */
async function ask(user: UserEvent, button: "Restore…" | "New workspace…" | "Delete…") {
  await user.click(await screen.findByRole("button", { name: button }));
  return screen.findByRole(button === "New workspace…" ? "dialog" : "alertdialog", { name: /this snapshot/ });
}

afterEach(() => void vi.useRealTimers());

describe("words", () => {
  it.each<[WorkspaceState, string | undefined]>([
    ["stopped", undefined],
    ["failed", undefined],
    ["running", FIRST_STOP],
    ["paused", FIRST_STOP],
    ["starting", FIRST_STOP],
    ["stopping", "Wait until the workspace is stopped"],
  ])("say why none can be restored in one that is %s", (state, text) => {
    expect(restoreObstacle(state, [snapshot()])).toBe(text);
  });

  it("say that one is made at a time", () => {
    expect(restoreObstacle("stopped", [making()])).toBe("Wait until the other snapshot is made");
  });

  it.each(["atlas", "a".repeat(64), `${"a".repeat(58)}.b.cde`])("propose a name that can be used for %s", (name) => {
    const proposed = copyName(name);
    expect(workspaceName(proposed)).toBeUndefined();
    expect(proposed).toMatch(/^a.* copy$/);
  });

  it("tell of changes, and of nothing that stays", () => {
    expect(changesOf([snapshot()], [snapshot()])).toBe("");
    expect(changesOf([snapshot()], [making(), snapshot()])).toBe("A snapshot is being made.");
    expect(changesOf([making()], [making({ bytes: 5 })])).toBe("");
    expect(changesOf([making()], [making({ state: "ready", bytes: 1, files: 1 })])).toBe(
      "The snapshot is ready: 1 byte, 1 file.",
    );
    expect(changesOf([making()], [making({ state: "failed" })])).toBe("The snapshot failed.");
    expect(changesOf([snapshot()], [])).toBe("A snapshot was deleted.");
  });
});

describe("the way to them", () => {
  const open = async (user: UserEvent) => {
    await user.click(screen.getByRole("button", { name: "More actions for atlas" }));
    await user.click(await screen.findByRole("menuitem", { name: "Snapshots…" }));
    return screen.findByRole("dialog", { name: "Snapshots of atlas" });
  };
  const places: [string, (of: Workspace) => React.ReactNode][] = [
    ["the dashboard", (of) => <ul>{<WorkspaceRow workspace={of} user={ada} />}</ul>],
    ["the bar above the editor", (of) => <WorkspaceBar workspace={of} user={ada} onReloadEditor={() => undefined} />],
  ];
  const routes = {
    [LIST]: () => listed([snapshot()]),
    [`GET /api/workspaces/${ID}/sharing`]: () => json(200, { ports: [], requests: [], maximum: "public" }),
  };

  it.each(places)("is in the menu of %s, and leads back there", async (_, place) => {
    const user = userEvent.setup();
    const fetched = serve(routes);
    renderWith(<TooltipProvider>{place(workspace())}</TooltipProvider>);
    const asked = () => fetched.mock.calls.filter(([input]) => (input as Request).url.endsWith("/snapshots"));
    expect(asked()).toHaveLength(0);
    const dialog = await open(user);
    expect(dialog).toHaveAccessibleDescription(
      "Go back to the files of an earlier moment, or begin another workspace with them.",
    );
    expect(within(dialog).getByLabelText("Note")).toHaveFocus();
    expect(await rows()).toHaveLength(1);
    await user.keyboard("{Escape}");
    await waitFor(() => expect(dialog).not.toBeInTheDocument());
    expect(screen.getByRole("button", { name: "More actions for atlas" })).toHaveFocus();
    expect(asked()).toHaveLength(1);
  });

  it.each(places)("is not in the menu of %s of somebody else's", async (_, place) => {
    const user = userEvent.setup();
    serve(routes);
    renderWith(<TooltipProvider>{place(workspace({ owner: { id: "someone", name: "Someone" } }))}</TooltipProvider>);
    const menu = screen.queryByRole("button", { name: "More actions for atlas" });
    if (menu !== null) await user.click(menu);
    expect(screen.queryByRole("menuitem", { name: "Snapshots…" })).toBeNull();
  });
});

describe("the list", () => {
  it("says of when each is, why, how large, and what was written about it", async () => {
    const at = minutesAgo(5);
    show({
      [LIST]: () =>
        listed([
          snapshot({ created_at: at, note: "<b>before</b> the upgrade" }),
          snapshot({ id: two, kind: "scheduled", created_at: minutesAgo(3 * 60), bytes: 512, files: 1 }),
          snapshot({ id: three, kind: "before_restore", created_at: minutesAgo(60 * 24) }),
        ]),
    });
    const [first, second, third] = await rows();
    expect(first).toHaveAccessibleName(said("5 minutes ago, by you"));
    expect(within(first!).getByText("5 minutes ago")).toHaveAttribute("datetime", at);
    expect(within(first!).getByText("5 minutes ago").title).toContain(String(new Date(at).getFullYear()));
    expect(first).toHaveTextContent("<b>before</b> the upgrade");
    expect(first).toHaveTextContent("3.4 MB · 1,234 files");
    expect(second).toHaveAccessibleName(said("3 hours ago, scheduled"));
    expect(second).toHaveTextContent("512 bytes · 1 file");
    expect(third).toHaveAccessibleName(said("yesterday, before a restore"));
    expect(screen.getByText("1 of at most 20 taken by you.")).toBeInTheDocument();
    for (const name of ["Restore…", "New workspace…", "Delete…"]) {
      const button = within(first!).getByRole("button", { name });
      expect(button).toBeEnabled();
      expect(button).toHaveAccessibleDescription(said("5 minutes ago, by you"));
    }
    const link = within(first!).getByRole("link", { name: "Download" });
    expect(link).toHaveAttribute("href", `${SNAPSHOTS}/${one}/content`);
    expect(link).toHaveAttribute("download");
  });

  it("says what a snapshot is where there are none", async () => {
    show({ [LIST]: () => listed([]) });
    expect(
      await screen.findByText(
        "A copy of all files of the workspace, in /workspace and the home directory, kept outside of it.",
      ),
    ).toBeInTheDocument();
    expect(screen.queryByRole("list", { name: "Snapshots" })).toBeNull();
    expect(screen.queryByText(/of at most/)).toBeNull();
    expect(takeButton()).toBeEnabled();
  });

  it("says why it cannot be shown, and shows it when asked again", async () => {
    const user = userEvent.setup();
    let isAway = true;
    show({ [LIST]: () => (isAway ? refusal(403, "forbidden", "Only its owner may do that.") : listed([snapshot()])) });
    expect(await screen.findByRole("alert")).toHaveTextContent("Only its owner may do that.");
    expect(screen.queryByRole("button", { name: "Take a snapshot" })).toBeNull();
    isAway = false;
    await user.click(screen.getByRole("button", { name: "Try again" }));
    expect(await rows()).toHaveLength(1);
  });

  it("says why one failed, which can only be deleted", async () => {
    show({
      [LIST]: () =>
        listed([
          snapshot({ state: "failed", failure: "The disk is <i>full</i>." }),
          snapshot({ id: two, kind: "before_restore", state: "failed", failure: "The disk is full." }),
          snapshot({ id: three, kind: "before_restore", failure: "The workspace did not get its files." }),
        ]),
    });
    const [first, second, third] = await rows();
    expect(within(first!).getByText("Failed")).toBeInTheDocument();
    expect(first).toHaveTextContent("The disk is <i>full</i>.");
    expect(within(first!).getAllByRole("button").map(({ textContent }) => textContent)).toEqual(["Delete…"]);
    expect(within(first!).queryByRole("link")).toBeNull();
    expect(second).toHaveTextContent("Nothing was restored, and no file was changed. The disk is full.");
    // It is whole all the same.
    expect(third).toHaveTextContent("1,234 filesThe workspace did not get its files.");
    expect(within(third!).getByRole("button", { name: "Restore…" })).toBeEnabled();
  });

  it("is asked for again when somebody comes back to the page", async () => {
    const { fetched } = show({ [LIST]: () => listed([snapshot()]) });
    await rows();
    act(() => void window.dispatchEvent(new Event("visibilitychange")));
    await waitFor(() => expect(count(fetched, "GET")).toBe(2));
  });
});

describe("taking one", () => {
  it("sends the note, and looks every second until it is made, only while it is shown", async () => {
    vi.useFakeTimers({ shouldAdvanceTime: true });
    let there: Snapshot[] = [];
    let body: unknown;
    const { fetched, rerender, dialog } = show({
      [LIST]: () => listed(there),
      [TAKE]: async (request) => {
        body = await request.json();
        there = [making({ note: "upgrade" })];
        return json(202, there[0]);
      },
    });
    await screen.findByText("No snapshots");
    fireEvent.change(screen.getByLabelText("Note"), { target: { value: " upgrade " } });
    fireEvent.click(takeButton());
    const progress = await screen.findByRole("progressbar", { name: "Being made" });
    expect(body).toEqual({ note: "upgrade" });
    expect(progress).toHaveAttribute("aria-valuetext", "Just begun");
    expect(progress).not.toHaveAttribute("aria-valuenow");
    await waitFor(() => expect(screen.getByLabelText("Note")).toHaveValue(""));
    expect(takeButton()).toHaveAttribute("aria-busy", "true");
    expect(screen.queryByRole("button", { name: "Delete…" })).toBeNull();
    const status = screen.getByRole("status", { name: "What became of snapshots" });
    expect(status).toHaveAttribute("aria-live", "polite");
    expect(status).toHaveTextContent("A snapshot is being made.");

    there = [making({ note: "upgrade", bytes: 12 * 1024 ** 2 })];
    await act(() => vi.advanceTimersByTimeAsync(1_100));
    expect(screen.getByRole("progressbar")).toHaveTextContent("Being made · 12 MB so far");
    there = [snapshot({ id: two, note: "upgrade", bytes: 20 * 1024 ** 2, files: 7 })];
    await act(() => vi.advanceTimersByTimeAsync(1_100));
    await waitFor(() => expect(screen.queryByRole("progressbar")).toBeNull());
    expect(status).toHaveTextContent("The snapshot is ready: 20 MB, 7 files.");
    expect(takeButton()).not.toHaveAttribute("aria-busy");
    const done = count(fetched, "GET");
    await act(() => vi.advanceTimersByTimeAsync(10_000));
    expect(count(fetched, "GET")).toBe(done);

    there = [making()];
    fireEvent.click(takeButton());
    await screen.findByRole("progressbar");
    rerender(dialog(false));
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    const closed = count(fetched, "GET");
    await act(() => vi.advanceTimersByTimeAsync(10_000));
    expect(count(fetched, "GET")).toBe(closed);
  });

  it("works with the keyboard alone, and with nothing written", async () => {
    const user = userEvent.setup();
    const take = vi.fn(() => json(202, making()));
    show({ [LIST]: () => listed([]), [TAKE]: take });
    await screen.findByText("No snapshots");
    expect(screen.getByLabelText("Note")).toHaveFocus();
    await user.keyboard("{Enter}");
    await waitFor(() => expect(take).toHaveBeenCalledOnce());
  });

  it("says that files may be from different moments, only while programs are at work", async () => {
    const { rerender, dialog } = show({ [LIST]: () => listed([]) }, workspace());
    expect(screen.getByText(NOT_ONE_MOMENT)).toBeInTheDocument();
    await screen.findByText("No snapshots");
    rerender(dialog(true, workspace({ state: "paused" })));
    expect(screen.queryByText(NOT_ONE_MOMENT)).toBeNull();
    rerender(dialog(true, stopped));
    expect(screen.queryByText(NOT_ONE_MOMENT)).toBeNull();
  });

  it.each([
    ["snapshot_in_progress", 409, "A snapshot of this workspace is being made.", "Wait until it is ready."],
    ["snapshot_limit", 409, "There are 20 snapshots.", "Delete one first."],
    ["snapshots_unavailable", 503, "There is no room for it.", "Ask whoever runs this site."],
  ])("says why it was not taken, and keeps the note: %s", async (code, status, message, hint) => {
    const user = userEvent.setup();
    const { fetched } = show({ [LIST]: () => listed([snapshot()], 1), [TAKE]: () => refusal(status, code, message, hint) });
    await rows();
    expect(screen.getByText("1 of at most 1 taken by you. Delete one to take another.")).toBeInTheDocument();
    await user.type(screen.getByLabelText("Note"), "mine");
    await user.click(takeButton());
    expect(await screen.findByRole("alert")).toHaveTextContent(`${message}${hint}${code}`);
    expect(screen.getByLabelText("Note")).toHaveValue("mine");
    // What is there may be other than was shown.
    expect(count(fetched, "GET")).toBe(2);
  });

  it("does not send a note that is too long, and puts a refused one at its field", async () => {
    const user = userEvent.setup();
    const take = vi.fn(() => refusal(400, "invalid_note", "a note has at most 200 characters"));
    show({ [LIST]: () => listed([]), [TAKE]: take });
    const note = screen.getByLabelText("Note");
    fireEvent.change(note, { target: { value: "x".repeat(201) } });
    await user.click(takeButton());
    expect(note).toBeInvalid();
    expect(note).toHaveFocus();
    expect(note).toHaveAccessibleDescription("Use at most 200 characters.");
    expect(take).not.toHaveBeenCalled();
    fireEvent.change(note, { target: { value: "ü".repeat(200) } });
    expect(note).toBeValid();
    await user.click(takeButton());
    await waitFor(() => expect(note).toHaveAccessibleDescription("A note has at most 200 characters."));
    expect(screen.queryByRole("alert")).toBeNull();
  });
});

describe("restoring one", () => {
  it("is not offered while the workspace is not stopped, and says why", async () => {
    const { rerender, dialog } = show({ [LIST]: () => listed([snapshot()]) }, workspace());
    const button = await screen.findByRole("button", { name: "Restore…" });
    expect(button).toBeDisabled();
    expect(button).toHaveAccessibleDescription(said(`5 minutes ago, by you ${FIRST_STOP}`));
    expect(screen.getByText(FIRST_STOP, { exact: true })).toBeVisible();
    expect(screen.getByRole("button", { name: "New workspace…" })).toBeEnabled();
    rerender(dialog(true, stopped));
    expect(button).toBeEnabled();
    expect(screen.queryByText(FIRST_STOP)).toBeNull();
    rerender(dialog(true, workspace({ state: "failed" })));
    expect(button).toBeEnabled();
  });

  it("says what will happen, and does nothing when it is called off", async () => {
    const user = userEvent.setup();
    const { fetched } = show({ [LIST]: () => listed([snapshot()]) });
    const question = await ask(user, "Restore…");
    expect(question).toHaveAccessibleName("Restore this snapshot?");
    expect(question).toHaveAccessibleDescription(
      said(
        "All files of atlas become those of 5 minutes ago. The present files are kept as a snapshot of their own first. The workspace starts afterwards.",
      ),
    );
    expect(within(question).getByRole("button", { name: "Cancel" })).toHaveFocus();
    await user.keyboard("{Escape}");
    await waitFor(() => expect(question).not.toBeInTheDocument());
    await waitFor(() => expect(screen.getByRole("button", { name: "Restore…" })).toHaveFocus());
    expect(screen.getByRole("dialog", { name: "Snapshots of atlas" })).toBeInTheDocument();
    expect(count(fetched, "POST")).toBe(0);
  });

  it("shows the snapshot of the present files being made, and keeps the keyboard's place", async () => {
    const user = userEvent.setup();
    let there = [snapshot()];
    const restore = vi.fn(() => {
      there = [making({ kind: "before_restore" }), snapshot()];
      return json(202, there[0]);
    });
    show({ [LIST]: () => listed(there), [RESTORE]: restore });
    const question = await ask(user, "Restore…");
    await user.click(within(question).getByRole("button", { name: "Restore" }));
    await waitFor(() => expect(question).not.toBeInTheDocument());
    expect(restore).toHaveBeenCalledOnce();
    const [first, second] = await rows();
    expect(first).toHaveAccessibleName(said("just now, before a restore"));
    expect(first).toHaveTextContent("When it is ready, the workspace starts with the files that are restored.");
    expect(within(second!).getByRole("button", { name: "Restore…" })).toBeDisabled();
    expect(second).toHaveTextContent("Wait until the other snapshot is made");
    // It cannot go back to a button that is not to be pressed.
    await waitFor(() => expect(screen.getByRole("region", { name: "Snapshots there are" })).toHaveFocus());
  });

  it("stays open with the reason when it is refused, and forgets it", async () => {
    const user = userEvent.setup();
    show({
      [LIST]: () => listed([snapshot()]),
      [RESTORE]: () => refusal(409, "invalid_transition", "The workspace runs.", "Stop it first."),
    });
    const question = await ask(user, "Restore…");
    await user.click(within(question).getByRole("button", { name: "Restore" }));
    expect(await within(question).findByRole("alert")).toHaveTextContent("The workspace runs.Stop it first.");
    await user.keyboard("{Escape}");
    await waitFor(() => expect(question).not.toBeInTheDocument());
    expect(within(await ask(user, "Restore…")).queryByRole("alert")).toBeNull();
  });
});

describe("a new workspace from one", () => {
  it("has a name proposed, the same size and way out, and is gone to", async () => {
    const user = userEvent.setup();
    const to = vi.spyOn(navigate, "to").mockReturnValue();
    let body: unknown;
    show(
      {
        [LIST]: () => listed([snapshot()]),
        [CREATE]: async (request) => {
          body = await request.json();
          return json(202, workspace({ id: "newone123456", state: "starting" }));
        },
      },
      workspace({ size: "large", egress: "none" }),
    );
    const dialog = await ask(user, "New workspace…");
    expect(dialog).toHaveAccessibleName("New workspace from this snapshot");
    expect(dialog).toHaveAccessibleDescription(
      "It begins with a copy of the files of 5 minutes ago and has the size of atlas, which stays as it is.",
    );
    expect(within(dialog).getByLabelText("Name")).toHaveFocus();
    expect(within(dialog).getByLabelText("Name")).toHaveValue("atlas copy");
    await user.keyboard("{Enter}");
    await waitFor(() => expect(to).toHaveBeenCalledExactlyOnceWith("/workspace/newone123456"));
    expect(body).toEqual({
      name: "atlas copy",
      size: "large",
      egress: "none",
      snapshot: { workspace_id: ID, snapshot_id: one },
    });
    expect(within(dialog).getByRole("button", { name: "Create" })).toHaveAttribute("aria-busy", "true");
  });

  it("shows a mistake at the name and sends nothing, and leads back when it is called off", async () => {
    const user = userEvent.setup();
    const { fetched } = show({ [LIST]: () => listed([snapshot()]) });
    const dialog = await ask(user, "New workspace…");
    const name = within(dialog).getByLabelText("Name");
    await user.clear(name);
    await user.click(within(dialog).getByRole("button", { name: "Create" }));
    expect(name).toBeInvalid();
    expect(name).toHaveFocus();
    expect(name).toHaveAccessibleDescription("Give the workspace a name.");
    await user.click(within(dialog).getByRole("button", { name: "Cancel" }));
    await waitFor(() => expect(dialog).not.toBeInTheDocument());
    await waitFor(() => expect(screen.getByRole("button", { name: "New workspace…" })).toHaveFocus());
    expect(count(fetched, "POST")).toBe(0);
  });

  it("says why there is none, and repeats the same wish under the same key", async () => {
    const user = userEvent.setup();
    const { fetched } = show({
      [LIST]: () => listed([snapshot()]),
      [CREATE]: () => refusal(409, "quota_exceeded", "You have 10 of 10 workspaces."),
    });
    const dialog = await ask(user, "New workspace…");
    const create = async (times: number) => {
      await user.click(within(dialog).getByRole("button", { name: "Create" }));
      await waitFor(() => expect(count(fetched, "POST")).toBe(times));
      expect(await within(dialog).findByRole("alert")).toHaveTextContent("You have 10 of 10 workspaces.");
    };
    await create(1);
    await create(2);
    await user.type(within(dialog).getByLabelText("Name"), "2");
    await create(3);
    const keys = fetched.mock.calls.flatMap(([input]) =>
      input instanceof Request && input.method === "POST" ? [input.headers.get("idempotency-key")] : [],
    );
    expect(keys[1]).toBe(keys[0]);
    expect(keys[2]).not.toBe(keys[0]);
  });
});

describe("deleting one", () => {
  it("asks first, and keeps the keyboard's place when the row is gone", async () => {
    const user = userEvent.setup();
    let there = [snapshot()];
    const remove = vi.fn(() => {
      there = [];
      return new Response(null, { status: 204 });
    });
    show({ [LIST]: () => listed(there), [DELETE]: remove });
    const question = await ask(user, "Delete…");
    expect(question).toHaveAccessibleName("Delete this snapshot?");
    expect(question).toHaveAccessibleDescription(
      "The snapshot of 5 minutes ago is removed from the server now. It cannot be got back. The workspace stays as it is.",
    );
    expect(remove).not.toHaveBeenCalled();
    await user.click(within(question).getByRole("button", { name: "Delete" }));
    await waitFor(() => expect(question).not.toBeInTheDocument());
    expect(remove).toHaveBeenCalledOnce();
    expect(await screen.findByText("No snapshots")).toBeInTheDocument();
    await waitFor(() => expect(screen.getByRole("region", { name: "Snapshots there are" })).toHaveFocus());
    expect(screen.getByRole("status", { name: "What became of snapshots" })).toHaveTextContent("A snapshot was deleted.");
  });

  it("stays open with the reason when it is refused", async () => {
    const user = userEvent.setup();
    show({
      [LIST]: () => listed([snapshot({ state: "failed", failure: "No room." })]),
      [DELETE]: () => refusal(409, "snapshot_in_progress", "It is being made.", "Wait until it is ready."),
    });
    const question = await ask(user, "Delete…");
    await user.click(within(question).getByRole("button", { name: "Delete" }));
    expect(await within(question).findByRole("alert")).toHaveTextContent("It is being made.Wait until it is ready.");
    await user.click(within(question).getByRole("button", { name: "Cancel" }));
    await waitFor(() => expect(screen.getByRole("button", { name: "Delete…" })).toHaveFocus());
  });
});
