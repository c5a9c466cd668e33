// Listens to what pages complain about, so that a story fails when one of ours does.

/** What the browser says when a network interface of the machine appears or goes away. */
export const NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED";

/** Answers that a page asks for knowing that they may be refusals; the browser logs each as an error. */
const ASKED_FOR = [
  // Who is signed in? Nobody.
  { status: 401, path: /^\/api\/(session|events|workspaces|site)/ },
];

export class Watch {
  /** Complaints of our own pages, ready to be read. */
  complaints = [];
  /** Complaints that stories provoked. */
  provoked = [];
  /** How often the machine's networks changed under a request. */
  networkChanges = 0;
  /** How often a page was asked for again because of that. */
  retries = 0;
  #origin;
  #expected = [];
  #visited = new Set();

  constructor(origin) {
    this.#origin = origin;
  }

  /** Listens to every page of a context. */
  async attach(context, who) {
    // Violations are events of the document; the console tells only some of them.
    await context.addInitScript((origin) => {
      if (window.location.origin !== origin) return;
      document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI, sourceFile }) => {
        console.error(`securitypolicyviolation ${violatedDirective} ${blockedURI} ${sourceFile}`);
      });
    }, this.#origin);
    context.on("page", (page) => {
      page.on("pageerror", (error) => this.#complain(who, page.url(), `uncaught ${error.stack ?? error}`));
      page.on("crash", () => this.#complain(who, page.url(), "the page crashed"));
      page.on("requestfailed", (request) => {
        if (request.failure()?.errorText !== NETWORK_CHANGED) return;
        this.networkChanges += 1;
        // Where a page or a frame was being loaded, the browser now shows an error of its own.
        if (request.isNavigationRequest()) this.#loadAgain(page);
      });
    });
    context.on("console", (message) => this.#hear(who, message));
  }

  /** Lets pages complain in a way that a story provokes: the pattern is matched with the line. */
  async expecting(pattern, story) {
    this.#expected.push(pattern);
    try {
      return await story();
    } finally {
      this.#expected.splice(this.#expected.indexOf(pattern), 1);
    }
  }

  /**
   * Lets pages be loaded by something that tries again by itself; otherwise one that the machine's
   * network changes interrupt is loaded again here.
   */
  async whileVisiting(page, visit) {
    this.#visited.add(page);
    try {
      return await visit();
    } finally {
      this.#visited.delete(page);
    }
  }

  #loadAgain(page) {
    if (this.#visited.has(page)) return;
    this.retries += 1;
    // Should this fail, the story that waits for the page does, and says so.
    page.reload().catch(() => undefined);
  }

  #hear(who, message) {
    const text = message.text();
    const { url } = message.location();
    const isPolicy = /content.security.policy|securitypolicyviolation/i.test(text);
    if (message.type() !== "error" && !isPolicy) return;
    // What VS Code itself logs on its own origin is its affair; our policy there is not.
    const isOurs = url === "" || url.startsWith(`${this.#origin}/`) || url === this.#origin;
    if (!isOurs && !(isPolicy && text.includes("frame-ancestors"))) return;
    if (text.includes(NETWORK_CHANGED)) return;
    const status = Number(/responded with a status of (\d+)/.exec(text)?.[1]);
    if (status && url !== "") {
      const { pathname } = new URL(url);
      if (ASKED_FOR.some((asked) => asked.status === status && asked.path.test(pathname))) return;
    }
    this.#complain(who, url, `${message.type()}: ${text}`);
  }

  #complain(who, url, text) {
    const line = `${who} at ${url || "?"}: ${text}`;
    const isExpected = this.#expected.some((pattern) => pattern.test(line));
    (isExpected ? this.provoked : this.complaints).push(line);
  }
}
