// Adds to package-lock.json the optional builds for other platforms that the registry in use does
// not have. A mirror may keep only what its machines need; npm then leaves the rest out of the
// lockfile, and `npm ci` refuses a lockfile that does not name every optional dependency.
//
// Run after `npm install` behind such a mirror. The entries carry no hash, since there was nothing
// to hash; on this platform they are never fetched.
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const file = fileURLToPath(new URL("../package-lock.json", import.meta.url));
const lock = JSON.parse(await readFile(file, "utf8"));

/** Where a dependency of the package at `from` is found: beside it, or in a folder further up. */
function find(from, name) {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("/node_modules/")))) {
    const place = `${folder === "" ? "" : `${folder}/`}node_modules/${name}`;
    if (place in lock.packages) return place;
    if (folder === "") return undefined;
  }
}

/** Reads `…-<os>-<cpu>[-<abi>]`, as platform packages are named. */
function platform(name) {
  const found = /(android|darwin|freebsd|linux|openharmony|win32|wasm32)-([a-z0-9]+)(?:-[a-z]+)?$/.exec(name);
  if (found === null) throw new Error(`no platform in the name of ${name}`);
  const [, os, cpu] = found;
  return os === "wasm32" ? { cpu: ["wasm32"] } : { cpu: [cpu], os: [os] };
}

const added = [];
for (const [from, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (find(from, name) !== undefined) continue;
    if (!/^\d+\.\d+\.\d+$/.test(version)) throw new Error(`${name} is not pinned: ${version}`);
    lock.packages[`node_modules/${name}`] = { version, optional: true, dev: entry.dev, ...platform(name) };
    added.push(`${name}@${version}`);
  }
}
const root = lock.packages[""];
delete lock.packages[""];
const sorted = Object.entries(lock.packages).sort(([one], [other]) => one.localeCompare(other, "en"));
lock.packages = { "": root, ...Object.fromEntries(sorted) };
await writeFile(file, `${JSON.stringify(lock, null, 2)}\n`);
process.stdout.write(`${added.length} added\n${added.map((name) => `  ${name}\n`).join("")}`);
