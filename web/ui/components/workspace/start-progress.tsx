"use client";

import { Check, Circle, LoaderCircle, X } from "lucide-react";

import { useNow } from "@/hooks/use-now";
import type { Phase, PhaseStatus, Workspace } from "@/lib/api/types";
import { duration } from "@/lib/format";
import { cn } from "@/lib/utils";
import { PENDING_PHASES, phaseLabel } from "@/lib/workspace";

const STATUS_WORDS: Readonly<Record<PhaseStatus, string>> = {
  pending: "not begun",
  running: "under way",
  done: "done",
  failed: "failed",
};

/** A start, phase by phase, with the time each took. */
export function StartProgress({ workspace }: { workspace: Workspace }) {
  const phases = workspace.progress?.phases ?? PENDING_PHASES;
  const isTicking = workspace.state === "starting";
  const now = useNow(200, isTicking);
  const current = phases.find((phase) => phase.status === "running");
  return (
    <>
      <ol aria-label="Progress of the start" className="flex flex-col">
        {phases.map((phase, index) => (
          <PhaseItem key={phase.name} phase={phase} now={now} isLast={index === phases.length - 1} isTicking={isTicking} />
        ))}
      </ol>
      <p role="status" className="sr-only">
        {current === undefined ? "" : `${phaseLabel(current.name)} under way`}
      </p>
    </>
  );
}

interface PhaseItemProps {
  phase: Phase;
  now: number;
  isLast: boolean;
  isTicking: boolean;
}

function PhaseItem({ phase, now, isLast, isTicking }: PhaseItemProps) {
  const { name, status, detail } = phase;
  const time = elapsed(phase, isTicking ? now : undefined);
  return (
    <li
      aria-current={status === "running" ? "step" : undefined}
      data-status={status}
      className="grid min-h-11 grid-cols-[1.5rem_minmax(0,1fr)_auto] gap-x-3"
    >
      <span className="flex flex-col items-center">
        <PhaseIcon status={status} />
        {!isLast && (
          <span
            aria-hidden="true"
            className={cn("w-px flex-1 transition-colors duration-300", status === "done" ? "bg-success/40" : "bg-border")}
          />
        )}
      </span>
      <div className="min-w-0 pb-3">
        <p
          className={cn(
            "text-sm leading-6 transition-colors",
            status === "pending" ? "text-muted-foreground" : "font-medium",
            status === "failed" && "text-destructive",
          )}
        >
          {phaseLabel(name)}
          <span className="sr-only">, {STATUS_WORDS[status]}</span>
        </p>
        {detail !== null && detail !== undefined && detail !== "" && (
          <p className="text-[0.8125rem] leading-5 break-words text-muted-foreground">{detail}</p>
        )}
      </div>
      <span className="pt-px font-mono text-xs leading-6 text-muted-foreground tabular-nums">{time}</span>
    </li>
  );
}

function PhaseIcon({ status }: { status: PhaseStatus }) {
  const shape = "grid size-6 shrink-0 place-items-center rounded-full";
  switch (status) {
    case "done":
      return (
        <span className={cn(shape, "bg-success-surface text-success")}>
          <Check aria-hidden="true" className="size-3.5" strokeWidth={2.75} />
        </span>
      );
    case "failed":
      return (
        <span className={cn(shape, "bg-destructive-surface text-destructive")}>
          <X aria-hidden="true" className="size-3.5" strokeWidth={2.75} />
        </span>
      );
    case "running":
      return (
        <span className={cn(shape, "bg-warning-surface text-warning")}>
          <LoaderCircle aria-hidden="true" className="size-3.5 animate-spin" strokeWidth={2.75} />
        </span>
      );
    case "pending":
      return (
        <span className={cn(shape, "text-border")}>
          <Circle aria-hidden="true" className="size-2.5" strokeWidth={4} />
        </span>
      );
  }
}

/** Returns how long a phase took, or has been taking; nothing before it began. */
function elapsed({ started_at, finished_at, status }: Phase, now: number | undefined): string {
  if (started_at === null || started_at === undefined) return "";
  const finished = finished_at === null || finished_at === undefined ? undefined : Date.parse(finished_at);
  const end = finished ?? (status === "running" ? now : undefined);
  return end === undefined ? "" : duration(end - Date.parse(started_at));
}
