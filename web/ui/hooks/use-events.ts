"use client";

import { useQueryClient } from "@tanstack/react-query";
import { createContext, useContext, useEffect, useState } from "react";

import { EventFeed, type FeedStatus } from "@/lib/event-feed";
import { keys } from "@/lib/query";
import { checkAgainstSnapshot, rememberWorkspace, takeRemoval } from "@/lib/workspace-cache";

/** How the page's one event stream is doing. */
export const FeedStatusContext = createContext<FeedStatus>("connecting");

/** Returns whether changes arrive as they happen. */
export function useFeedStatus(): FeedStatus {
  return useContext(FeedStatusContext);
}

/** Keeps the cache up to date with the server's events for as long as the caller is shown. */
export function useEventFeed(): FeedStatus {
  const client = useQueryClient();
  const [status, setStatus] = useState<FeedStatus>("connecting");
  useEffect(
    () =>
      new EventFeed({
        onWorkspace: (workspace) => rememberWorkspace(client, workspace),
        onRemoved: (id) => takeRemoval(client, id),
        onReady: (seen) => checkAgainstSnapshot(client, seen),
        onStatus: setStatus,
        // Should the session have ended, its own query finds out and leads to sign-in.
        onRefused: () => void client.invalidateQueries({ queryKey: keys.session }),
      }).open(),
    [client],
  );
  return status;
}
