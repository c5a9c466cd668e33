import { QueryClientProvider } from "@tanstack/react-query";
import { act, render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";

import { TooltipProvider } from "@/components/ui/tooltip";
import { WorkLookup } from "@/components/workspace/work-lookup";
import { WorkspaceRow } from "@/components/workspace/workspace-row";
import type { WorkspaceWork } from "@/lib/api/types";
import { keys, makeQueryClient } from "@/lib/query";

import { ada, json, refusal, renderWith, repository, serve, WORK, work, workspace } from "./fixtures";

const DELETE = "DELETE /api/workspaces/kx3v9qm2w7ta";
const LOOKING = "Looking for work that is only in this workspace…";
const FAILED = "What is uncommitted or unpushed could not be looked up.";

type Look = (request: Request) => Response | Promise<Response>;

/** Shows a row, whose question is not asked yet. */
function show(look: Look) {
  const user = userEvent.setup();
  const remove = vi.fn(() => json(202, workspace({ state: "deleting" })));
  const asked = vi.fn(look);
  serve({ [WORK]: asked, [DELETE]: remove });
  const { client } = renderWith(
    <TooltipProvider>
      <ul>
        <WorkspaceRow workspace={workspace()} user={ada} />
      </ul>
    </TooltipProvider>,
  );
  const ask = async () => {
    await user.click(screen.getByRole("button", { name: "More actions for atlas" }));
    await user.click(await screen.findByRole("menuitem", { name: "Delete…" }));
    return screen.findByRole("alertdialog", { name: "Delete atlas?" });
  };
  return { user, client, asked, remove, ask };
}

/** Asks where that is found, and waits until it is told. */
async function told(found: WorkspaceWork) {
  const shown = show(() => json(200, found));
  const dialog = await shown.ask();
  await waitFor(() => expect(within(dialog).getByRole("status")).not.toHaveTextContent(LOOKING));
  return { ...shown, dialog, status: within(dialog).getByRole("status") };
}

const never = () => new Promise<Response>(() => undefined);

/** Answers never, as long as the request is not given up. */
function silence() {
  const signals: AbortSignal[] = [];
  const look: Look = ({ signal }) => {
    signals.push(signal);
    return new Promise((_, refuse) => {
      signal.addEventListener("abort", () => refuse(new DOMException("given up", "AbortError")));
    });
  };
  return { look, signals };
}

describe("the question before a deletion", () => {
  it("looks for work only once it is asked, and can be answered meanwhile", async () => {
    const { user, asked, remove, ask } = show(never);
    expect(asked).not.toHaveBeenCalled();
    const dialog = await ask();
    expect(within(dialog).getByRole("status")).toHaveTextContent(LOOKING);
    expect(asked).toHaveBeenCalledOnce();
    expect(within(dialog).getByRole("button", { name: "Cancel" })).toHaveFocus();
    expect(within(dialog).getByRole("button", { name: "Cancel" })).toBeEnabled();
    await user.click(within(dialog).getByRole("button", { name: "Delete workspace" }));
    await waitFor(() => expect(dialog).not.toBeInTheDocument());
    expect(remove).toHaveBeenCalledOnce();
  });

  it.each<[string, WorkspaceWork]>([
    ["Everything in its repositories is committed and pushed.", work([repository()])],
    ["There is no Git repository in it.", work([])],
    [
      "Whether there is uncommitted or unpushed work cannot be seen: it does not run, or does not answer.",
      work([], { is_known: false }),
    ],
  ])("says: %s", async (text, found) => {
    const { dialog, status } = await told(found);
    expect(status).toHaveTextContent(text);
    expect(within(dialog).queryByRole("list")).not.toBeInTheDocument();
    expect(within(dialog).queryByText("There may be more.")).not.toBeInTheDocument();
    expect(within(dialog).getByRole("button", { name: "Cancel" })).toHaveFocus();
  });

  it("lists what is only there, as text, with the files on demand", async () => {
    const { user, dialog, status } = await told(
      work(
        [
          repository({ uncommitted: 3, unpushed: 2, stashes: 1, examples: ["<b>a</b>", "src/b.rs"] }),
          repository({ path: "clean" }),
          repository({ path: "x".repeat(300), branch: null, unpushed: 2, has_remote: false }),
          repository({ path: "odd", branch: null, problem: "<i>it is locked</i>" }),
        ],
        { is_cut: true },
      ),
    );
    expect(within(dialog).getByRole("heading", { name: "Only in this workspace:" })).toBeInTheDocument();
    // The list is not part of what is read aloud by itself.
    expect(status).toHaveTextContent(
      /^Only in this workspace:3 uncommitted files, 4 unpushed commits, 1 stash, in 2 repositories. 1 repository could not be looked at.$/,
    );
    const list = within(dialog).getByRole("list", { name: "Only in this workspace:" });
    expect([...list.children].map((item) => item.querySelector("p")?.textContent)).toEqual([
      "demo (main): 3 uncommitted files, 2 unpushed commits, 1 stash",
      `${"x".repeat(300)}: 2 commits, and no remote to push them to`,
      "odd: could not be looked at: <i>it is locked</i>",
    ]);
    expect(within(dialog).getByText("There may be more.")).toBeInTheDocument();

    // One for the only repository of which files are known.
    const files = within(list).getByText("Show files");
    expect(within(list).getByText("<b>a</b>")).not.toBeVisible();
    await user.click(files);
    expect(within(list).getByText("<b>a</b>")).toBeVisible();
    expect(within(list).getByText("and 1 more")).toBeVisible();
    expect(within(dialog).getByRole("button", { name: "Delete workspace" })).toBeEnabled();
  });

  it.each<[string, Look]>([
    ["refuses", () => refusal(500, "internal", "no")],
    ["is away", () => refusal(503, "unavailable", "not now")],
    ["does not answer", () => Promise.reject(new TypeError("no network"))],
  ])("says so when the server %s, and does not insist", async (_, look) => {
    const { user, asked, remove, ask } = show(look);
    const dialog = await ask();
    await waitFor(() => expect(within(dialog).getByRole("status")).toHaveTextContent(FAILED));
    expect(asked).toHaveBeenCalledOnce();
    await user.click(within(dialog).getByRole("button", { name: "Delete workspace" }));
    await waitFor(() => expect(dialog).not.toBeInTheDocument());
    expect(remove).toHaveBeenCalledOnce();
  });

  it("waits for 25 seconds, not longer", async () => {
    const limit = new AbortController();
    const timeout = vi.spyOn(AbortSignal, "timeout").mockReturnValue(limit.signal);
    const { look, signals } = silence();
    const { ask } = show(look);
    const dialog = await ask();
    expect(timeout).toHaveBeenCalledExactlyOnceWith(25_000);
    act(() => limit.abort(new DOMException("over", "TimeoutError")));
    await waitFor(() => expect(within(dialog).getByRole("status")).toHaveTextContent(FAILED));
    expect(signals).toHaveLength(1);
    expect(signals[0]?.aborted).toBe(true);
    expect(within(dialog).getByRole("button", { name: "Delete workspace" })).toBeEnabled();
  });

  it("gives the request up when it is closed", async () => {
    const { look, signals } = silence();
    const { user, ask } = show(look);
    const dialog = await ask();
    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
    await user.keyboard("{Escape}");
    await waitFor(() => expect(dialog).not.toBeInTheDocument());
    await waitFor(() => expect(signals.map(({ aborted }) => aborted)).toEqual([true]));
  });

  it("looks anew each time, and does not show what was found before", async () => {
    let look: Look = () => json(200, work([repository({ stashes: 1 })]));
    const { user, client, asked, ask } = show((request) => look(request));
    await within(await ask()).findByText(/1 stash$/);
    await user.keyboard("{Escape}");
    await waitFor(() => expect(screen.queryByRole("alertdialog")).not.toBeInTheDocument());
    await waitFor(() => expect(client.getQueryState(keys.work("kx3v9qm2w7ta"))).toBeUndefined());
    look = never;
    const dialog = await ask();
    expect(within(dialog).getByRole("status")).toHaveTextContent(LOOKING);
    expect(within(dialog).queryByText(/1 stash$/)).not.toBeInTheDocument();
    expect(asked).toHaveBeenCalledTimes(2);
  });
});

describe("while the question fades", () => {
  const show = (look: Look) => {
    serve({ [WORK]: look });
    const client = makeQueryClient();
    const lookup = (isAsked: boolean) => (
      <QueryClientProvider client={client}>
        <WorkLookup id="kx3v9qm2w7ta" isAsked={isAsked} />
      </QueryClientProvider>
    );
    const { rerender } = render(lookup(true));
    return (isAsked: boolean) => rerender(lookup(isAsked));
  };

  it("gives the request up at once, and asks again when it is opened meanwhile", async () => {
    const { look, signals } = silence();
    const ask = show(look);
    await waitFor(() => expect(signals).toHaveLength(1));
    ask(false);
    await waitFor(() => expect(signals[0]?.aborted).toBe(true));
    expect(screen.getByRole("status")).toHaveTextContent(LOOKING);
    ask(true);
    await waitFor(() => expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]));
    expect(screen.getByRole("status")).toHaveTextContent(LOOKING);
  });

  it.each<[string, Look]>([
    ["Everything in its repositories is committed and pushed.", () => json(200, work([repository()]))],
    [FAILED, () => refusal(503, "unavailable", "not now")],
  ])("keeps what it said, and forgets it when it is opened meanwhile: %s", async (text, first) => {
    let look = first;
    const ask = show((request) => look(request));
    await screen.findByText(text);
    look = never;
    ask(false);
    expect(screen.getByRole("status")).toHaveTextContent(text);
    ask(true);
    expect(screen.getByRole("status")).toHaveTextContent(LOOKING);
  });
});
