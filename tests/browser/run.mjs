// Runs the stories, in order, against one real site in one real Chromium.
//
//   node tests/browser/run.mjs            all of them
//   node tests/browser/run.mjs 01 03      those whose file begins so
//
// scripts/e2e says what the environment carries. Counts go to e2e.json, pictures to screenshots/.

import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";

import { Missing, World } from "./lib/world.mjs";

const wanted = process.argv.slice(2);
const folder = path.join(import.meta.dirname, "stories");
const files = readdirSync(folder)
  .filter((file) => file.endsWith(".mjs"))
  .filter((file) => wanted.length === 0 || wanted.some((start) => file.startsWith(start)))
  .sort();

const stories = [];
for (const file of files) {
  const { stories: told } = await import(path.join(folder, file));
  stories.push(...Object.entries(told));
}

let passed = 0;
let failed = 0;
const count = () => {
  mkdirSync(World.results, { recursive: true });
  writeFileSync(path.join(World.results, "e2e.json"), `${JSON.stringify({ passed, failed })}\n`);
};

const seconds = (since) => ((Date.now() - since) / 1000).toFixed(1).padStart(6);
const started = Date.now();
let world;
try {
  world = await World.begin();
  for (const [title, story] of stories) {
    const since = Date.now();
    try {
      await story(world);
      passed += 1;
      console.log(`  ok   ${seconds(since)} s  ${title}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED ${seconds(since)} s  ${title}\n${indented(error.stack ?? error)}`);
      if (!(error instanceof Missing)) await world.keepEvidence(title);
    }
  }
} catch (error) {
  failed += 1;
  console.log(`FAILED ${seconds(started)} s  the site and the browser start\n${indented(error.stack ?? error)}`);
} finally {
  try {
    await world?.end();
  } catch (error) {
    failed += 1;
    console.log(`FAILED the site stops and leaves nothing behind\n${indented(error.stack ?? error)}`);
  }
  count();
}
if (world !== undefined) {
  for (const line of world.notes) console.log(line);
  const { networkChanges, retries } = world.browser.watch;
  console.log(`${networkChanges} requests met a network change of the machine, ${retries} page loads were tried again`);
}
console.log(`${passed} passed, ${failed} failed in ${seconds(started).trim()} s; results in ${World.results}`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);

function indented(text) {
  return String(text).replace(/^/gm, "       ");
}
