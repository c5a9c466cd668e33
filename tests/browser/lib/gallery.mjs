// A picture of every page in every look, and an accessibility check of each.

import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import { PHONE, WIDE } from "./browser.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const LOOKS = [
  { name: "light-wide", colorScheme: "light", viewport: WIDE },
  { name: "dark-wide", colorScheme: "dark", viewport: WIDE },
  { name: "light-phone", colorScheme: "light", viewport: PHONE },
  { name: "dark-phone", colorScheme: "dark", viewport: PHONE },
];

export class Gallery {
  #violations = new Map();
  /** Pages wider than their window, which then scroll sideways. */
  overflows = [];
  /** Pages that are light where the system is dark, or the other way round. */
  wrongColours = [];
  #folder;
  #taken = new Set();

  constructor(folder) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  /** Serious accessibility rules that pages break, each with where and on which pages. */
  get violations() {
    return [...this.#violations].map(([what, pages]) => `${what}\n    on ${pages.join(", ")}`);
  }

  /** Names of the pages that were taken. */
  get taken() {
    return [...this.#taken].sort();
  }

  /**
   * Takes what a page shows now, in every look. `isOurs` says that its elements are ours and so are
   * checked; the editor's in a frame never are.
   */
  async take(page, name, { isOurs = true } = {}) {
    for (const look of LOOKS) {
      await page.emulateMedia({ colorScheme: look.colorScheme, reducedMotion: "reduce" });
      await page.setViewportSize(look.viewport);
      await page.evaluate(async () => {
        await document.fonts.ready;
        // Two frames: one for the new size and colours, one for what they set off.
        await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
        for (const animation of document.getAnimations()) {
          if (animation.effect?.getComputedTiming().endTime !== Infinity) animation.finish();
        }
      });
      const file = path.join(this.#folder, `${name}-${look.name}.png`);
      await page.screenshot({ path: file, animations: "disabled", caret: "hide" });
      if (isOurs) await this.#check(page, `${name} ${look.name}`, look);
    }
    await page.emulateMedia({ colorScheme: "light", reducedMotion: "no-preference" });
    await page.setViewportSize(WIDE);
    this.#taken.add(name);
  }

  async #check(page, where, { colorScheme }) {
    const { content, window, lightness } = await page.evaluate(() => {
      const canvas = document.createElement("canvas").getContext("2d");
      canvas.fillStyle = getComputedStyle(document.body).backgroundColor;
      canvas.fillRect(0, 0, 1, 1);
      const [red, green, blue] = canvas.getImageData(0, 0, 1, 1).data;
      const { scrollWidth: content, clientWidth: window } = document.documentElement;
      return { content, window, lightness: (red + green + blue) / 3 / 255 };
    });
    if (content > window) this.overflows.push(`${where}: ${content} px in ${window} px`);
    if (lightness > 0.5 !== (colorScheme === "light")) this.wrongColours.push(`${where}: lightness ${lightness.toFixed(2)}`);
    // Evaluated by the debugger, which a page's content security policy does not forbid.
    await page.evaluate(AXE);
    const violations = await page.evaluate(async () => {
      const { violations } = await window.axe.run(document, { iframes: false, resultTypes: ["violations"] });
      return violations.flatMap(({ id, impact, nodes }) =>
        nodes.map(({ html, failureSummary }) => ({ id, impact, html, failureSummary })),
      );
    });
    for (const { id, impact, html, failureSummary } of violations) {
      if (impact !== "serious" && impact !== "critical") continue;
      // Generated ids differ from page to page.
      const what = `${id}: ${html.replace(/ (id|aria-controls)="[^"]*"/g, "")}\n    ${failureSummary.replaceAll("\n", "\n    ")}`;
      this.#violations.set(what, [...(this.#violations.get(what) ?? []), where]);
    }
  }
}
