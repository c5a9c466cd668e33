import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";

import { CreateForm } from "@/components/workspace/create-dialog";
import { StateAnnouncer } from "@/components/workspace/state-announcer";
import { StatusBadge } from "@/components/workspace/status-badge";
import { WorkspaceRow } from "@/components/workspace/workspace-row";
import { Dialog, DialogContent, DialogTitle } from "@/components/ui/dialog";
import { TooltipProvider } from "@/components/ui/tooltip";
import type { WorkspaceState } from "@/lib/api/types";
import { navigate } from "@/lib/navigate";
import { actionsFor, byCreation, canFrame, matches } from "@/lib/workspace";
import { ada, json, refusal, renderWith, serve, site, WORK, work, workspace } from "./fixtures";

describe("StatusBadge", () => {
  it.each<[WorkspaceState, string]>([
    ["running", "Running"],
    ["starting", "Starting"],
    ["paused", "Asleep"],
    ["stopping", "Stopping"],
    ["stopped", "Stopped"],
    ["failed", "Failed"],
    ["deleting", "Deleting"],
  ])("says %s in a word, not by colour alone", (state, word) => {
    const { container } = renderWith(<StatusBadge workspace={workspace({ state })} />);
    expect(container.querySelector("[data-state]")).toHaveTextContent(`State: ${word}`);
    expect(container.querySelector("[aria-hidden]")).toBeEmptyDOMElement();
  });
});

describe("StateAnnouncer", () => {
  it("announces changes, and neither what was there nor what is new", () => {
    const { rerender } = renderWith(<StateAnnouncer workspaces={[workspace()]} />);
    const status = screen.getByRole("status");
    expect(status).toBeEmptyDOMElement();
    rerender(<StateAnnouncer workspaces={[workspace(), workspace({ id: "new", name: "new" })]} />);
    expect(status).toBeEmptyDOMElement();
    rerender(<StateAnnouncer workspaces={[workspace({ state: "stopped" })]} />);
    expect(status).toHaveTextContent("atlas: Stopped.");
  });
});

describe("what can be done", () => {
  it.each<[WorkspaceState, string]>([
    ["stopped", "start sleep snapshots archive delete"],
    ["starting", "sleep snapshots stop delete"],
    ["running", "open pause sleep snapshots stop delete"],
    ["paused", "wake open sleep snapshots stop delete"],
    ["stopping", "sleep snapshots delete"],
    ["failed", "start sleep snapshots delete"],
    ["deleting", ""],
  ])("to one that is %s: %s", (state, expected) => {
    const can = actionsFor(workspace({ state }), ada);
    const names = Object.entries(can).flatMap(([name, is]) => (is ? [name] : []));
    expect(names.join(" ")).toBe(expected);
  });

  it("does not start, wake or enter what is somebody else's", () => {
    const owner = { id: "someone", name: "Someone" };
    expect(actionsFor(workspace({ owner }), ada)).toMatchObject({ open: false, pause: true, sleep: false, stop: true, delete: true });
    expect(actionsFor(workspace({ owner, state: "paused" }), ada)).toMatchObject({ wake: false, open: false, stop: true });
    expect(actionsFor(workspace({ owner, state: "stopped" }), ada)).toMatchObject({ start: false, snapshots: false });
  });

  it("frames the editor only where it is of the same site", () => {
    expect(canFrame(workspace(), site)).toBe(true);
    expect(canFrame(workspace({ url: "https://abc.workspaces.example" }), site)).toBe(false);
    expect(canFrame(workspace({ url: "https://abc.evilkalpana.localhost:8443" }), site)).toBe(false);
    expect(canFrame(workspace({ url: "javascript:alert(1)" }), site)).toBe(false);
  });

  it("finds every word of a search, and sorts by what never changes", () => {
    expect(matches(workspace(), "ATLAS running")).toBe(true);
    expect(matches(workspace(), "team main")).toBe(true);
    expect(matches(workspace(), "atlas stopped")).toBe(false);
    expect(matches(workspace({ state: "paused" }), "atlas asleep")).toBe(true);
    const older = workspace({ id: "older", created_at: "2025-01-01T00:00:00Z", updated_at: "2027-01-01T00:00:00Z" });
    expect([older, workspace()].sort(byCreation).map(({ id }) => id)).toEqual([workspace().id, "older"]);
  });
});

