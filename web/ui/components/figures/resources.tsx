"use client";

import { Gauge } from "lucide-react";
import { useRef, useState, type ReactNode } from "react";

import { FormError } from "@/components/common/error-state";
import { Sparkline } from "@/components/figures/sparkline";
import { Button } from "@/components/ui/button";
import { Popover, PopoverAnchor, PopoverContent, PopoverTrigger } from "@/components/ui/popover";
import { Skeleton } from "@/components/ui/skeleton";
import { SAMPLES_KEPT, useFigures, useLiveFigures } from "@/hooks/use-figures";
import { useNow } from "@/hooks/use-now";
import { asApiError } from "@/lib/api/error";
import type { Figures, FiguresLimits, FiguresNow, FiguresSample, Workspace } from "@/lib/api/types";
import {
  countText,
  cpuText,
  daySummary,
  killsText,
  latest,
  memoryText,
  memoryWarning,
  overTime,
  rateText,
  shareOf,
  together,
  toneOf,
  topOf,
  whyNone,
  type Point,
  type Tone,
} from "@/lib/figures";
import { cn } from "@/lib/utils";

const DAY_MS = 24 * 3_600_000;
/** Below this, traffic is drawn as next to nothing, and not as if it filled the chart. Unit: bytes in a second. */
const QUIET = 10 * 1024;
/** Below this, a few processes are not drawn as if they were many. */
const FEW = 16;

type Span = "now" | "day";

interface ResourcesProps {
  workspace: Pick<Workspace, "id" | "name">;
  isOpen: boolean;
  onOpenChange(isOpen: boolean): void;
  /** Takes the keyboard's place where the bar has no room for the button, and a menu opened this. */
  returnFocus?: () => void;
}

/** What a workspace uses of the machine: read only while it is open. */
export function Resources({ workspace, isOpen, onOpenChange, returnFocus }: ResourcesProps) {
  const button = useRef<HTMLButtonElement>(null);
  return (
    // Modal, because a click into the editor's frame closes nothing: this page hears nothing of it.
    <Popover modal open={isOpen} onOpenChange={onOpenChange}>
      {/* There also where its button is not, so that there is a place to open at. */}
      <PopoverAnchor asChild>
        <span className="flex h-8 items-center">
          <PopoverTrigger asChild>
            <Button
              ref={button}
              variant="ghost"
              size="sm"
              className={cn("text-muted-foreground max-md:w-8 max-md:px-0", returnFocus !== undefined && "max-sm:hidden")}
            >
              <Gauge aria-hidden="true" />
              <span className="max-md:sr-only">Resources</span>
            </Button>
          </PopoverTrigger>
        </span>
      </PopoverAnchor>
      <PopoverContent
        align="end"
        aria-label={`Resources of ${workspace.name}`}
        className="max-h-[calc(100dvh-4.5rem)] w-[22rem] overflow-y-auto"
        onCloseAutoFocus={(event) => {
          if (returnFocus === undefined || button.current?.checkVisibility?.() !== false) return;
          event.preventDefault();
          returnFocus();
        }}
      >
        <Panel id={workspace.id} />
      </PopoverContent>
    </Popover>
  );
}

/** Watches for as long as it is shown. */
function Panel({ id }: { id: string }) {
  const live = useLiveFigures(id);
  const { data, error } = useFigures(id);
  const [span, setSpan] = useState<Span>("now");
  // What was asked for last is of no use as soon as it cannot be asked for anew.
  const now = live.now ?? (error === null ? data?.now : undefined);
  return (
    <>
      <div className="flex items-center justify-between gap-3">
        <h2 className="text-sm font-medium">Resources</h2>
        <SpanChoice span={span} onChange={setSpan} />
      </div>
      {error !== null && (now === undefined || (span === "day" && data === undefined)) ? (
        <div className="mt-3">
          <FormError error={asApiError(error)} />
        </div>
      ) : now === undefined || (span === "day" && data === undefined) ? (
        <PanelSkeleton />
      ) : span === "day" && data !== undefined ? (
        <Day figures={data} limits={now.limits ?? data.limits} />
      ) : (
        <AtThisMoment now={now} samples={live.samples} />
      )}
    </>
  );
}

