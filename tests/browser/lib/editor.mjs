// VS Code as a person uses it: the Explorer and the terminal.

import { isInside } from "./engine.mjs";
import { FOLDER } from "./git.mjs";
import { until } from "./until.mjs";

/** The first opening starts a server, an extension host and a service worker on a busy machine. */
const OPEN_LIMIT_MS = 60_000;
const TERMINAL_LIMIT_MS = 60_000;

/** How long VS Code may take to answer its terminal's keys before they are pressed again. */
const PRESS_AGAIN_MS = 2_000;

/** How long a command may take before it is typed again. */
const TYPE_AGAIN_MS = 1_500;

export class Editor {
  /** The page that shows it, for its keyboard. */
  #page;
  /** Where its elements are: the page itself, or the frame in it. */
  #root;

  constructor(page, root) {
    this.#page = page;
    this.#root = root;
  }

  /** The editor in the frame of a workspace's page. */
  static inFrame(page) {
    return new Editor(page, page.frameLocator('iframe[title="Editor"]'));
  }

  /** The editor as a page of its own. */
  static asPage(page) {
    return new Editor(page, page);
  }

  /** Waits until the Explorer shows a file of the folder that was opened. */
  async showsFile(name, limit = OPEN_LIMIT_MS) {
    await this.#file(name).waitFor({ timeout: limit });
  }

  #file(name) {
    // The row's own label begins with the file's name; what follows is its decoration.
    return this.#root.locator(".explorer-folders-view").getByRole("treeitem", { name, exact: false }).first();
  }

  /** Opens a new terminal with VS Code's own keys. `isFocused` trusts that it has the keyboard. */
  async openTerminal({ isFocused = false } = {}) {
    // A click beside everything, so that VS Code has the keyboard.
    if (!isFocused) await this.#root.locator(".editor-group-container").first().click();
    const input = this.#terminal(".xterm-helper-textarea");
    // VS Code knows these keys only once it is connected, and nothing on the page tells when.
    let pressed = 0;
    await until(
      "a terminal",
      async () => {
        if (Date.now() - pressed > PRESS_AGAIN_MS) {
          await this.#page.keyboard.press("Control+Shift+Backquote");
          pressed = Date.now();
        }
        return (await input.count()) > 0;
      },
      TERMINAL_LIMIT_MS,
    );
    await this.#root.locator(".part.panel").getByText("bash").first().waitFor({ timeout: TERMINAL_LIMIT_MS });
    const hasFocus = () => input.evaluate((element) => element === document.activeElement);
    await until("the keyboard to be in the terminal", hasFocus, TERMINAL_LIMIT_MS);
  }

  #terminal(part) {
    return this.#root.locator(`.terminal-wrapper.active ${part}`).first();
  }

  /**
   * Types a command that makes a file, until the file is in the volume; what the terminal looks like
   * counts for nothing. It is typed again now and then, because VS Code forgets keys that come while
   * a terminal is being connected. `isFocused` trusts that the terminal has the keyboard.
   */
  async makeFile(workspace, name, { isFocused = false } = {}) {
    // The path is relative: the terminal stands in the folder that the editor opened.
    const type = async () => {
      if (!isFocused) await this.#terminal(".xterm-helper-textarea").focus();
      await this.#page.keyboard.type(`echo made in the terminal > ${name}`);
      await this.#page.keyboard.press("Enter");
    };
    const path = `${FOLDER}/${name}`;
    let typed = 0;
    await until(
      `${path} to be in the workspace`,
      async () => {
        if (Date.now() - typed > TYPE_AGAIN_MS) {
          await type();
          typed = Date.now();
        }
        return isInside(workspace, path);
      },
      TERMINAL_LIMIT_MS,
    );
  }
}
