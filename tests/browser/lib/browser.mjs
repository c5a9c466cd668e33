// A real Chromium that trusts the site's authority the way a person's does, and people in it.

import { mkdtempSync, rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import path from "node:path";

import { chromium } from "playwright-core";

import { Netns } from "./netns.mjs";
import { run } from "./program.mjs";
import { NETWORK_CHANGED, Watch } from "./watch.mjs";

export const WIDE = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 844 };

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** How long an element may take to be there on a busy machine. */
const ELEMENT_LIMIT_MS = 20_000;
const NAVIGATION_LIMIT_MS = 30_000;

/** More than this in a row is not chance. */
const MOST_RETRIES = 5;

export class Browser {
  watch;
  #browser;
  #home;
  #netns;
  #site;
  #people = [];

  /** Launches Chromium for a site. */
  static async launch({ site, executable }) {
    const browser = new Browser();
    browser.#site = site;
    browser.watch = new Watch(site.origin);
    browser.#home = mkdtempSync("/tmp/kbh");
    // Chromium on Linux trusts what is in the NSS database below HOME. Nothing less will do: with
    // certificate errors merely ignored, service workers are refused and the editor's views die.
    const database = path.join(browser.#home, ".pki/nssdb");
    await mkdir(database, { recursive: true });
    const nss = ["-d", `sql:${database}`];
    await run("certutil", [...nss, "-N", "--empty-password"]);
    await run("certutil", [...nss, "-A", "-t", "C,,", "-n", "kalpana", "-i", site.authority]);
    browser.#netns = await Netns.prepare({ folder: browser.#home, executable, port: site.port });
    if (!browser.#netns) console.log("the browser shares this machine's network: unshare --net is not allowed here");
    browser.#browser = await chromium.launch({
      executablePath: browser.#netns?.executable ?? executable,
      args: FLAGS,
      env: { ...process.env, HOME: browser.#home },
    });
    return browser;
  }

  /** Returns a person who has never been here: cookies, storage and one page of their own. */
  async person(name) {
    const context = await this.#browser.newContext({ viewport: WIDE, colorScheme: "light", locale: "en-GB" });
    context.setDefaultTimeout(ELEMENT_LIMIT_MS);
    context.setDefaultNavigationTimeout(NAVIGATION_LIMIT_MS);
    await this.watch.attach(context, name);
    const person = new Person(name, this.#site, context, await context.newPage(), this.watch);
    this.#people.push(person);
    return person;
  }

  /** Returns every page that is open now, with whose it is. */
  pages() {
    return this.#people.flatMap(({ name, context }) => context.pages().map((page) => ({ name, page })));
  }

  async close() {
    await this.#browser.close();
    this.#netns?.close();
    rmSync(this.#home, { recursive: true, force: true });
  }
}

export class Person {
  constructor(name, site, context, page, watch) {
    this.name = name;
    this.site = site;
    this.context = context;
    this.page = page;
    this.watch = watch;
  }

  /**
   * Goes to a path of the control plane, or a whole URL, as typed into the address bar; again should
   * the machine's networks have changed meanwhile, because Chromium then aborts what is under way.
   * No other failure is tried again.
   */
  async visit(address) {
    const url = new URL(address, this.site.origin).href;
    return this.watch.whileVisiting(this.page, async () => {
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await this.page.goto(url);
        } catch (error) {
          if (!String(error).includes(NETWORK_CHANGED) || attempt > MOST_RETRIES) throw error;
          this.watch.retries += 1;
        }
      }
    });
  }

  /** Asks the API from within the page, with the page's own session. */
  async api(method, path, body) {
    return this.page.evaluate(
      async ([method, path, body]) => {
        const init = { method, headers: body ? { "content-type": "application/json" } : {} };
        if (body) init.body = JSON.stringify(body);
        const answer = await fetch(path, init);
        const text = await answer.text();
        return { status: answer.status, body: text === "" ? null : JSON.parse(text) };
      },
      [method, path, body],
    );
  }

  /** Leaves for good. */
  async leave() {
    await this.context.close();
  }
}