function SpanChoice({ span, onChange }: { span: Span; onChange(span: Span): void }) {
  const choices: [Span, string][] = [
    ["now", "Now"],
    ["day", "24 hours"],
  ];
  return (
    <div role="group" aria-label="Time" className="flex rounded-md bg-muted p-0.5">
      {choices.map(([value, label]) => (
        <button
          key={value}
          type="button"
          aria-pressed={span === value}
          onClick={() => onChange(value)}
          className={cn(
            "rounded px-2 py-1 text-xs text-muted-foreground transition-colors outline-none hover:text-foreground focus-visible:ring-2 focus-visible:ring-ring motion-reduce:transition-none",
            span === value && "bg-card text-foreground shadow-raise",
          )}
        >
          {label}
        </button>
      ))}
    </div>
  );
}

function AtThisMoment({ now, samples }: { now: FiguresNow; samples: FiguresSample[] }) {
  const why = whyNone(now);
  const { sample, limits } = now;
  if (why !== undefined || sample === null || sample === undefined || limits === null || limits === undefined) {
    return (
      <p role="status" className="mt-3 text-sm leading-relaxed text-muted-foreground">
        {why ?? "There are no figures."}
      </p>
    );
  }
  const drawn = (value: (sample: FiguresSample) => number | null | undefined, top: number): Point[][] =>
    latest(samples.map(value), top, SAMPLES_KEPT);
  const traffic = (each: FiguresSample): number | null => together(each.received_per_second, each.sent_per_second);
  const disk = (each: FiguresSample): number | null => together(each.read_per_second, each.written_per_second);
  return (
    <>
      {now.state === "paused" && (
        <p className="mt-3 text-sm text-muted-foreground">Asleep: it keeps its memory, and uses nothing else.</p>
      )}
      <Warnings sample={sample} limits={limits} />
      {/* Read on demand: aloud, every two seconds, it would drown everything else. */}
      <dl aria-live="off" className="mt-3 grid gap-3">
        <Figure label="CPU" text={cpuText(sample.cpu_cores, limits.cpu_cores)}>
          <Sparkline lines={drawn((each) => each.cpu_cores, limits.cpu_cores ?? topOf(samples.map((each) => each.cpu_cores), 1))} />
        </Figure>
        <Memory sample={sample} limits={limits} lines={drawn((each) => each.memory_bytes, limits.memory_bytes ?? topOf(samples.map((each) => each.memory_bytes), 1))} />
        <Figure label="Network" text={`${rateText(sample.received_per_second)} in, ${rateText(sample.sent_per_second)} out`}>
          <Sparkline lines={drawn(traffic, topOf(samples.map(traffic), QUIET))} />
        </Figure>
        <Figure label="Disk" text={`${rateText(sample.read_per_second)} read, ${rateText(sample.written_per_second)} written`}>
          <Sparkline lines={drawn(disk, topOf(samples.map(disk), QUIET))} />
        </Figure>
        <Figure label="Processes" text={countText(sample.processes, limits.processes)}>
          <Sparkline lines={drawn((each) => each.processes, topOf(samples.map((each) => each.processes), FEW) * 1.25)} />
        </Figure>
      </dl>
    </>
  );
}

function Memory({ sample, limits, lines }: { sample: FiguresSample; limits: FiguresLimits; lines: Point[][] }) {
  const tone = toneOf(shareOf(sample.memory_bytes, limits.memory_bytes));
  return (
    <Figure label="Memory" text={memoryText(sample.memory_bytes, limits.memory_bytes)} tone={tone}>
      <Sparkline lines={lines} tone={tone} />
    </Figure>
  );
}

