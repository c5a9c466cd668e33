"use client";

import { useNow } from "@/hooks/use-now";
import { fullTime, relativeTime } from "@/lib/format";

/** A moment as people speak of it, with the exact one on demand. */
export function TimeAgo({ at }: { at: string }) {
  const now = useNow(30_000);
  return (
    <time dateTime={at} title={fullTime(at)}>
      {relativeTime(at, now)}
    </time>
  );
}
