"use client";

import { useEffect, type RefObject } from "react";

import { isLookedAt, isWakingKey, type Sign } from "@/lib/waking";

interface Triggers {
  /** Keys that go to something else than this are meant for that. */
  place: RefObject<HTMLElement | null>;
  /** Where the keyboard's place is, which the editor's frame must not take. */
  button: RefObject<HTMLElement | null>;
  onSign(sign: Sign): void;
}

/** Tells of every key that wakes, and of each coming back to the window, while it is shown. */
export function useWakeTriggers({ place, button, onSign }: Triggers): void {
  useEffect(() => {
    // Being here already is no coming back. Nor is it when the keyboard's place moves from the
    // editor's frame to this page, which the browser reports as this window getting the focus.
    let isAway = !isLookedAt();
    // Nor is a walk with Tab out of the page and in again.
    let isTabbing = false;
    let timer: ReturnType<typeof setTimeout> | undefined;

    const leave = (): void => {
      isAway = !isTabbing;
      // `inert` does not keep what is in a frame from taking the focus by itself.
      timer = setTimeout(() => {
        if (!(document.activeElement instanceof HTMLIFrameElement)) return;
        isAway = false;
        button.current?.focus();
      });
    };
    const comeBack = (): void => {
      isTabbing = false;
      if (!isAway) return;
      isAway = false;
      onSign("return");
    };
    const look = (): void => {
      if (document.visibilityState === "hidden") isAway = true;
      else if (document.hasFocus()) comeBack();
    };
    const press = (event: KeyboardEvent): void => {
      isTabbing = event.key === "Tab";
      const { target } = event;
      const isMeant = target === document.body || (target instanceof Node && place.current?.contains(target) === true);
      if (isMeant && isWakingKey(event)) onSign("key");
    };
    const release = (): void => {
      isTabbing = false;
    };
    window.addEventListener("blur", leave);
    window.addEventListener("focus", comeBack);
    document.addEventListener("visibilitychange", look);
    document.addEventListener("keydown", press);
    document.addEventListener("keyup", release);
    return () => {
      clearTimeout(timer);
      window.removeEventListener("blur", leave);
      window.removeEventListener("focus", comeBack);
      document.removeEventListener("visibilitychange", look);
      document.removeEventListener("keydown", press);
      document.removeEventListener("keyup", release);
    };
  }, [place, button, onSign]);
}
