// Measures how long a person waits: from the click on "Create workspace" until the editor is
// interactive, that is, until its Explorer shows the clone and its terminal has run a command.
//
//   node tests/browser/measure.mjs [runs]        5 unless told
//
// Takes the same environment as run.mjs. Prints one line of JSON for each run and one for all.

import { editorInPage, onDashboard, onWorkspacePage, openCreateDialog, setUp, START_LIMIT_MS } from "./lib/ways.mjs";
import { until } from "./lib/until.mjs";
import { ADA, World } from "./lib/world.mjs";

const runs = Number(process.argv[2] ?? 5);
if (!Number.isInteger(runs) || runs < 1) {
  console.error("usage: node measure.mjs [runs]");
  process.exit(2);
}

const world = await World.begin();
try {
  const ada = await world.browser.person("ada");
  await setUp(ada, ADA);

  const all = [];
  for (let run = 1; run <= runs; run += 1) {
    const measured = { run, ...(await once(ada)) };
    all.push(measured);
    console.log(JSON.stringify(measured));
  }
  const summary = { runs, retries: world.browser.watch.retries };
  for (const name of ["running_ms", "explorer_ms", "interactive_ms"]) {
    const sorted = all.map((measured) => measured[name]).sort((one, other) => one - other);
    summary[name] = { median: sorted[Math.floor((sorted.length - 1) / 2)], max: sorted.at(-1) };
  }
  console.log(JSON.stringify(summary));
} finally {
  await world.end();
}

/** Makes one workspace, waits for it, and deletes it. */
async function once(ada) {
  const { page } = ada;
  const dialog = await openCreateDialog(ada);
  await dialog.getByLabel("Git repository URL").fill(await world.git.nextUrl());
  await dialog.getByLabel("Name", { exact: true }).fill("Measured");
  const clicked = Date.now();
  const since = () => Date.now() - clicked;
  await dialog.getByRole("button", { name: "Create workspace" }).click();
  const id = await onWorkspacePage(ada);
  await page.locator('iframe[title="Editor"]').waitFor({ state: "attached", timeout: START_LIMIT_MS });
  const running_ms = since();
  const editor = await editorInPage(ada, id);
  await editor.showsFile("README.md");
  const explorer_ms = since();
  await editor.openTerminal();
  await editor.makeFile(id, "measured.txt");
  const interactive_ms = since();

  await ada.visit("/dashboard");
  await onDashboard(ada);
  await ada.api("DELETE", `/api/workspaces/${id}`);
  await until("the workspace to be gone", async () => {
    return (await ada.api("GET", `/api/workspaces/${id}`)).status === 404;
  }, START_LIMIT_MS);
  return { running_ms, explorer_ms, interactive_ms };
}
