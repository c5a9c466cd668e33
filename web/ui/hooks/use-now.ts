"use client";

import { useEffect, useState } from "react";

/** Returns the present time in milliseconds, renewed every `interval` while `isTicking`. */
export function useNow(interval: number, isTicking = true): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!isTicking) return;
    const timer = setInterval(() => setNow(Date.now()), interval);
    return () => clearInterval(timer);
  }, [interval, isTicking]);
  return now;
}
