"use client";

import { useEffect, useState } from "react";

import { asApiError, type ApiError } from "@/lib/api/error";
import type { LogLine } from "@/lib/api/types";
import { readLog } from "@/lib/log-stream";

/** Older lines are dropped beyond this. */
const LINES_KEPT = 2_000;
const RETRY_MS = 1_500;

/** A log line with a key that stays its own. */
export interface NumberedLine extends LogLine {
  key: number;
}

interface LogState {
  lines: NumberedLine[];
  error?: ApiError;
}

/**
 * Follows a workspace's log while `isFollowing`, and once otherwise. A stream that ends or breaks
 * is opened again; it begins anew each time, so its lines replace what was shown.
 */
export function useWorkspaceLog(id: string, generation: number, isFollowing: boolean): LogState {
  const [state, setState] = useState<LogState>({ lines: [] });

  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let next = 0;

    const read = async (): Promise<void> => {
      let isFresh = true;
      try {
        await readLog(id, isFollowing, abort.signal, (batch) => {
          const numbered = batch.map((line) => ({ ...line, key: next++ }));
          const replaces = isFresh;
          isFresh = false;
          setState((known) => ({
            lines: [...(replaces ? [] : known.lines), ...numbered].slice(-LINES_KEPT),
          }));
        });
      } catch (cause) {
        const error = asApiError(cause);
        setState((known) => ({ lines: known.lines, error }));
        // Whoever may not read it now will not in a second either; all else may pass.
        if (error.isSignedOut || error.status === 403 || error.status === 404) return;
      }
      if (isFollowing && !abort.signal.aborted) timer = setTimeout(() => void read(), RETRY_MS);
    };
    void read();

    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [id, generation, isFollowing]);

  return state;
}
