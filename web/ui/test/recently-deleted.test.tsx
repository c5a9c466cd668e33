import { act, screen, waitFor, within } from "@testing-library/react";
import userEvent, { type UserEvent } from "@testing-library/user-event";
import { toast } from "sonner";
import { afterEach, describe, expect, it, vi } from "vitest";

import { Toaster } from "@/components/ui/sonner";
import { TooltipProvider } from "@/components/ui/tooltip";
import { Dashboard } from "@/components/workspace/dashboard";
import { RecentlyDeleted } from "@/components/workspace/recently-deleted";
import { WorkspacePage } from "@/components/workspace/workspace-page";
import { WorkspaceRow } from "@/components/workspace/workspace-row";
import type { DeletedWorkspace } from "@/lib/api/types";
import { keys } from "@/lib/query";
import { forgetWorkspace, rememberWorkspace } from "@/lib/workspace-cache";

import { ada, deletedWorkspace, json, refusal, renderWith, serve, site, WORK, work, workspace } from "./fixtures";

const LIST = "GET /api/deleted-workspaces";
const RESTORE = "POST /api/deleted-workspaces/kx3v9qm2w7ta/restore";
const PURGE = "DELETE /api/deleted-workspaces/kx3v9qm2w7ta";

const deleting = workspace({ state: "deleting", updated_at: "2026-01-02T09:59:00Z" });
const restored = workspace({ state: "stopped", updated_at: "2026-01-03T10:00:00Z" });
const other = deletedWorkspace({ id: "b7yq2m4n8rdz", name: "other", repository: null, branch: null });

const listed = (...workspaces: DeletedWorkspace[]) => json(200, { workspaces });
const full = () =>
  refusal(409, "quota_exceeded", "The limit of 10 workspaces per person is reached.", "Delete one first.");

vi.mock("next/navigation", () => ({ usePathname: () => "/dashboard" }));

// What the page and the messages ask of a browser and jsdom does not have.
vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener() {}, removeEventListener() {} }));
vi.stubGlobal(
  "EventSource",
  class {
    addEventListener(): void {}
    close(): void {}
  },
);

afterEach(() => {
  act(() => void toast.dismiss());
  window.history.replaceState(null, "", "/");
});

const shown = (node: React.ReactNode) =>
  renderWith(
    <TooltipProvider>
      {node}
      <Toaster />
    </TooltipProvider>,
  );

const toggle = (count: number) => screen.findByRole("button", { name: `Recently deleted (${count})` });

async function openList(user: UserEvent, count: number): Promise<HTMLElement> {
  await user.click(await toggle(count));
  return screen.getByRole("list", { name: "Recently deleted" });
}

describe("the list of deleted workspaces", () => {
  it("is nothing where there are none", async () => {
    const fetched = serve({ [LIST]: () => listed() });
    const { client } = shown(<RecentlyDeleted />);
    await waitFor(() => expect(client.getQueryData(keys.deletedWorkspaces)).toEqual([]));
    expect(fetched).toHaveBeenCalledOnce();
    expect(screen.queryByText(/Recently deleted/)).toBeNull();
  });

  it("is behind a button, and says what was deleted, when, and until when it is kept", async () => {
    const user = userEvent.setup();
    const kept = new Date(new Date().getFullYear(), 11, 29, 12).toISOString();
    const deleted = new Date(Date.now() - 3 * 60_000).toISOString();
    serve({ [LIST]: () => listed(deletedWorkspace({ deleted_at: deleted, kept_until: kept }), other) });
    shown(<RecentlyDeleted />);
    const button = await toggle(2);
    expect(button).toHaveAttribute("aria-expanded", "false");
    expect(screen.queryByRole("list")).toBeNull();
    await user.tab();
    expect(button).toHaveFocus();
    await user.keyboard("{Enter}");
    expect(button).toHaveAttribute("aria-expanded", "true");
    const [first, second] = within(screen.getByRole("list", { name: "Recently deleted" })).getAllByRole("listitem");
    expect(first).toHaveAccessibleName("atlas");
    expect(first).toHaveTextContent("git.example.com/team/atlas");
    expect(first).toHaveTextContent("Deleted 3 minutes ago · kept until 29 Dec");
    expect(second).toHaveAccessibleName("other");
    expect(second).toHaveTextContent("No repository");
    await user.keyboard("{Enter}");
    expect(screen.queryByRole("list")).toBeNull();
  });

  it("is open and in view where the address asks for it", async () => {
    window.history.replaceState(null, "", "/dashboard#recently-deleted");
    const into = vi.spyOn(Element.prototype, "scrollIntoView");
    serve({ [LIST]: () => listed(deletedWorkspace()) });
    shown(<RecentlyDeleted />);
    expect(await screen.findByRole("list", { name: "Recently deleted" })).toBeInTheDocument();
    expect(into).toHaveBeenCalledOnce();
  });

  it("restores, says so, and keeps the keyboard's place", async () => {
    const user = userEvent.setup();
    let there = [deletedWorkspace(), other];
    serve({
      [LIST]: () => listed(...there),
      [RESTORE]: () => {
        there = [other];
        return json(202, restored);
      },
    });
    const { client } = shown(<RecentlyDeleted />);
    const list = await openList(user, 2);
    await user.click(within(list).getByRole("button", { name: "Restore atlas" }));
    expect(await screen.findByText("atlas is back")).toBeInTheDocument();
    expect(screen.getByText("It is stopped.")).toBeInTheDocument();
    await waitFor(() => expect(within(list).getAllByRole("listitem")).toHaveLength(1));
    const button = await toggle(1);
    await waitFor(() => expect(button).toHaveFocus());
    expect(client.getQueryData(keys.workspace(restored.id))).toEqual(restored);
  });

  it("shows why the server refuses to restore", async () => {
    const user = userEvent.setup();
    serve({ [LIST]: () => listed(deletedWorkspace()), [RESTORE]: full });
    shown(<RecentlyDeleted />);
    const list = await openList(user, 1);
    const restore = within(list).getByRole("button", { name: "Restore atlas" });
    await user.click(restore);
    expect(await screen.findByText("atlas was not restored")).toBeInTheDocument();
    expect(
      screen.getByText("The limit of 10 workspaces per person is reached. Delete one first."),
    ).toBeInTheDocument();
    await waitFor(() => expect(restore).not.toHaveAttribute("aria-busy"));
  });
});

