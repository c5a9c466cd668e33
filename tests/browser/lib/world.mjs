// What the stories share: one site, one browser, and the people whom the stories made.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";

import { Browser } from "./browser.mjs";
import { Gallery } from "./gallery.mjs";
import { GitServer } from "./git.mjs";
import { Site } from "./site.mjs";

export const ADA = { name: "Ada Lovelace", email: "ada@example.com", password: "correct horse battery staple" };
export const GRACE = { name: "Grace Hopper", email: "grace@example.com", password: "a ship in port is safe" };

export class World {
  static results = path.resolve(process.env.KALPANA_RESULTS ?? path.join(import.meta.dirname, "../../../test-results"));

  site;
  git;
  browser;
  gallery;
  /** The administrator, once the first story has made her, in a context that stays signed in. */
  ada;
  /** A member, once a story has made her. */
  grace;
  /** Somebody with two browsers, `here` and `there`, between the stories about them. */
  hedy;
  /** The workspace that most stories work in: `{ id, name }`. */
  workspace;

  /** What the stories measured, for people. */
  notes = [];

  /** Keeps a line for the end of the run. */
  note(line) {
    this.notes.push(line);
  }

  /** Starts the site and the browser. */
  static async begin() {
    const world = new World();
    mkdirSync(World.results, { recursive: true });
    try {
      world.site = await Site.start({
        binary: required("KALPANA_BINARY"),
        image: process.env.KALPANA_IMAGE,
        log: path.join(World.results, "e2e-site.log"),
      });
      world.git = await GitServer.start(world.site, { log: path.join(World.results, "e2e-git.log") });
      world.browser = await Browser.launch({ site: world.site, executable: required("KALPANA_CHROMIUM") });
      world.gallery = new Gallery(path.join(World.results, "screenshots"));
      return world;
    } catch (error) {
      await world.end();
      throw error;
    }
  }

  /** Takes everything down; the site must end well. */
  async end() {
    try {
      await this.browser?.close();
      await this.git?.stop();
    } finally {
      const code = await this.site?.stop();
      if (code !== undefined) assert.equal(code, 0, "kalpana up ends with exit code 0 when asked to stop");
    }
  }

  /** Keeps a picture of every open page, named after the story that failed. */
  async keepEvidence(title) {
    const folder = path.join(World.results, "failures");
    mkdirSync(folder, { recursive: true });
    const base = title.toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 60);
    let number = 0;
    for (const { name, page } of this.browser.pages()) {
      number += 1;
      const file = path.join(folder, `${base}-${name}-${number}.png`);
      try {
        await page.screenshot({ path: file, timeout: 5_000 });
        console.log(`       ${name} was at ${page.url()}, see ${file}`);
        // Where a run leaves its pictures nobody may be able to look.
        const text = (await page.locator("body").innerText({ timeout: 1_000 })).replace(/\s+/g, " ");
        if (text) console.log(`         it said: ${text.slice(0, EVIDENCE_LIMIT)}`);
      } catch (error) {
        console.log(`       no picture of ${name}'s page: ${error.message.split("\n")[0]}`);
      }
    }
  }
}

/** Longest part of a page's text that is printed when a story fails. */
const EVIDENCE_LIMIT = 600;

/** What a story fails with when one before it has failed. */
export class Missing extends Error {}

/** Returns a value that an earlier story must have left. */
export function left(value, what) {
  if (!value) throw new Missing(`an earlier story, which has failed or was not chosen, leaves ${what}`);
  return value;
}

function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; run scripts/e2e, which sets it`);
  return value;
}