function Day({ figures, limits }: { figures: Figures; limits: FiguresLimits }) {
  const { history, resolution } = figures;
  // The server's clock may be ahead of this machine's.
  const now = Math.max(useNow(60_000), Date.parse(history.at(-1)?.at ?? "") || 0);
  const drawn = (value: (sample: FiguresSample) => number | null | undefined, least: number): Point[][] =>
    overTime(history, value, { now, span: DAY_MS, resolution, top: topOf(history.map(value), least) });
  const mostMemory = topOf(history.map((sample) => sample.memory_bytes), 0);
  const mostCpu = topOf(history.map((sample) => sample.cpu_cores), 0);
  const traffic = (sample: FiguresSample): number | null => together(sample.received_per_second, sample.sent_per_second);
  const mostTraffic = topOf(history.map(traffic), 0);
  const mostProcesses = topOf(history.map((sample) => sample.processes), 0);
  const tone = toneOf(shareOf(mostMemory, limits.memory_bytes));
  return (
    <>
      <p role="status" className="mt-3 text-sm leading-relaxed text-muted-foreground">
        {daySummary(history, limits)}
      </p>
      {history.length > 0 && (
        <>
          <dl className="mt-3 grid gap-3">
            <Figure label="CPU" text={`at most ${cpuText(mostCpu, limits.cpu_cores)}`}>
              <Sparkline height={40} lines={drawn((sample) => sample.cpu_cores, limits.cpu_cores ?? 1)} />
            </Figure>
            <Figure label="Memory" text={`at most ${memoryText(mostMemory, limits.memory_bytes)}`} tone={tone}>
              <Sparkline height={40} tone={tone} lines={drawn((sample) => sample.memory_bytes, limits.memory_bytes ?? 1)} />
            </Figure>
            <Figure label="Network" text={`at most ${rateText(mostTraffic)}`}>
              <Sparkline height={40} lines={drawn(traffic, QUIET)} />
            </Figure>
            <Figure label="Processes" text={`at most ${countText(mostProcesses, limits.processes)}`}>
              <Sparkline height={40} lines={drawn((sample) => sample.processes, FEW)} />
            </Figure>
          </dl>
          <p aria-hidden="true" className="mt-1.5 flex justify-between text-xs text-muted-foreground">
            <span>24 hours ago</span>
            <span>now</span>
          </p>
        </>
      )}
    </>
  );
}

const TEXT_COLOURS: Record<Tone, string> = {
  calm: "text-muted-foreground",
  warning: "text-warning",
  critical: "text-destructive",
};

function Figure({ label, text, tone = "calm", children }: { label: string; text: string; tone?: Tone; children: ReactNode }) {
  return (
    <div className="grid grid-cols-[auto_1fr] items-baseline gap-x-3 gap-y-1 text-sm">
      <dt>{label}</dt>
      <dd className={cn("text-right text-xs tabular-nums", TEXT_COLOURS[tone])}>{text}</dd>
      <dd aria-hidden="true" className="col-span-2">
        {children}
      </dd>
    </div>
  );
}

/** What needs attention. Said aloud when it changes, which the figures are not. */
function Warnings({ sample, limits }: { sample: FiguresSample; limits: FiguresLimits }) {
  const tone = toneOf(shareOf(sample.memory_bytes, limits.memory_bytes));
  const warnings = [memoryWarning(sample, limits), killsText(sample.oom_kills)].filter((text) => text !== undefined);
  return (
    <div role="status">
      {warnings.length > 0 && (
        <div
          className={cn(
            "mt-3 grid gap-1 rounded-md px-3 py-2 text-sm leading-relaxed",
            tone === "critical" ? "bg-destructive-surface text-destructive" : "bg-warning-surface text-warning",
          )}
        >
          {warnings.map((text) => (
            <p key={text}>{text}</p>
          ))}
        </div>
      )}
    </div>
  );
}

function PanelSkeleton() {
  return (
    <div role="status" aria-label="Loading what it uses" className="mt-4 grid gap-4">
      <Skeleton className="h-9 w-full" />
      <Skeleton className="h-9 w-full" />
      <Skeleton className="h-9 w-full" />
    </div>
  );
}
