import { act, fireEvent, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";

import { asleep, awake, fallAsleep, frame, giveFocus, moment, open, overlay, shownOverlay, wakeButton, woken } from "./asleep-fixtures";
import { json, refusal } from "./fixtures";

vi.mock("next/navigation", () => ({ usePathname: () => "/dashboard" }));

describe("a workspace that falls asleep while its page is open", () => {
  it("keeps the editor's frame, under an overlay that has the keyboard, and does not wake by itself", async () => {
    const { start, editor } = await fallAsleep();
    expect(frame()).toBe(editor);
    expect(editor).toHaveAttribute("inert");
    expect(overlay()).toHaveAccessibleDescription(
      "Its programs are frozen in memory, just as you left them. Press any key or click to wake it.",
    );
    expect(wakeButton()).toHaveFocus();
    expect(screen.getByText("atlas: Asleep.")).toBeInTheDocument();
    // What a browser reports when the keyboard's place leaves the frame.
    fireEvent.focus(window);
    fireEvent(document, new Event("visibilitychange"));
    expect(start).not.toHaveBeenCalled();
  });

  it("is woken by a click anywhere on it, and gives the keyboard back to the same frame", async () => {
    const { start, editor } = await fallAsleep();
    fireEvent.click(screen.getByRole("heading", { name: "atlas is asleep" }));
    await waitFor(() => expect(overlay()).not.toBeInTheDocument());
    expect(start).toHaveBeenCalledOnce();
    expect(frame()).toBe(editor);
    expect(editor).not.toHaveAttribute("inert");
    expect(editor).toHaveFocus();
  });

  it("asks once, however many keys are pressed, and says that it wakes", async () => {
    const user = userEvent.setup();
    let answer: (response: Response) => void = () => undefined;
    const { hear, start } = await fallAsleep();
    start.mockImplementation(() => new Promise((resolve) => (answer = resolve)));
    await user.keyboard("{Shift}{Control}{Escape}{Tab}");
    expect(start).not.toHaveBeenCalled();
    act(() => wakeButton().focus());
    await user.keyboard("{Enter}abc");
    await user.click(wakeButton());
    fireEvent.blur(window);
    fireEvent.focus(window);
    await waitFor(() => expect(start).toHaveBeenCalledOnce());
    expect(overlay()).toHaveAccessibleDescription("Waking…");
    expect(wakeButton()).toHaveAttribute("aria-busy", "true");
    // It was agreed to, and is done a moment later.
    act(() => answer(json(202, asleep)));
    await user.keyboard("d");
    expect(overlay()).toHaveAccessibleDescription("Waking…");
    await hear(woken);
    expect(overlay()).not.toBeInTheDocument();
    expect(start).toHaveBeenCalledOnce();
    // Each sleep is one of its own.
    start.mockImplementation(() => json(202, moment(4, { state: "running" })));
    await hear(moment(3, { state: "paused" }));
    expect(overlay()).toBeInTheDocument();
    expect(start).toHaveBeenCalledOnce();
    await user.keyboard("e");
    await waitFor(() => expect(overlay()).not.toBeInTheDocument());
    expect(start).toHaveBeenCalledTimes(2);
  });

  it("is woken when the window is come back to", async () => {
    const { start } = await fallAsleep();
    fireEvent.blur(window);
    expect(start).not.toHaveBeenCalled();
    fireEvent.focus(window);
    await waitFor(() => expect(overlay()).not.toBeInTheDocument());
    expect(start).toHaveBeenCalledOnce();
  });

  it("is woken when its tab is come back to, if the window has the focus", async () => {
    const { start } = await fallAsleep();
    const visibility = vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
    const change = () => fireEvent(document, new Event("visibilitychange"));
    change();
    visibility.mockReturnValue("visible");
    giveFocus(false);
    change();
    expect(start).not.toHaveBeenCalled();
    giveFocus(true);
    change();
    await waitFor(() => expect(overlay()).not.toBeInTheDocument());
    expect(start).toHaveBeenCalledOnce();
  });

  it("is not woken by Tab out of the page and in again, nor by the frame that takes the focus", async () => {
    const { start, editor } = await fallAsleep();
    fireEvent.keyDown(wakeButton(), { key: "Tab" });
    fireEvent.blur(window);
    fireEvent.focus(window);
    editor.focus();
    fireEvent.blur(window);
    await waitFor(() => expect(wakeButton()).toHaveFocus());
    fireEvent.focus(window);
    expect(start).not.toHaveBeenCalled();
  });

  it("leaves keys that go to the bar to it", async () => {
    const user = userEvent.setup();
    const { start } = await fallAsleep();
    screen.getByRole("button", { name: "Stop workspace" }).focus();
    await user.keyboard("{Enter}");
    expect(await screen.findByRole("alertdialog", { name: "Stop atlas?" })).toBeInTheDocument();
    await user.keyboard("{Escape}");
    expect(start).not.toHaveBeenCalled();
  });

  it("says why it was not woken, and tries again", async () => {
    const user = userEvent.setup();
    let isRefused = true;
    const { start } = await fallAsleep({
      "GET /api/workspaces/kx3v9qm2w7ta": () => json(200, awake),
    });
    start.mockImplementation(() =>
      isRefused ? refusal(409, "capacity_exceeded", "the memory is taken", "Stop another one.") : json(202, woken),
    );
    await user.click(wakeButton());
    expect(await within(await shownOverlay()).findByRole("alert")).toHaveTextContent("The memory is taken.");
    isRefused = false;
    await user.click(screen.getByRole("button", { name: "Retry" }));
    await waitFor(() => expect(overlay()).not.toBeInTheDocument());
    expect(start).toHaveBeenCalledTimes(2);
  });
});

describe("opening the page of a workspace that is asleep", () => {
  it("wakes it at once, and only this once", async () => {
    const { start, hear } = open(asleep);
    const editor = await screen.findByTitle("Editor");
    expect(overlay()).not.toBeInTheDocument();
    await hear(moment(3, { state: "paused" }));
    expect(overlay()).toBeInTheDocument();
    expect(frame()).toBe(editor);
    expect(start).toHaveBeenCalledOnce();
  });

  it("waits for its owner when nobody looks, and loads no editor before", async () => {
    giveFocus(false);
    const { start } = open(asleep);
    await shownOverlay();
    expect(frame()).not.toBeInTheDocument();
    expect(start).not.toHaveBeenCalled();
    giveFocus(true);
    fireEvent.focus(window);
    expect(await screen.findByTitle("Editor")).toBeInTheDocument();
    expect(start).toHaveBeenCalledOnce();
  });

  it("leaves it to its owner", async () => {
    const { start } = open({ ...asleep, owner: { id: "someone", name: "Grace Hopper" } });
    expect(await screen.findByRole("heading", { name: "atlas is asleep" })).toBeInTheDocument();
    expect(screen.getByText("Only its owner, Grace Hopper, can wake it.")).toBeInTheDocument();
    expect(screen.queryByRole("button", { name: "Wake" })).not.toBeInTheDocument();
    fireEvent.keyDown(document.body, { key: "a" });
    fireEvent.focus(window);
    expect(start).not.toHaveBeenCalled();
  });

  it("offers to wake and open it where the editor has a tab of its own", async () => {
    const user = userEvent.setup();
    giveFocus(false);
    const elsewhere = { url: "https://abc.workspaces.example" };
    const { start } = open({ ...asleep, ...elsewhere });
    start.mockImplementation(() => json(202, { ...woken, ...elsewhere }));
    const link = await screen.findByRole("link", { name: "Wake and open" });
    expect(link).toHaveAttribute("href", elsewhere.url);
    expect(frame()).not.toBeInTheDocument();
    await user.click(link);
    expect(await screen.findByRole("link", { name: "Open the editor" })).toBeInTheDocument();
    expect(start).toHaveBeenCalledOnce();
  });
});
