// A Git server that only the workspaces of one site reach: the Rust tests' own (tests/src/git.rs),
// as a program beside the `kalpana` executable.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";

import { subnets } from "./engine.mjs";

/** The repository that all stories clone. */
const REPOSITORY = "demo";

/** Where it is cloned to, in every workspace. */
export const FOLDER = `/workspace/${REPOSITORY}`;

const FILES = {
  "README.md": "# Demo\n\nA repository for Kalpana's stories.\n",
  "main.py": 'print("hello")\n',
};

export class GitServer {
  #process;
  #urls;
  #silentUrls;
  #site;

  /** Serves the repository on the networks that the site's workspaces will be on. */
  static async start(site, { log }) {
    const program = path.join(path.dirname(site.binary), "git_server");
    if (!existsSync(program)) throw new Error(`${program} is not built; run 'cargo build -p kalpana-tests'`);
    const files = path.join(site.folder, "repository");
    await mkdir(files);
    for (const [name, text] of Object.entries(FILES)) await writeFile(path.join(files, name), text);

    const server = new GitServer();
    server.#site = site;
    const complaints = openSync(log, "w");
    server.#process = spawn(program, [site.pool, REPOSITORY, files], { stdio: ["pipe", "pipe", complaints] });
    closeSync(complaints);
    const output = createInterface({ input: server.#process.stdout });
    const [line] = await Promise.race([
      once(output, "line"),
      once(server.#process, "exit").then(() => Promise.reject(new Error(`the Git server ended, see ${log}`))),
    ]);
    ({ urls: server.#urls, silent: server.#silentUrls } = JSON.parse(line));
    return server;
  }

  /** Returns the repository's address as the next workspace will reach it: on its own network. */
  async nextUrl() {
    return this.#urls[await this.#nextNetwork()];
  }

  /** The same of a server that takes connections and never says a word. */
  async nextSilentUrl() {
    return this.#silentUrls[await this.#nextNetwork()];
  }

  async #nextNetwork() {
    // Networks are given out from the pool's start, the lowest free one first.
    const taken = new Set((await subnets(this.#site.instance)).map((subnet) => subnet.split("/")[0]));
    const network = this.#urls.findIndex((url) => {
      const gateway = new URL(url).hostname.split(".");
      const first = [...gateway.slice(0, 3), Number(gateway[3]) - 1].join(".");
      return !taken.has(first);
    });
    if (network < 0) throw new Error("no network of the pool is free");
    return network;
  }

  async stop() {
    if (this.#process.exitCode !== null) return;
    this.#process.stdin.end();
    await once(this.#process, "exit");
  }
}
