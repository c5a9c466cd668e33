/** How the page looks: as the system does, or as the person chose. */
export type Theme = "system" | "light" | "dark";

const KEY = "kalpana-theme";
const CHANGED = "kalpana-theme-changed";

/**
 * Runs before the first paint, from the exported page itself, so that a dark page never flashes
 * light. A string, because its hash stands in the page's content security policy.
 */
export const THEME_SCRIPT = `(function(){try{var t=localStorage.getItem("${KEY}")}catch(e){}var d=t==="dark"||(t!=="light"&&matchMedia("(prefers-color-scheme: dark)").matches);document.documentElement.classList.toggle("dark",d)})()`;

/** Returns what the person chose. */
export function getTheme(): Theme {
  try {
    const stored = window.localStorage.getItem(KEY);
    return stored === "light" || stored === "dark" ? stored : "system";
  } catch {
    // Storage may be forbidden; the system's look is then all there is.
    return "system";
  }
}

/** Remembers a choice and shows it. */
export function setTheme(theme: Theme): void {
  try {
    if (theme === "system") window.localStorage.removeItem(KEY);
    else window.localStorage.setItem(KEY, theme);
  } catch {
    // Shown all the same, until the page is left.
  }
  show(theme);
  window.dispatchEvent(new Event(CHANGED));
}

/** Calls back when the choice changes here or in another tab, and follows the system meanwhile. */
export function watchTheme(onChange: () => void): () => void {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const follow = (): void => {
    show(getTheme());
    onChange();
  };
  window.addEventListener(CHANGED, onChange);
  window.addEventListener("storage", follow);
  system.addEventListener("change", follow);
  return () => {
    window.removeEventListener(CHANGED, onChange);
    window.removeEventListener("storage", follow);
    system.removeEventListener("change", follow);
  };
}

function show(theme: Theme): void {
  const dark =
    theme === "dark" ||
    (theme === "system" && window.matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.classList.toggle("dark", dark);
}
