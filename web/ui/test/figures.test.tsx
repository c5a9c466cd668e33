import { act, fireEvent, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useState } from "react";
import { beforeEach, describe, expect, it, vi } from "vitest";

import { Resources } from "@/components/figures/resources";
import type { Figures, FiguresNow, FiguresSample } from "@/lib/api/types";
import {
  cpuText,
  daySummary,
  killsText,
  latest,
  memoryText,
  overTime,
  rateText,
  shareOf,
  toneOf,
  whyNone,
} from "@/lib/figures";

import { json, refusal, renderWith, serve, workspace } from "./fixtures";

const GB = 1024 ** 3;

const limits = { cpu_cores: 2, memory_bytes: 4 * GB, processes: 1024 };

function sample(changes: Partial<FiguresSample> = {}): FiguresSample {
  return {
    at: "2026-01-10T12:00:00Z",
    cpu_cores: 0.5,
    memory_bytes: GB,
    processes: 42,
    received_per_second: 2048,
    sent_per_second: null,
    read_per_second: 0,
    written_per_second: 0,
    oom_kills: 0,
    ...changes,
  };
}

const running = (changes: Partial<FiguresSample> = {}): FiguresNow => ({
  state: "running",
  reason: null,
  limits,
  sample: sample(changes),
});

const without = (state: FiguresNow["state"], reason: FiguresNow["reason"] = null): FiguresNow => ({
  state,
  reason,
  limits: null,
  sample: null,
});

describe("figures in words", () => {
  it("are parts of their limits, or of none", () => {
    expect(cpuText(0.76, 2)).toBe("38% of 2 CPUs");
    expect(cpuText(0.76, null)).toBe("0.8 CPUs");
    expect(cpuText(null, 2)).toBe("–");
    expect(memoryText(1.5 * GB, 4 * GB)).toBe("1.5 GB of 4 GB");
    expect(rateText(null)).toBe("–");
    expect(rateText(0)).toBe("0 bytes/s");
    expect(killsText(0)).toBeUndefined();
  });

  it.each([
    [0.79, "calm"],
    [0.8, "warning"],
    [0.94, "warning"],
    [0.95, "critical"],
  ] as const)("%s of a limit is %s", (share, tone) => {
    expect(toneOf(shareOf(share * 100, 100))).toBe(tone);
  });

  it("say why there are none", () => {
    expect(whyNone(running())).toBeUndefined();
    expect(whyNone(without("stopped"))).toContain("does not run");
    expect(whyNone(without("unavailable", "elsewhere"))).toContain("own host");
  });

  it("sum up a day", () => {
    expect(daySummary([], limits)).toBe("Nothing was recorded in the last 24 hours.");
    const day = [sample({ cpu_cores: 1 }), sample({ memory_bytes: 2 * GB })];
    expect(daySummary(day, limits)).toBe("In the last 24 hours at most 2 GB of 4 GB of memory and 50% of 2 CPUs.");
  });
});

describe("charts", () => {
  it("have the newest at the right end, and no line over what is not known", () => {
    expect(latest([1, null, 2, 4], 4, 5)).toEqual([
      [{ x: 0.25, y: 0.25 }],
      [
        { x: 0.75, y: 0.5 },
        { x: 1, y: 1 },
      ],
    ]);
  });

  it("have gaps where it did not run, and leave out what is too old", () => {
    const at = (minute: number) => sample({ at: new Date(minute * 60_000).toISOString() });
    const lines = overTime([at(-10), at(0), at(1), at(8)], () => 1, { now: 600_000, span: 600_000, resolution: 60, top: 1 });
    expect(lines.map((line) => line.length)).toEqual([2, 1]);
  });
});

class Stream extends EventTarget {
  static readonly all: Stream[] = [];
  readyState = 1;
  constructor(readonly url: string) {
    super();
    Stream.all.push(this);
  }
  close(): void {
    this.readyState = 2;
  }
}

const open = () => Stream.all.filter((stream) => stream.readyState !== 2);
const tell = (now: FiguresNow) => act(() => open()[0]?.dispatchEvent(new MessageEvent("figures", { data: JSON.stringify(now) })));

function look(visibility: DocumentVisibilityState): void {
  vi.spyOn(document, "visibilityState", "get").mockReturnValue(visibility);
  act(() => void fireEvent(document, new Event("visibilitychange")));
}

function Bar() {
  const [isOpen, setIsOpen] = useState(false);
  return <Resources workspace={workspace()} isOpen={isOpen} onOpenChange={setIsOpen} />;
}

