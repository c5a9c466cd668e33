import { act, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";

import { Toaster } from "@/components/ui/sonner";
import { TooltipProvider } from "@/components/ui/tooltip";
import { WorkspaceRow } from "@/components/workspace/workspace-row";
import type { Workspace } from "@/lib/api/types";

import { ACTIVITY, asleep, awake, moment, open, PAUSE, shownOverlay, SLEEP, soon, START, wakeButton, woken } from "./asleep-fixtures";
import { ada, json, refusal, renderWith, serve } from "./fixtures";

vi.mock("next/navigation", () => ({ usePathname: () => "/dashboard" }));

describe("why and until when", () => {
  it("is asked for when it is opened, and said as text", async () => {
    const user = userEvent.setup();
    const activity = vi.fn(() =>
      json(200, {
        awake: { kind: "busy", text: "`<b>x</b>` (pid 812) uses 97% of a CPU", at: awake.since },
        pauses_at: null,
        stops_at: null,
      }),
    );
    open(awake, { [ACTIVITY]: activity });
    const button = await screen.findByRole("button", { name: "State: Running, why and until when" });
    expect(activity).not.toHaveBeenCalled();
    act(() => button.focus());
    await user.keyboard("{Enter}");
    const popover = await screen.findByRole("dialog", { name: "Sleep of atlas" });
    expect(await within(popover).findByText("Awake because `<b>x</b>` (pid 812) uses 97% of a CPU.")).toBeInTheDocument();
    expect(within(popover).getByText("Stays awake as long as that goes on.")).toBeInTheDocument();
    expect(popover).toHaveFocus();
    await user.keyboard("{Escape}");
    await waitFor(() => expect(popover).not.toBeInTheDocument());
    await waitFor(() => expect(button).toHaveFocus());
    expect(activity).toHaveBeenCalledOnce();
  });

  it("puts it to sleep, which leaves the keyboard with the overlay", async () => {
    const user = userEvent.setup();
    const { start } = open(awake, {
      [ACTIVITY]: () => json(200, { awake: null, pauses_at: null, stops_at: null }),
      [PAUSE]: () => json(202, asleep),
    });
    await user.click(await screen.findByRole("button", { name: "State: Running, why and until when" }));
    await user.click(await screen.findByRole("button", { name: "Put to sleep" }));
    await shownOverlay();
    await waitFor(() => expect(screen.queryByRole("dialog", { name: "Sleep of atlas" })).not.toBeInTheDocument());
    await act(soon);
    expect(wakeButton()).toHaveFocus();
    expect(start).not.toHaveBeenCalled();
  });

  it("leads its owner to when it sleeps, and back", async () => {
    const user = userEvent.setup();
    let isChanged = false;
    open(awake, {
      [ACTIVITY]: () => json(200, { awake: null }),
      [SLEEP]: () => {
        isChanged = true;
        return json(202, { ...awake, updated_at: woken.updated_at, sleep: { ...awake.sleep, stays_asleep: true } });
      },
    });
    const button = await screen.findByRole("button", { name: "State: Running, why and until when" });
    await user.click(button);
    await user.click(await screen.findByRole("button", { name: "Change…" }));
    const dialog = await screen.findByRole("dialog", { name: "When atlas sleeps" });
    await waitFor(() => expect(screen.queryByRole("dialog", { name: "Sleep of atlas" })).not.toBeInTheDocument());
    await act(soon);
    expect(within(dialog).getByLabelText(/^Put to sleep when/)).toHaveFocus();
    await user.keyboard("{Escape}");
    await waitFor(() => expect(button).toHaveFocus());
    expect(isChanged).toBe(false);

    await user.keyboard("{Enter}");
    await user.click(await screen.findByRole("button", { name: "Change…" }));
    await user.click(await screen.findByRole("checkbox", { name: "Stay asleep when somebody visits" }));
    await user.click(screen.getByRole("button", { name: "Save" }));
    expect(await screen.findByText("Sleep of atlas changed")).toBeInTheDocument();
    await waitFor(() => expect(button).toHaveFocus());
    // What is asked anew is as it is now.
    await user.keyboard("{Enter}");
    await user.click(await screen.findByRole("button", { name: "Change…" }));
    expect(await screen.findByRole("checkbox", { name: "Stay asleep when somebody visits" })).toBeChecked();
  });

  it("keeps what is being chosen while the workspace is stopped", async () => {
    const user = userEvent.setup();
    const { hear } = open(awake, { [ACTIVITY]: () => json(200, { awake: null }) });
    await user.click(await screen.findByRole("button", { name: "State: Running, why and until when" }));
    await user.click(await screen.findByRole("button", { name: "Change…" }));
    await user.selectOptions(await screen.findByLabelText(/^Stop it/), "7 days");
    await hear(moment(4, { state: "stopped", sleep: { ...awake.sleep, stop_after_seconds: 90 } }));
    expect(screen.getByLabelText(/^Stop it/)).toHaveDisplayValue("7 days");
  });

  it("leaves that to its owner, and lets administrators put it to sleep", async () => {
    const user = userEvent.setup();
    open({ ...awake, owner: { id: "someone", name: "Grace Hopper" } }, { [ACTIVITY]: () => json(200, { awake: null }) });
    await user.click(await screen.findByRole("button", { name: "State: Running, why and until when" }));
    expect(await screen.findByRole("button", { name: "Put to sleep" })).toBeInTheDocument();
    expect(screen.queryByRole("button", { name: "Change…" })).not.toBeInTheDocument();
  });
});

describe("a row of the list", () => {
  const show = (shown: Workspace) =>
    renderWith(
      <TooltipProvider>
        <ul>
          <WorkspaceRow workspace={shown} user={ada} />
        </ul>
        <Toaster />
      </TooltipProvider>,
    );
  const menu = (user: ReturnType<typeof userEvent.setup>) =>
    user.click(screen.getByRole("button", { name: "More actions for atlas" }));

  it("wakes one that is asleep, and asks before it is stopped", async () => {
    const user = userEvent.setup();
    const fetched = serve({ [START]: () => refusal(409, "capacity_exceeded", "the memory is taken") });
    show(asleep);
    await user.click(screen.getByRole("button", { name: "Wake atlas" }));
    expect(await screen.findByText("atlas was not woken")).toBeInTheDocument();
    expect(fetched).toHaveBeenCalledOnce();
    await menu(user);
    expect(screen.getByRole("menuitem", { name: "Wake and open" })).toHaveAttribute("href", "/workspace/kx3v9qm2w7ta");
    expect(screen.queryByRole("menuitem", { name: "Put to sleep" })).not.toBeInTheDocument();
    await user.click(screen.getByRole("menuitem", { name: "Stop…" }));
    expect(await screen.findByRole("alertdialog", { name: "Stop atlas?" })).toBeInTheDocument();
  });

  it("puts one that runs to sleep", async () => {
    const user = userEvent.setup();
    const fetched = serve({ [PAUSE]: () => json(202, asleep) });
    show(awake);
    await menu(user);
    await user.click(screen.getByRole("menuitem", { name: "Put to sleep" }));
    await waitFor(() => expect(fetched).toHaveBeenCalledOnce());
  });

  it("asks its owner when it sleeps, and gives the keyboard back", async () => {
    const user = userEvent.setup();
    serve({ [SLEEP]: () => json(202, awake) });
    show(awake);
    await menu(user);
    await user.click(screen.getByRole("menuitem", { name: "Sleep…" }));
    expect(await screen.findByRole("dialog", { name: "When atlas sleeps" })).toBeInTheDocument();
    await user.click(screen.getByRole("button", { name: "Save" }));
    expect(await screen.findByText("Sleep of atlas changed")).toBeInTheDocument();
    await waitFor(() => expect(screen.getByRole("button", { name: "More actions for atlas" })).toHaveFocus());
  });

  it("asks nobody else", async () => {
    const user = userEvent.setup();
    serve({});
    show({ ...awake, owner: { id: "someone", name: "Grace Hopper" } });
    await menu(user);
    expect(screen.getByRole("menuitem", { name: "Put to sleep" })).toBeInTheDocument();
    expect(screen.queryByRole("menuitem", { name: "Sleep…" })).not.toBeInTheDocument();
  });

  it("does not offer to wake one that stays asleep by opening it", async () => {
    const user = userEvent.setup();
    const fetched = serve({ [START]: () => json(202, woken) });
    show({ ...asleep, sleep: { ...asleep.sleep, stays_asleep: true } });
    await menu(user);
    expect(screen.queryByRole("menuitem", { name: "Wake and open" })).not.toBeInTheDocument();
    expect(screen.getByRole("menuitem", { name: "Sleep…" })).toBeInTheDocument();
    await user.keyboard("{Escape}");
    await user.click(screen.getByRole("button", { name: "Wake atlas" }));
    await waitFor(() => expect(fetched).toHaveBeenCalledOnce());
  });
});
