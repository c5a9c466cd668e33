// One whole site: the real `kalpana up` with its own folder, ports, engine label and addresses.

import { spawn } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { once } from "node:events";
import { chmodSync, createWriteStream, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";

import { cleanUp } from "./engine.mjs";
import { attempt } from "./program.mjs";
import { until } from "./until.mjs";

const START_LIMIT_MS = 60_000;

/** The domain of every site here, which Chromium resolves to this machine. */
const DOMAIN = "kalpana.localhost";

export class Site {
  /** Value of its `kalpana.instance` label. */
  instance = `ktb-${randomBytes(4).toString("hex")}`;
  /** First address of its pool, a /24, by chance another than that of any site beside it. */
  pool = `10.${randomInt(128, 256)}.${randomInt(0, 256)}.0`;
  folder;
  binary;
  workspaceDomain;
  port;
  #output = "";
  #ports;
  #process;
  #log;

  /** Waits for a line of the site's output, whenever it was written. */
  async says(what, pattern) {
    await until(`${what} in the site's output`, () => pattern.test(this.#output));
  }

  /**
   * Starts a site and waits until it says that it is ready. Its output goes to `log` as well.
   * `workspaceDomain` is where its workspaces are, when that is not below the site's own domain.
   */
  static async start({ binary, image, log, workspaceDomain }) {
    const site = new Site();
    site.binary = binary;
    site.workspaceDomain = workspaceDomain ?? DOMAIN;
    // Short, because sockets are below it; open, because the roles have users of their own.
    site.folder = mkdtempSync("/tmp/kb");
    chmodSync(site.folder, 0o755);
    site.#ports = await freePorts(4);
    site.port = site.#ports[0];
    site.#log = createWriteStream(log);
    site.#process = spawn(binary, ["up", ...site.settings(image)], {
      env: { PATH: process.env.PATH, HOME: site.folder },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [site.#process.stdout, site.#process.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        site.#output += text;
        site.#log.write(text);
      });
    }
    try {
      await until("kalpana up", () => {
        if (site.#process.exitCode !== null) throw new Error("kalpana up ended");
        // The last line of what it says then; the setup link stands above it.
        return site.#output.includes("Ctrl-C stops it");
      }, START_LIMIT_MS);
    } catch (error) {
      const output = site.#output;
      await site.stop();
      throw new Error(`${error.message}; its output:\n${output}`);
    }
    return site;
  }

  /** Returns the arguments that name this site. */
  settings(image) {
    const [gateway, ...metrics] = this.#ports;
    const settings = {
      "server.data_dir": path.join(this.folder, "d"),
      "gateway.listen": `127.0.0.1:${gateway}`,
      "gateway.listen_http": "127.0.0.1:0",
      "gateway.drain_timeout": "2s",
      "orchestrator.instance": this.instance,
      "orchestrator.subnet_pool": `${this.pool}/24`,
      "orchestrator.egress": "none",
      // Where the Git server is: this host's address on each network of the pool.
      "orchestrator.reachable": JSON.stringify(
        Array.from({ length: 16 }, (_, network) => this.pool.replace(/\d+$/, String(network * 16 + 1))),
      ),
      "web.sharing_maximum": "public",
      "telemetry.gateway_port": metrics[0],
      "telemetry.orchestrator_port": metrics[1],
      "telemetry.web_port": metrics[2],
    };
    if (image) settings["orchestrator.image"] = image;
    if (this.workspaceDomain !== DOMAIN) settings["server.workspace_domain"] = this.workspaceDomain;
    return Object.entries(settings).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
  }

  /** The control plane's origin. */
  get origin() {
    return `https://${DOMAIN}:${this.port}`;
  }

  /** Returns the origin of a label below the workspaces' domain: a workspace's, or `3000-<id>`. */
  originOf(label) {
    return `https://${label}.${this.workspaceDomain}:${this.port}`;
  }

  /** The local authority's certificate. */
  get authority() {
    return path.join(this.folder, "d/public/authority.crt");
  }

  /** Returns the one-time link that was printed at the start. */
  setupLink() {
    const link = /https:\/\/\S+\/setup#token=\S+/.exec(this.#output)?.[0];
    if (link === undefined) throw new Error("kalpana up printed no setup link; see e2e-site.log");
    return link;
  }

  /** Runs another command of the executable, as a person who has only the given variables. */
  kalpana(parameters, { variables = {}, stdin = "" } = {}) {
    const env = {
      PATH: process.env.PATH,
      HOME: this.folder,
      KALPANA_URL: this.origin,
      KALPANA_CA_FILE: this.authority,
      ...variables,
    };
    return attempt(this.binary, parameters, { env, stdin });
  }

  /** Makes a member with the console command. */
  async createUser({ name, email, password }) {
    const who = ["--email", email, "--name", name, "--password-stdin"];
    const made = await this.kalpana(["admin", "create-user", ...who, ...this.settings()], { stdin: password });
    if (made.code !== 0) throw new Error(`create-user: ${made.stderr}`);
  }

  /** Kills a role, as the kernel would when memory is short, and waits until its successor is ready. */
  async killRole(role) {
    const announced = () => this.#output.split(`${role} is back`).length;
    const before = announced();
    process.kill(this.#pidOf(role), "SIGKILL");
    await until(`${role} to be back`, () => announced() > before, START_LIMIT_MS);
  }

  #pidOf(role) {
    const supervisor = this.#process.pid;
    for (const thread of readdirSync(`/proc/${supervisor}/task`)) {
      const children = readFileSync(`/proc/${supervisor}/task/${thread}/children`, "utf8");
      for (const pid of children.split(" ").filter(Boolean)) {
        if (readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")[1] === role) return Number(pid);
      }
    }
    throw new Error(`${role} does not run`);
  }

  /** Stops the site, removes all that it left, and returns its exit code. */
  async stop() {
    if (this.#process.exitCode === null) {
      const ended = once(this.#process, "exit");
      this.#process.kill("SIGTERM");
      const reminder = setTimeout(() => this.#process.kill("SIGKILL"), START_LIMIT_MS);
      await ended;
      clearTimeout(reminder);
    }
    await new Promise((resolve) => this.#log.end(resolve));
    await cleanUp(this.instance);
    rmSync(this.folder, { recursive: true, force: true });
    return this.#process.exitCode;
  }
}

/** Finds ports that nobody listens on, below those that the kernel gives to others. */
async function freePorts(count) {
  const ports = new Set();
  while (ports.size < count) {
    const port = randomInt(20_000, 32_000);
    if (!ports.has(port) && (await isFree(port))) ports.add(port);
  }
  return [...ports];
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
