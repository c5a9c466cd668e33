"use client";

import { ArrowDown } from "lucide-react";
import { useLayoutEffect, useRef, useState } from "react";

import { Button } from "@/components/ui/button";
import { useWorkspaceLog } from "@/hooks/use-workspace-log";
import { clockTime } from "@/lib/format";
import { cn } from "@/lib/utils";

interface LogPanelProps {
  id: string;
  generation: number;
  isFollowing: boolean;
  className?: string;
}

/** How near to the end counts as being there, in pixels. */
const NEAR_END = 24;

/** What a workspace says while it starts. Everything in it is text, whatever it looks like. */
export function LogPanel({ id, generation, isFollowing, className }: LogPanelProps) {
  const { lines, error } = useWorkspaceLog(id, generation, isFollowing);
  const [isAtEnd, setIsAtEnd] = useState(true);
  const box = useRef<HTMLDivElement>(null);

  const toEnd = (): void => {
    box.current?.scrollTo({ top: box.current.scrollHeight });
  };
  // Stays with the newest line, unless the reader has gone back to an older one.
  useLayoutEffect(() => {
    if (isAtEnd) toEnd();
  }, [lines, isAtEnd]);

  return (
    <section aria-label="Log" className={cn("relative overflow-hidden rounded-lg border bg-console", className)}>
      <div className="flex h-9 items-center justify-between border-b px-3.5 text-xs text-muted-foreground">
        <h2 className="font-medium">Log</h2>
        <span role="status">{error === undefined ? (isFollowing ? "Live" : "") : error.message}</span>
      </div>
      <div
        ref={box}
        role="log"
        aria-label="Log lines"
        // Read on demand: aloud, line by line, it would drown everything else.
        aria-live="off"
        tabIndex={0}
        onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) =>
          setIsAtEnd(scrollHeight - scrollTop - clientHeight < NEAR_END)
        }
        className="h-64 overflow-y-auto overscroll-contain px-3.5 py-2.5 font-mono text-xs leading-5 text-console-foreground outline-none focus-visible:inset-ring-2 focus-visible:inset-ring-ring"
      >
        {lines.length === 0 && <p className="text-muted-foreground">{isFollowing ? "Waiting for the first line…" : "Nothing was logged."}</p>}
        {lines.map(({ key, at, source, text }) => (
          <div key={key} className="flex gap-3">
            <time dateTime={at} className="shrink-0 text-muted-foreground tabular-nums select-none max-sm:hidden">
              {clockTime(at)}
            </time>
            <span className="w-14 shrink-0 text-muted-foreground select-none">{source}</span>
            <span className="min-w-0 break-words whitespace-pre-wrap">{text}</span>
          </div>
        ))}
      </div>
      {!isAtEnd && (
        <Button
          variant="outline"
          size="sm"
          className="absolute right-4 bottom-3 rounded-full"
          onClick={() => {
            setIsAtEnd(true);
            toEnd();
          }}
        >
          <ArrowDown aria-hidden="true" />
          Newest
        </Button>
      )}
    </section>
  );
}
