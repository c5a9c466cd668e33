"use client";

import { useQuery } from "@tanstack/react-query";
import { useEffect, useState, useSyncExternalStore } from "react";

import { getFigures } from "@/lib/api/figures";
import type { FiguresNow, FiguresSample } from "@/lib/api/types";
import { keys } from "@/lib/query";

/** Samples kept of those that arrive: five minutes. */
export const SAMPLES_KEPT = 150;
/** A stream that the server refused is asked for again after this, and then after twice as long each time. */
const RETRY_MS = 3_000;
const RETRY_LIMIT_MS = 60_000;
/** A minute of history is added once a minute. */
const HISTORY_MS = 60_000;

interface Live {
  /** What was told last; nothing while the server is not heard. */
  now?: FiguresNow;
  /** What arrived since the stream began, newest last. */
  samples: FiguresSample[];
}

/** What a workspace used in the last day, asked for as long as the caller is shown. */
export function useFigures(id: string) {
  return useQuery({
    queryKey: keys.figures(id),
    queryFn: ({ signal }) => getFigures(id, signal),
    refetchInterval: HISTORY_MS,
    gcTime: 0,
  });
}

/** What a workspace uses, as it is read: only while the caller is shown and the page is looked at. */
export function useLiveFigures(id: string): Live {
  const [live, setLive] = useState<Live>({ samples: [] });
  const isVisible = useIsVisible();

  useEffect(() => {
    if (!isVisible) return;
    let source: EventSource | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let pause = RETRY_MS;
    const forget = (): void => setLive({ samples: [] });
    const open = (): void => {
      source = new EventSource(`/api/workspaces/${encodeURIComponent(id)}/figures/live`);
      source.addEventListener("figures", (event) => {
        const now = parse(event);
        if (now === undefined) return;
        pause = RETRY_MS;
        setLive(({ samples }) => ({
          now,
          samples: now.sample === null || now.sample === undefined ? [] : [...samples, now.sample].slice(-SAMPLES_KEPT),
        }));
      });
      source.addEventListener("error", () => {
        // What was told last would look as if it were so now.
        forget();
        // The browser comes back by itself unless it was refused.
        if (source?.readyState !== 2) return;
        timer = setTimeout(open, pause);
        pause = Math.min(2 * pause, RETRY_LIMIT_MS);
      });
    };
    open();
    return () => {
      clearTimeout(timer);
      source?.close();
      // Two moments with a hidden page between them are not neighbours.
      forget();
    };
  }, [id, isVisible]);

  return live;
}

function parse(event: Event): FiguresNow | undefined {
  if (!(event instanceof MessageEvent) || typeof event.data !== "string") return undefined;
  try {
    const value: unknown = JSON.parse(event.data);
    return typeof value === "object" && value !== null && "state" in value ? (value as FiguresNow) : undefined;
  } catch {
    return undefined;
  }
}

function useIsVisible(): boolean {
  return useSyncExternalStore(
    (onChange) => {
      document.addEventListener("visibilitychange", onChange);
      return () => document.removeEventListener("visibilitychange", onChange);
    },
    () => document.visibilityState === "visible",
    () => false,
  );
}
