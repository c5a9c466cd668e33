// A network of its own for Chromium, in which nothing ever changes.
//
// Chromium aborts what it is loading when an interface of the machine appears or goes away, and each
// start of a container makes two appear. People meet that now and then; tests would at every third
// story. So the browser runs in a network namespace with one connection to the outside: a socket in
// the file system, behind which the site's gateway is.

import { chmodSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import path from "node:path";

import { attempt } from "./program.mjs";

/** The namespace's own side: run by `unshare`, see below. */
const INSIDE = path.join(import.meta.dirname, "netns-inside.mjs");

export class Netns {
  /** The program to be launched as Chromium. */
  executable;
  #server;
  #sockets = new Set();

  /**
   * Prepares a namespace from which `port` on the loopback interface leads to the same port outside,
   * and in which `executable` runs. Where the machine allows no namespaces, returns nothing.
   */
  static async prepare({ folder, executable, port }) {
    const unshare = ["--net", ...(process.getuid() === 0 ? [] : ["--map-root-user"])];
    if ((await attempt("unshare", [...unshare, "true"])).code !== 0) return undefined;

    const netns = new Netns();
    const socket = path.join(folder, "gateway.sock");
    netns.#server = createServer((inside) => netns.#join(inside, connect({ host: "127.0.0.1", port })));
    await new Promise((resolve, reject) => netns.#server.once("error", reject).listen(socket, resolve));
    netns.executable = path.join(folder, "chromium");
    const words = ["unshare", ...unshare, "--", process.execPath, INSIDE, socket, String(port), executable];
    writeFileSync(netns.executable, `#!/bin/sh\nexec ${words.map((word) => `'${word}'`).join(" ")} "$@"\n`);
    chmodSync(netns.executable, 0o755);
    return netns;
  }

  #join(inside, outside) {
    for (const [one, other] of [[inside, outside], [outside, inside]]) {
      this.#sockets.add(one);
      one.pipe(other);
      // What one side does not like, the other learns as an end; a gateway that was killed, say.
      one.on("error", () => other.destroy());
      one.on("close", () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
  }

  close() {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}
