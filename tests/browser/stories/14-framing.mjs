// Who may show whose pages inside their own: the control plane its editors, everybody themselves.

import assert from "node:assert/strict";

import { runInside } from "../lib/engine.mjs";
import { until } from "../lib/until.mjs";
import { left } from "../lib/world.mjs";

const PORT = 3300;

/** Another site, of which the browser is told here what it answers. */
const EVIL = "https://evil.example";

/** Returns a page that frames what stands behind the question mark of its address. */
function pageAt(url) {
  const framed = decodeURIComponent(url.split("?")[1] ?? "");
  return "<p>a page</p>" + (framed && `<iframe src="${framed}"></iframe>`);
}

const SERVER = `
${pageAt}
const answer = (q, a) => a.setHeader("content-type", "text/html").end(pageAt(q.url));
require("http").createServer(answer).listen(${PORT}, "127.0.0.1");
`;

/** Returns where the frame of a page that frames `framed` ended. */
async function framed(person, page, framed) {
  await person.visit(`${page}/?${encodeURIComponent(framed)}`);
  const frame = person.page.frames().find((frame) => frame.parentFrame() !== null);
  return frame.url();
}

export const stories = {
  "neither a port's page nor another site's can frame the control plane or an editor": async (world) => {
    const ada = left(world.ada, "the administrator");
    const { id } = left(world.workspace, "a workspace");
    const [editor, port] = [world.site.originOf(id), world.site.originOf(`${PORT}-${id}`)];
    const encoded = Buffer.from(SERVER).toString("base64");
    await runInside(id, `nohup node -e "$(echo ${encoded} | base64 -d)" >/dev/null 2>&1 &`);
    const dial = `require("net").connect(${PORT}, "127.0.0.1", () => process.exit(0)).on("error", () => process.exit(1))`;
    await until("the port to listen", async () => (await runInside(id, `node -e '${dial}' && echo yes || echo no`)) === "yes");
    await ada.context.route(`${EVIL}/**`, (route) =>
      route.fulfill({ contentType: "text/html", body: pageAt(route.request().url()) }),
    );

    // Both know how to frame.
    await ada.visit(`${port}/`);
    assert.equal(await framed(ada, port, `${port}/`), `${port}/`);
    assert.equal(await framed(ada, EVIL, `${EVIL}/`), `${EVIL}/`);
    // She is signed in at each of these, which a page of the same site would have of it.
    await ada.visit(`${editor}/`);
    const pages = ["/", "/login", `/workspace/${id}`].map((path) => world.site.origin + path);
    for (const page of [port, EVIL]) {
      for (const address of [...pages, `${editor}/`]) {
        const shown = await ada.watch.expecting(/frame-ancestors/, () => framed(ada, page, address));
        assert.equal(shown, "chrome-error://chromewebdata/", `${address} in ${page}`);
      }
    }
    // What is private to its owner no other site shows either.
    const shown = await ada.watch.expecting(/frame-ancestors/, () => framed(ada, EVIL, `${port}/`));
    assert.equal(shown, "chrome-error://chromewebdata/", "a port in another site's page");
    await ada.context.unroute(`${EVIL}/**`);
    await ada.visit("/");
  },
};