describe("deleting for ever", () => {
  const ask = async (user: UserEvent, count: number) => {
    const list = await openList(user, count);
    await user.click(within(list).getByRole("button", { name: "Delete for ever: atlas" }));
    return screen.findByRole("alertdialog", { name: "Delete atlas for ever?" });
  };

  it("asks first, and does nothing when it is called off", async () => {
    const user = userEvent.setup();
    const fetched = serve({ [LIST]: () => listed(deletedWorkspace()) });
    shown(<RecentlyDeleted />);
    const dialog = await ask(user, 1);
    expect(dialog).toHaveAccessibleDescription(
      "Its files are removed from the server now. They cannot be got back.",
    );
    await user.click(within(dialog).getByRole("button", { name: "Cancel" }));
    await waitFor(() => expect(dialog).not.toBeInTheDocument());
    await waitFor(() => expect(screen.getByRole("button", { name: "Delete for ever: atlas" })).toHaveFocus());
    expect(fetched).toHaveBeenCalledOnce();
  });

  it("removes the files once confirmed, and keeps the keyboard's place", async () => {
    const user = userEvent.setup();
    let there = [deletedWorkspace(), other];
    serve({
      [LIST]: () => listed(...there),
      [PURGE]: () => {
        there = [other];
        return new Response(null, { status: 204 });
      },
    });
    shown(<RecentlyDeleted />);
    const dialog = await ask(user, 2);
    await user.click(within(dialog).getByRole("button", { name: "Delete for ever" }));
    await waitFor(() => expect(dialog).not.toBeInTheDocument());
    expect(await screen.findByText("Deleted atlas for ever")).toBeInTheDocument();
    expect(screen.getAllByRole("listitem", { name: "other" })).toHaveLength(1);
    expect(screen.queryByRole("listitem", { name: "atlas" })).toBeNull();
    const button = await toggle(1);
    await waitFor(() => expect(button).toHaveFocus());
  });

  it("stays open and says why when the server refuses", async () => {
    const user = userEvent.setup();
    serve({ [LIST]: () => listed(deletedWorkspace()), [PURGE]: () => refusal(409, "invalid_transition", "not now") });
    shown(<RecentlyDeleted />);
    const dialog = await ask(user, 1);
    await user.click(within(dialog).getByRole("button", { name: "Delete for ever" }));
    expect(await screen.findByText("The files of atlas were not removed")).toBeInTheDocument();
    expect(dialog).toBeInTheDocument();
  });
});

describe("undo", () => {
  const remove = async (user: UserEvent) => {
    await user.click(screen.getByRole("button", { name: "More actions for atlas" }));
    await user.click(await screen.findByRole("menuitem", { name: "Delete…" }));
    await user.click(await screen.findByRole("button", { name: "Delete workspace" }));
    expect(await screen.findByText("Deleted atlas")).toBeInTheDocument();
  };
  const show = (restore: () => Response) => {
    const fetched = serve({
      [WORK]: () => json(200, work([])),
      "DELETE /api/workspaces/kx3v9qm2w7ta": () => json(202, deleting),
      [RESTORE]: restore,
    });
    const rows = (isThere: boolean) => (
      <TooltipProvider>
        <ul>{isThere && <WorkspaceRow workspace={workspace()} user={ada} />}</ul>
        <Toaster />
      </TooltipProvider>
    );
    return { fetched, rows, ...renderWith(rows(true)) };
  };

  it("is offered after a deletion, and restores although the row is gone", async () => {
    const user = userEvent.setup();
    const { client, rerender, rows } = show(() => json(202, restored));
    await remove(user);
    rerender(rows(false));
    act(() => forgetWorkspace(client, deleting.id));
    await user.click(screen.getByRole("button", { name: "Undo" }));
    expect(await screen.findByText("atlas is back")).toBeInTheDocument();
    expect(screen.getByText("It is stopped.")).toBeInTheDocument();
    await waitFor(() => expect(screen.queryByRole("button", { name: "Undo" })).toBeNull());
    expect(client.getQueryData(keys.workspace(restored.id))).toEqual(restored);
  });

  it("says that one whose deletion was under way is still being stopped", async () => {
    const user = userEvent.setup();
    show(() => json(202, workspace({ state: "stopping", updated_at: restored.updated_at })));
    await remove(user);
    await user.click(screen.getByRole("button", { name: "Undo" }));
    expect(await screen.findByText("It is being stopped.")).toBeInTheDocument();
  });

  it("shows why the server refuses", async () => {
    const user = userEvent.setup();
    const { rerender, rows } = show(full);
    await remove(user);
    rerender(rows(false));
    await user.click(screen.getByRole("button", { name: "Undo" }));
    expect(await screen.findByText("atlas was not restored")).toBeInTheDocument();
    expect(screen.getByText(/The limit of 10 workspaces per person is reached/)).toBeInTheDocument();
  });
});

