import { act, fireEvent, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";

import { asleep, awake, fallAsleep, frame, moment, open, overlay, shownOverlay, soon, wakeButton, woken } from "./asleep-fixtures";
import { json } from "./fixtures";

vi.mock("next/navigation", () => ({ usePathname: () => "/dashboard" }));

const sleep = { ...awake.sleep, stays_asleep: true };
const TEXT = "Its programs are frozen in memory, just as you left them. It stays asleep until you wake it.";

describe("a workspace that stays asleep", () => {
  it("is not woken by a visit, nor by coming back to it", async () => {
    const { start } = open({ ...asleep, sleep });
    expect(await shownOverlay()).toHaveAccessibleDescription(TEXT);
    expect(frame()).not.toBeInTheDocument();
    fireEvent.blur(window);
    fireEvent.focus(window);
    const visibility = vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
    fireEvent(document, new Event("visibilitychange"));
    visibility.mockReturnValue("visible");
    fireEvent(document, new Event("visibilitychange"));
    await act(soon);
    expect(start).not.toHaveBeenCalled();
  });

  it("is not woken by keys, nor by a click beside the button", async () => {
    const user = userEvent.setup();
    const { start } = await fallAsleep(undefined, { sleep });
    expect(overlay()).toHaveAccessibleDescription(TEXT);
    expect(wakeButton()).toHaveFocus();
    await user.keyboard("abc{ArrowDown}{F1}");
    // One that was held as the button came under it would press it.
    expect(fireEvent.keyDown(wakeButton(), { key: "Enter", repeat: true })).toBe(false);
    fireEvent.keyDown(document.body, { key: "Enter" });
    await user.click(screen.getByRole("heading", { name: "atlas is asleep" }));
    await act(soon);
    expect(start).not.toHaveBeenCalled();
  });

  it("keeps the keyboard from the frame all the same", async () => {
    const { editor } = await fallAsleep(undefined, { sleep });
    editor.focus();
    fireEvent.blur(window);
    await waitFor(() => expect(wakeButton()).toHaveFocus());
  });

  it.each(["{Enter}", " "])("is woken by %j on the button", async (key) => {
    const user = userEvent.setup();
    const { start } = await fallAsleep(undefined, { sleep });
    start.mockImplementation(() => json(202, { ...woken, sleep }));
    await user.keyboard(key);
    await waitFor(() => expect(overlay()).not.toBeInTheDocument());
    expect(start).toHaveBeenCalledOnce();
  });

  it("is woken by a click on the button", async () => {
    const user = userEvent.setup();
    const { start } = await fallAsleep(undefined, { sleep });
    await user.click(wakeButton());
    await waitFor(() => expect(overlay()).not.toBeInTheDocument());
    expect(start).toHaveBeenCalledOnce();
  });

  it("wakes as usual once it does not any more, but not for a visit that is over", async () => {
    const user = userEvent.setup();
    const { start, hear } = open({ ...asleep, sleep });
    await shownOverlay();
    await hear({ ...asleep, updated_at: moment(2, {}).updated_at });
    expect(overlay()).toHaveAccessibleDescription(/Press any key or click to wake it\.$/);
    expect(start).not.toHaveBeenCalled();
    start.mockImplementation(() => json(202, moment(3, { state: "running" })));
    await user.keyboard("a");
    await waitFor(() => expect(overlay()).not.toBeInTheDocument());
    expect(start).toHaveBeenCalledOnce();
  });

  it("is woken before it is opened where the editor has a tab of its own", async () => {
    const user = userEvent.setup();
    const elsewhere = { url: "https://abc.workspaces.example", sleep };
    const { start } = open({ ...asleep, ...elsewhere });
    start.mockImplementation(() => json(202, { ...woken, ...elsewhere }));
    expect(await screen.findByText(TEXT)).toBeInTheDocument();
    expect(screen.queryByRole("link", { name: "Wake and open" })).not.toBeInTheDocument();
    expect(start).not.toHaveBeenCalled();
    await user.click(wakeButton());
    expect(await screen.findByRole("link", { name: "Open the editor" })).toBeInTheDocument();
    expect(start).toHaveBeenCalledOnce();
  });
});