describe("deleting", () => {
  const DELETE = "DELETE /api/workspaces/kx3v9qm2w7ta";
  const looking = { [WORK]: () => json(200, work([])) };
  const show = () =>
    renderWith(
      <TooltipProvider>
        <ul>
          <WorkspaceRow workspace={workspace()} user={ada} />
        </ul>
      </TooltipProvider>,
    );
  const ask = async () => {
    const user = userEvent.setup();
    await user.click(screen.getByRole("button", { name: "More actions for atlas" }));
    await user.click(await screen.findByRole("menuitem", { name: "Delete…" }));
    return { user, dialog: await screen.findByRole("alertdialog", { name: "Delete atlas?" }) };
  };

  it("says what will happen and does nothing when it is cancelled", async () => {
    const remove = vi.fn(() => json(202, workspace({ state: "deleting" })));
    serve({ ...looking, [DELETE]: remove });
    show();
    const { user, dialog } = await ask();
    expect(dialog).toHaveAccessibleDescription(
      "Its container is removed. It can be restored, with its files, from “Recently deleted” for a while, by default 30 days.",
    );
    expect(within(dialog).getByRole("button", { name: "Cancel" })).toHaveFocus();
    await user.click(within(dialog).getByRole("button", { name: "Cancel" }));
    await waitFor(() => expect(dialog).not.toBeInTheDocument());
    expect(remove).not.toHaveBeenCalled();
    expect(screen.getByRole("button", { name: "More actions for atlas" })).toHaveFocus();
  });

  it("asks the server once confirmed, and closes when it has agreed", async () => {
    const remove = vi.fn(() => json(202, workspace({ state: "deleting" })));
    serve({ ...looking, [DELETE]: remove });
    show();
    const { user, dialog } = await ask();
    await user.click(within(dialog).getByRole("button", { name: "Delete workspace" }));
    await waitFor(() => expect(dialog).not.toBeInTheDocument());
    expect(remove).toHaveBeenCalledOnce();
  });

  it("stays open when the server refuses", async () => {
    const remove = vi.fn(() => refusal(409, "invalid_transition", "not now"));
    serve({ ...looking, [DELETE]: remove });
    show();
    const { user, dialog } = await ask();
    await user.click(within(dialog).getByRole("button", { name: "Delete workspace" }));
    await waitFor(() => expect(remove).toHaveBeenCalledOnce());
    await waitFor(() => expect(within(dialog).getByRole("button", { name: "Delete workspace" })).not.toHaveAttribute("aria-busy"));
    expect(dialog).toBeInTheDocument();
  });
});

describe("creating", () => {
  const show = (create: (request: Request) => Response | Promise<Response>) => {
    const fetched = serve({ "GET /api/site": () => json(200, site), "POST /api/workspaces": create });
    renderWith(
      <Dialog open>
        <DialogContent aria-describedby={undefined}>
          <DialogTitle>New workspace</DialogTitle>
          <CreateForm />
        </DialogContent>
      </Dialog>,
    );
    return fetched;
  };
  const posts = (fetched: ReturnType<typeof serve>): Request[] =>
    fetched.mock.calls.flatMap(([input]) => (input instanceof Request && input.method === "POST" ? [input] : []));

  it("proposes a name, sends what was filled in, and goes to the new workspace", async () => {
    const user = userEvent.setup();
    const to = vi.spyOn(navigate, "to").mockReturnValue();
    let body: unknown;
    show(async (request) => {
      body = await request.json();
      return json(202, workspace({ id: "newone123456", state: "starting" }));
    });
    await user.type(screen.getByLabelText("Git repository URL"), "https://git.example.com/team/hello.git");
    expect(screen.getByLabelText("Name")).toHaveValue("hello");
    await user.click(await screen.findByRole("radio", { name: /Medium/ }));
    await user.click(screen.getByRole("button", { name: "Create workspace" }));
    await waitFor(() => expect(to).toHaveBeenCalledWith("/workspace/newone123456"));
    expect(body).toEqual({ name: "hello", repository: "https://git.example.com/team/hello.git", size: "medium" });
  });

  it("shows mistakes at their fields and sends nothing", async () => {
    const user = userEvent.setup();
    const fetched = show(() => json(500, {}));
    await user.type(screen.getByLabelText("Branch"), "-x");
    await user.click(screen.getByRole("button", { name: "Create workspace" }));
    expect(screen.getByLabelText("Name")).toHaveFocus();
    expect(screen.getByLabelText("Name")).toBeInvalid();
    expect(screen.getByLabelText("Branch")).toHaveAccessibleDescription("Git refuses this name.");
    await user.clear(screen.getByLabelText("Branch"));
    await user.type(screen.getByLabelText("Branch"), "main");
    expect(screen.getByLabelText("Branch")).toHaveAccessibleDescription("A branch needs a repository.");
    expect(posts(fetched)).toHaveLength(0);
  });

  it("puts the server's refusal at the field, and takes it away when the field changes", async () => {
    const user = userEvent.setup();
    show(() => refusal(400, "invalid_repository", "the URL names a host but no repository"));
    await user.type(screen.getByLabelText("Git repository URL"), "https://git.example.com/team/hello");
    await user.click(screen.getByRole("button", { name: "Create workspace" }));
    const field = screen.getByLabelText("Git repository URL");
    await waitFor(() => expect(field).toHaveAccessibleDescription("The URL names a host but no repository."));
    expect(field).toHaveFocus();
    await user.type(field, "2");
    expect(field).toBeValid();
  });

  it("repeats the same wish under the same key, and another under another", async () => {
    const user = userEvent.setup();
    const fetched = show(() => refusal(409, "quota_exceeded", "you have 10 of 10 workspaces"));
    const submit = async (count: number) => {
      await user.click(screen.getByRole("button", { name: "Create workspace" }));
      await waitFor(() => expect(posts(fetched)).toHaveLength(count));
      expect(await screen.findByRole("alert")).toHaveTextContent("quota_exceeded");
    };
    await user.type(screen.getByLabelText("Name"), "one");
    await submit(1);
    await submit(2);
    await user.type(screen.getByLabelText("Name"), "2");
    await submit(3);
    const [first, second, third] = posts(fetched).map((request) => request.headers.get("idempotency-key"));
    expect(first).toMatch(/^[0-9a-f-]{36}$/);
    expect(second).toBe(first);
    expect(third).not.toBe(first);
  });
});