describe("the dashboard", () => {
  it.each([
    ["without living workspaces", []],
    ["below the living ones", [workspace({ id: "c1kq9w3x5vbn", name: "living" })]],
  ])("has the list %s", async (_, workspaces) => {
    serve({
      "GET /api/session": () => json(200, { user: ada }),
      "GET /api/site": () => json(200, site),
      "GET /api/workspaces": () => json(200, { workspaces }),
      [LIST]: () => listed(deletedWorkspace()),
    });
    shown(<Dashboard />);
    expect(await toggle(1)).toBeInTheDocument();
    expect(screen.queryByRole("button", { name: "Create your first workspace" }) === null).toBe(workspaces.length > 0);
  });
});

describe("the page of a deleted workspace", () => {
  const show = (get: () => Response) => {
    window.history.replaceState(null, "", "/workspace/kx3v9qm2w7ta");
    let isBack = false;
    serve({
      "GET /api/session": () => json(200, { user: ada }),
      "GET /api/site": () => json(200, site),
      "GET /api/workspaces/kx3v9qm2w7ta": () => (isBack ? json(200, restored) : get()),
      [LIST]: () => listed(deletedWorkspace()),
      [RESTORE]: () => {
        isBack = true;
        return json(202, restored);
      },
    });
    return shown(<WorkspacePage />);
  };
  const missing = () => refusal(404, "not_found", "There is no such workspace.");

  it("offers to restore it, and shows it again", async () => {
    const user = userEvent.setup();
    show(missing);
    expect(await screen.findByRole("heading", { name: "This workspace was deleted" })).toBeInTheDocument();
    expect(screen.getByRole("link", { name: "Recently deleted" })).toHaveAttribute("href", "/dashboard#recently-deleted");
    await user.click(screen.getByRole("button", { name: "Restore" }));
    expect(await screen.findByRole("heading", { name: "atlas is stopped" })).toBeInTheDocument();
  });

  it("shows it again when it was restored in another tab", async () => {
    let isGone = false;
    const { client } = show(() => (isGone ? missing() : json(200, workspace({ state: "stopped" }))));
    await screen.findByRole("heading", { name: "atlas is stopped" });
    isGone = true;
    act(() => forgetWorkspace(client, deleting.id));
    expect(await screen.findByRole("heading", { name: "This workspace was deleted" })).toBeInTheDocument();
    act(() => rememberWorkspace(client, restored));
    expect(await screen.findByRole("heading", { name: "atlas is stopped" })).toBeInTheDocument();
  });
});

describe("asking for a workspace that is not there", () => {
  it("takes a late answer for what it is", async () => {
    window.history.replaceState(null, "", "/workspace/kx3v9qm2w7ta");
    let answer: (response: Response) => void = () => undefined;
    const late = new Promise<Response>((resolve) => {
      answer = resolve;
    });
    const get = vi
      .fn<() => Response | Promise<Response>>()
      .mockImplementationOnce(() => json(200, workspace({ state: "stopped" })))
      .mockImplementation(() => late);
    serve({
      "GET /api/session": () => json(200, { user: ada }),
      "GET /api/site": () => json(200, site),
      "GET /api/workspaces/kx3v9qm2w7ta": get,
    });
    const { client } = shown(<WorkspacePage />);
    await screen.findByRole("heading", { name: "atlas is stopped" });
    act(() => void client.invalidateQueries({ queryKey: keys.workspace(restored.id) }));
    await waitFor(() => expect(get).toHaveBeenCalledTimes(2));
    act(() => rememberWorkspace(client, workspace({ state: "starting", updated_at: restored.updated_at })));
    act(() => answer(refusal(404, "not_found", "There is no such workspace.")));
    await waitFor(() => expect(client.isFetching({ queryKey: keys.workspace(restored.id) })).toBe(0));
    expect(screen.getByRole("heading", { name: "Starting atlas" })).toBeInTheDocument();
  });
});
