import { describe, expect, it } from "vitest";

import type { RepositoryWork } from "@/lib/api/types";
import { workReport } from "@/lib/work";

import { repository, work } from "./fixtures";

const clean = repository();
const broken = repository({ path: "broken", branch: null, problem: "it is locked" });

describe("nothing that is only there", () => {
  it.each([
    ["Everything in its repositories is committed and pushed.", [clean, repository({ has_remote: false })]],
    ["There is no Git repository in it.", []],
  ])("is said as: %s", (text, repositories) => {
    expect(workReport(work(repositories))).toEqual({ text, summary: "", items: [], more: "" });
  });

  it.each([
    ["In the repositories that were looked at, everything is committed and pushed.", "There may be more.", [clean]],
    ["No Git repository was found in it.", "There may be one.", []],
  ])("promises no more than was looked at: %s", (text, more, repositories) => {
    expect(workReport(work(repositories, { is_cut: true }))).toMatchObject({ text, more });
  });

  it("is no answer where nobody could look", () => {
    expect(workReport(work([], { is_known: false }))).toMatchObject({
      text: "Whether there is uncommitted or unpushed work cannot be seen: it does not run, or does not answer.",
      items: [],
      more: "",
    });
  });
});

describe("work that is only there", () => {
  const said = (changes: Partial<RepositoryWork>) => workReport(work([repository(changes)])).items[0]?.text;

  it.each<[string, Partial<RepositoryWork>]>([
    ["3 uncommitted files, 2 unpushed commits, 1 stash", { uncommitted: 3, unpushed: 2, stashes: 1 }],
    ["1 uncommitted file", { uncommitted: 1 }],
    ["1 unpushed commit, 2 stashes", { unpushed: 1, stashes: 2 }],
    ["2 commits, and no remote to push them to", { unpushed: 2, has_remote: false }],
    ["1 commit, and no remote to push it to", { unpushed: 1, has_remote: false }],
    [
      "3 uncommitted files, 1 stash, 2 commits, and no remote to push them to",
      { uncommitted: 3, unpushed: 2, stashes: 1, has_remote: false },
    ],
    ["1 stash", { stashes: 1, has_remote: false }],
  ])("is counted as: %s", (text, changes) => {
    expect(said(changes)).toBe(text);
  });

  it("is listed for each repository that has some, and in short to be heard", () => {
    const other = repository({ path: "other", branch: null, unpushed: 1, has_remote: false });
    const report = workReport(work([repository({ uncommitted: 2 }), clean, other, broken], { is_cut: true }));
    expect(report).toMatchObject({
      text: "Only in this workspace:",
      summary: "2 uncommitted files, 1 unpushed commit, in 2 repositories. 1 repository could not be looked at.",
      more: "There may be more.",
    });
    expect(report.items.map(({ path, branch, problem }) => [path, branch, problem])).toEqual([
      ["demo", "main", undefined],
      ["other", undefined, undefined],
      ["broken", undefined, "it is locked"],
    ]);
  });

  it("is not asserted where it could not be looked at", () => {
    expect(workReport(work([clean, broken]))).toMatchObject({
      text: "Perhaps only in this workspace:",
      summary: "1 repository could not be looked at.",
      items: [{ path: "broken", text: "", problem: "it is locked" }],
    });
  });

  it("is shown by ten files at most, and says how many there are beside them", () => {
    const files = Array.from({ length: 12 }, (_, index) => `file-${index}`);
    const [item] = workReport(work([repository({ uncommitted: 30, examples: files })])).items;
    expect(item).toMatchObject({ examples: files.slice(0, 10), others: 20 });
    const [all] = workReport(work([repository({ uncommitted: 1, examples: ["a", "b"] })])).items;
    expect(all).toMatchObject({ examples: ["a", "b"], others: 0 });
  });
});