async function openPanel(figures: Partial<Figures> = {}) {
  const user = userEvent.setup();
  const answer: Figures = { now: running(), limits, resolution: 60, history: [sample()], ...figures };
  serve({ "GET /api/workspaces/kx3v9qm2w7ta/figures": () => json(200, answer) });
  renderWith(<Bar />);
  expect(Stream.all).toHaveLength(0);
  await user.click(screen.getByRole("button", { name: "Resources" }));
  return { user, panel: await screen.findByRole("dialog", { name: "Resources of atlas" }) };
}

describe("the panel", () => {
  beforeEach(() => {
    Stream.all.length = 0;
    vi.stubGlobal("EventSource", Stream);
    look("visible");
  });

  it("watches while it is open, and not when it is closed or the page is not looked at", async () => {
    const { user } = await openPanel();
    expect(open().map((stream) => stream.url)).toEqual(["/api/workspaces/kx3v9qm2w7ta/figures/live"]);
    look("hidden");
    expect(open()).toHaveLength(0);
    look("visible");
    expect(open()).toHaveLength(1);
    await user.keyboard("{Escape}");
    await waitFor(() => expect(open()).toHaveLength(0));
    expect(Stream.all).toHaveLength(2);
  });

  it("shows what arrives, each with its name and its limit", async () => {
    const { panel } = await openPanel();
    tell(running({ cpu_cores: 1.5, memory_bytes: 2 * GB }));
    expect(within(panel).getByText("75% of 2 CPUs")).toBeInTheDocument();
    expect(within(panel).getByText("2 GB of 4 GB")).toBeInTheDocument();
    expect(within(panel).getByText("42 of 1024")).toBeInTheDocument();
    expect(within(panel).getByText("2 KB/s in, – out")).toBeInTheDocument();
    expect(within(panel).queryByText(/Memory is/)).not.toBeInTheDocument();
  });

  it("warns of memory that is nearly used up, and says what the kernel ended", async () => {
    const { panel } = await openPanel();
    tell(running({ memory_bytes: 3.3 * GB }));
    expect(within(panel).getByText("Memory is getting scarce.")).toBeInTheDocument();
    tell(running({ memory_bytes: 3.9 * GB, oom_kills: 2 }));
    expect(within(panel).getByText(/Memory is almost used up/)).toBeInTheDocument();
    expect(within(panel).getByText(/The kernel ended 2 processes/)).toBeInTheDocument();
  });

  it("says why there is nothing, and still has the day", async () => {
    const { user, panel } = await openPanel({ now: without("stopped") });
    expect(await within(panel).findByText(/does not run/)).toBeInTheDocument();
    await user.click(within(panel).getByRole("button", { name: "24 hours" }));
    expect(within(panel).getByText(/at most 1 GB of 4 GB of memory and 25% of 2 CPUs/)).toBeInTheDocument();
    expect(within(panel).getByRole("button", { name: "24 hours" })).toHaveAttribute("aria-pressed", "true");
  });

  it("does not show what was told last as if it were so now", async () => {
    const { panel } = await openPanel();
    tell(running({ cpu_cores: 2 }));
    expect(within(panel).getByText("100% of 2 CPUs")).toBeInTheDocument();
    act(() => open()[0]?.dispatchEvent(new Event("error")));
    expect(within(panel).queryByText("100% of 2 CPUs")).not.toBeInTheDocument();
    tell(running({ cpu_cores: 1 }));
    expect(within(panel).getByText("50% of 2 CPUs")).toBeInTheDocument();
  });

  it("says of a day that cannot be had that it cannot", async () => {
    const user = userEvent.setup();
    serve({
      "GET /api/workspaces/kx3v9qm2w7ta/figures": () =>
        refusal(403, "forbidden", "You may not see what it uses."),
    });
    renderWith(<Bar />);
    await user.click(screen.getByRole("button", { name: "Resources" }));
    const panel = await screen.findByRole("dialog", { name: "Resources of atlas" });
    tell(running());
    expect(within(panel).getByText("25% of 2 CPUs")).toBeInTheDocument();
    await user.click(within(panel).getByRole("button", { name: "24 hours" }));
    expect(await within(panel).findByText(/may not see/)).toBeInTheDocument();
  });

  it("leaves out what is no figures", async () => {
    const { panel } = await openPanel();
    tell(running());
    act(() => open()[0]?.dispatchEvent(new MessageEvent("figures", { data: "{" })));
    expect(within(panel).getByText("25% of 2 CPUs")).toBeInTheDocument();
  });
});
