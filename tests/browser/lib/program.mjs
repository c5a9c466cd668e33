// Runs other programs to their end.

import { spawn } from "node:child_process";

/** Longer than anything that a story runs. */
const LIMIT_MS = 120_000;

/** Runs a program and returns what it did, whatever that was. */
export function attempt(program, parameters, { stdin = "", env = process.env } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, parameters, { env, timeout: LIMIT_MS, killSignal: "SIGKILL" });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text) => (stderr += text));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
    // A program that ends without reading its input is judged by its exit code.
    child.stdin.on("error", () => undefined);
    child.stdin.end(stdin);
  });
}

/** Runs a program that is expected to succeed, and returns its output without the last newline. */
export async function run(program, parameters, options) {
  const ran = await attempt(program, parameters, options);
  if (ran.code !== 0) {
    throw new Error(`${program} ${parameters.join(" ")}: exit code ${ran.code}\n${ran.stderr}${ran.stdout}`);
  }
  return ran.stdout.trimEnd();
}

/** Returns the lines that a program prints, none for an empty output. */
export async function lines(program, parameters) {
  return (await run(program, parameters)).split("\n").filter((line) => line !== "");
}
