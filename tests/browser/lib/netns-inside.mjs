// Inside the namespace: brings its interfaces up, leads the gateway's port to the socket, and runs
// Chromium, whose pipes to Playwright are handed on.

import { execFileSync, spawn } from "node:child_process";
import { connect, createServer } from "node:net";

import { until } from "./until.mjs";

const [socket, port, executable, ...parameters] = process.argv.slice(2);

// Where the system's own programs are is not on everybody's path.
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
const ip = (...words) => execFileSync("ip", words, { env, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });

ip("link", "set", "lo", "up");
// A browser that has nothing but the loopback interface believes that it is offline.
ip("link", "add", "lan", "type", "veth", "peer", "name", "nobody");
for (const name of ["nobody", "lan"]) {
  // Without an address of IPv6, which would be tried out for a while and then be a change.
  ip("link", "set", name, "addrgenmode", "none");
}
ip("address", "add", "192.0.2.1/24", "dev", "lan");
for (const name of ["nobody", "lan"]) ip("link", "set", name, "up");
// From here on nothing changes.
await until("the namespace's network", () => ip("-o", "link", "show", "lan").includes("state UP"));

const server = createServer((browser) => {
  const gateway = connect(socket);
  for (const [one, other] of [[browser, gateway], [gateway, browser]]) {
    one.pipe(other);
    one.on("error", () => other.destroy());
    one.on("close", () => other.destroy());
  }
});
server.listen(Number(port), "127.0.0.1", () => {
  const chromium = spawn(executable, parameters, { stdio: [0, 1, 2, 3, 4] });
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => chromium.kill(signal));
  chromium.on("error", (error) => {
    console.error(error);
    process.exit(1);
  });
  chromium.on("exit", (code) => process.exit(code ?? 1));
});
