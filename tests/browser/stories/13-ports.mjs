// A page on one port of a workspace uses an application on another, as browsers allow it.

import assert from "node:assert/strict";

import { runInside } from "../lib/engine.mjs";
import { until } from "../lib/until.mjs";
import { left } from "../lib/world.mjs";

const PAGE = 3100;
const INTERFACE = 8080;

/** Neither knows of the other; the second sends one event to who asks for events. */
const SERVERS = `
const http = require("http");
const listen = (port, answer) => http.createServer(answer).listen(port, "127.0.0.1");
listen(${PAGE}, (q, a) => a.setHeader("content-type", "text/html").end("<p>the page</p>"));
listen(${INTERFACE}, (q, a) => {
  if (q.url !== "/events") return a.end(q.method + " " + q.headers["x-mine"]);
  a.setHeader("content-type", "text/event-stream").write("data: hello\\n\\n");
});
`;

/** Sends what needs a preflight, from the page that `person` has open. */
function send(person, url) {
  return person.page.evaluate(async (target) => {
    const headers = { "x-mine": "arrives" };
    const answer = await fetch(target, { method: "PUT", headers, credentials: "include" });
    return { status: answer.status, text: await answer.text() };
  }, url);
}

async function listens(id, port) {
  const dial = `require("net").connect(${port}, "127.0.0.1", () => process.exit(0)).on("error", () => process.exit(1))`;
  return (await runInside(id, `node -e '${dial}' && echo yes || echo no`)) === "yes";
}

export const stories = {
  "a page uses another port of its workspace once its user has signed in there": async (world) => {
    const ada = left(world.ada, "the administrator");
    const { id } = left(world.workspace, "a workspace");
    const page = world.site.originOf(`${PAGE}-${id}`);
    const other = world.site.originOf(`${INTERFACE}-${id}`);
    const encoded = Buffer.from(SERVERS).toString("base64");
    await runInside(id, `nohup node -e "$(echo ${encoded} | base64 -d)" >/dev/null 2>&1 &`);
    await until("both programs to listen", () => listens(id, INTERFACE));
    await ada.visit(page);
    assert.equal(await ada.page.innerText("body"), "the page");

    const refused = await ada.watch.expecting(/status of 401/, () => send(ada, `${other}/items`));
    assert.equal(refused.status, 401);
    const { sign_in: address } = JSON.parse(refused.text).error;
    assert.equal(address, `${other}/`);

    const tab = await ada.context.newPage();
    await tab.goto(address);
    assert.equal(await tab.innerText("body"), "GET undefined", "signed in without a question");
    await tab.close();

    const answer = await send(ada, `${other}/items`);
    assert.deepEqual(answer, { status: 200, text: "PUT arrives" });
    const event = await ada.page.evaluate(
      (url) =>
        new Promise((resolve, reject) => {
          const events = new EventSource(url, { withCredentials: true });
          events.onmessage = ({ data }) => {
            events.close();
            resolve(data);
          };
          events.onerror = () => reject(new Error("no event"));
        }),
      `${other}/events`,
    );
    assert.equal(event, "hello");
  },
};
