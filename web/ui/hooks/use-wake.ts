"use client";

import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";

import { asApiError, type ApiError } from "@/lib/api/error";
import type { Workspace } from "@/lib/api/types";
import { keys } from "@/lib/query";
import { isLookedAt } from "@/lib/waking";

import { useStartWorkspace } from "./use-workspaces";

/** How long after the server agreed a workspace that still sleeps may be woken again. */
const GIVE_UP_MS = 10_000;

/** The waking of one workspace. */
export interface Wake {
  /** Asks for it. Said again while it is under way, it asks for nothing. */
  ask(): void;
  isUnderWay: boolean;
  /** Why it failed. */
  error: ApiError | undefined;
}

/** Wakes a workspace: one request for each of its sleeps, however many reasons there are to wake. */
export function useWake({ id, state, since }: Pick<Workspace, "id" | "state" | "since">): Wake {
  const client = useQueryClient();
  const { mutate, status, error } = useStartWorkspace();
  const isAsleep = state === "paused";
  /** The sleep that was asked to end, by its beginning. */
  const [asked, setAsked] = useState<string>();
  const underWay = useRef<string>(undefined);

  const ask = useCallback(() => {
    if (!isAsleep || underWay.current === since) return;
    underWay.current = since;
    setAsked(since);
    mutate(id, {
      onError: () => {
        underWay.current = undefined;
        // It may have been woken elsewhere, which is why this was refused.
        void client.invalidateQueries({ queryKey: keys.workspace(id) });
      },
    });
  }, [client, id, isAsleep, since, mutate]);

  const isAsked = isAsleep && asked === since;
  const isAgreed = isAsked && status === "success";
  useEffect(() => {
    if (!isAgreed) return;
    const timer = setTimeout(() => {
      underWay.current = undefined;
      setAsked(undefined);
      void client.invalidateQueries({ queryKey: keys.workspace(id) });
    }, GIVE_UP_MS);
    return () => clearTimeout(timer);
  }, [client, id, isAgreed]);

  return {
    ask,
    isUnderWay: isAsked && (status === "pending" || status === "success"),
    error: isAsked && status === "error" ? asApiError(error) : undefined,
  };
}

/** Wakes a workspace whose page is opened, where that wakes it: once, and if it is before their eyes. */
export function useWakeOnVisit(wake: Wake, isAllowed: boolean): void {
  const isVisit = useRef(true);
  const { ask } = wake;
  useEffect(() => {
    if (!isVisit.current) return;
    isVisit.current = false;
    if (isAllowed && isLookedAt()) ask();
  }, [ask, isAllowed]);
}
