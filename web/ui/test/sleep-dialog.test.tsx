import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, describe, expect, it, vi } from "vitest";

import { Toaster } from "@/components/ui/sonner";
import { SleepDialog } from "@/components/workspace/sleep-dialog";
import type { Sleep } from "@/lib/api/types";
import { PAUSE_TIMES, timesWith } from "@/lib/sleep";

import { awake, SLEEP } from "./asleep-fixtures";
import { json, refusal, renderWith, serve } from "./fixtures";

vi.mock("next/navigation", () => ({ usePathname: () => "/dashboard" }));

describe("the times", () => {
  it.each([
    [60, 1, "1 minute"],
    [1_000, 2, "1000 seconds"],
    [36 * 3_600, 7, "36 hours"],
    [2_592_000, 7, "30 days"],
  ])("have %d seconds in place %d, as %s", (seconds, place, label) => {
    const times = timesWith(seconds, PAUSE_TIMES);
    expect(times[place]).toEqual({ seconds, label });
    expect(times).toHaveLength(PAUSE_TIMES.length + 1);
  });

  it.each([null, 0, 900, 86_400])("have %j already", (seconds) => {
    expect(timesWith(seconds, PAUSE_TIMES)).toBe(PAUSE_TIMES);
  });
});

describe("the dialog", () => {
  const PAUSE_LABEL = "Put to sleep when nobody is there and nothing is at work for";
  const STOP_LABEL = "Stop it, which frees its memory, after it has slept for";
const ARCHIVE_LABEL = "Archive it, which frees its disk space, after it was stopped for";
  const STAYS_LABEL = "Stay asleep when somebody visits";
  const closed = vi.fn();
  beforeEach(() => void closed.mockClear());
  const show = (sleep: Partial<Sleep> = {}, routes: Parameters<typeof serve>[0] = {}) => {
    const fetched = serve(routes);
    renderWith(
      <>
        <SleepDialog
          workspace={{ ...awake, sleep: { ...awake.sleep, ...sleep } }}
          isOpen
          onOpenChange={closed}
          returnFocus={() => undefined}
        />
        <Toaster />
      </>,
    );
    return fetched;
  };
  const body = (fetched: ReturnType<typeof serve>): Promise<unknown> =>
    (fetched.mock.calls[0]![0] as Request).clone().json();
  const options = (label: string) =>
    within(screen.getByLabelText(label)).getAllByRole("option").map(({ textContent }) => textContent);

  it("asks for three things, each with its label, and says what it cannot promise", () => {
    show();
    const dialog = screen.getByRole("dialog", { name: "When atlas sleeps" });
    expect(dialog).toHaveAccessibleDescription("Whatever is chosen, the site may set a shorter limit.");
    expect(screen.getByRole("combobox", { name: PAUSE_LABEL })).toHaveDisplayValue("As the site has it");
    expect(screen.getByRole("combobox", { name: STOP_LABEL })).toHaveDisplayValue("As the site has it");
    const stays = screen.getByRole("checkbox", { name: STAYS_LABEL });
    expect(stays).not.toBeChecked();
    expect(stays).toHaveAccessibleDescription(
      "It then wakes only when you press Wake or start it from the command line.",
    );
  });

  it("offers what may be chosen, and what was chosen elsewhere", () => {
    show({ pause_after_seconds: 5_400, stop_after_seconds: 0, stays_asleep: true });
    expect(options(PAUSE_LABEL)).toEqual([
      "As the site has it",
      "15 minutes",
      "30 minutes",
      "1 hour",
      "90 minutes",
      "4 hours",
      "8 hours",
      "24 hours",
      "Never",
    ]);
    expect(screen.getByLabelText(PAUSE_LABEL)).toHaveDisplayValue("90 minutes");
    expect(options(STOP_LABEL)).toEqual([
      "As the site has it",
      "1 hour",
      "2 hours",
      "8 hours",
      "1 day",
      "7 days",
      "30 days",
      "Never",
    ]);
    expect(screen.getByLabelText(STOP_LABEL)).toHaveDisplayValue("Never");
    expect(screen.getByLabelText(STAYS_LABEL)).toBeChecked();
  });

  it("keeps what is not touched", async () => {
    const user = userEvent.setup();
    const sleep = { pause_after_seconds: 90, stop_after_seconds: null, archive_after_seconds: 86_400, stays_asleep: true };
    const fetched = show(sleep, { [SLEEP]: () => json(202, awake) });
    await user.click(screen.getByRole("button", { name: "Save" }));
    await waitFor(() => expect(closed).toHaveBeenCalledWith(false));
    expect(await body(fetched)).toEqual(sleep);
  });

  it("saves with the keyboard alone, and says so", async () => {
    const user = userEvent.setup();
    const fetched = show({}, { [SLEEP]: () => json(202, awake) });
    expect(screen.getByLabelText(PAUSE_LABEL)).toHaveFocus();
    await user.selectOptions(screen.getByLabelText(PAUSE_LABEL), "4 hours");
    await user.tab();
    expect(screen.getByLabelText(STOP_LABEL)).toHaveFocus();
    await user.selectOptions(screen.getByLabelText(STOP_LABEL), "Never");
    await user.tab();
    expect(screen.getByLabelText(ARCHIVE_LABEL)).toHaveFocus();
    await user.selectOptions(screen.getByLabelText(ARCHIVE_LABEL), "14 days");
    await user.tab();
    await user.keyboard(" ");
    expect(screen.getByLabelText(STAYS_LABEL)).toBeChecked();
    await user.tab();
    expect(screen.getByRole("button", { name: "Cancel" })).toHaveFocus();
    await user.tab();
    await user.keyboard("{Enter}");
    expect(await screen.findByText("Sleep of atlas changed")).toBeInTheDocument();
    expect(closed).toHaveBeenCalledExactlyOnceWith(false);
    expect(await body(fetched)).toEqual({
      pause_after_seconds: 14_400,
      stop_after_seconds: 0,
      archive_after_seconds: 14 * 86_400,
      stays_asleep: true,
    });
  });

  it("says why it was not saved, and keeps what was chosen", async () => {
    const user = userEvent.setup();
    show({}, { [SLEEP]: () => refusal(400, "invalid_sleep", "an idle time is 0 (for ever) or from 60 to 2592000 seconds") });
    await user.selectOptions(screen.getByLabelText(PAUSE_LABEL), "8 hours");
    await user.click(screen.getByRole("button", { name: "Save" }));
    const dialog = screen.getByRole("dialog", { name: "When atlas sleeps" });
    expect(await within(dialog).findByRole("alert")).toHaveTextContent("invalid_sleep");
    expect(screen.getByLabelText(PAUSE_LABEL)).toHaveDisplayValue("8 hours");
    expect(closed).not.toHaveBeenCalled();
    await user.click(screen.getByRole("button", { name: "Cancel" }));
    expect(closed).toHaveBeenCalledExactlyOnceWith(false);
  });
});
