"use client";

import { useSyncExternalStore } from "react";

import { getTheme, setTheme, watchTheme, type Theme } from "@/lib/theme";

/** Returns the chosen theme and what changes it. */
export function useTheme(): [Theme, (theme: Theme) => void] {
  const theme = useSyncExternalStore<Theme>(watchTheme, getTheme, () => "system");
  return [theme, setTheme];
}
