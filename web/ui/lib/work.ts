import type { RepositoryWork, WorkspaceWork } from "@/lib/api/types";

/** What is said while nothing is known yet. */
export const WORK_LOOKING = "Looking for work that is only in this workspace…";

/** What is said when there was no answer, or none in time. */
export const WORK_FAILED = "What is uncommitted or unpushed could not be looked up.";

/** One repository with work. What it quotes from the container is in fields of its own. */
export interface WorkItem {
  path: string;
  branch?: string;
  /** E.g. `3 uncommitted files, 1 stash`. */
  text: string;
  /** Why it could not be looked at; nothing else of it is known then. */
  problem?: string;
  examples: readonly string[];
  /** How many files there are beside the examples. */
  others: number;
}

/** What is said of the work that is only in a workspace. */
export interface WorkReport {
  /** A sentence; above items, what they are. */
  text: string;
  /** All items in short, to be heard. */
  summary: string;
  items: readonly WorkItem[];
  /** What is added when not everything was looked at. */
  more: string;
}

/** This many files at most are shown of each repository. */
const EXAMPLES = 10;

type Counts = Pick<RepositoryWork, "uncommitted" | "unpushed" | "stashes" | "has_remote">;

/** Returns what the work that was found, or not found, means for people. */
export function workReport({ is_known, is_cut, repositories }: WorkspaceWork): WorkReport {
  const say = (text: string, more = "There may be more."): WorkReport => ({
    text,
    summary: "",
    items: [],
    more: is_cut ? more : "",
  });
  if (!is_known) {
    return say("Whether there is uncommitted or unpushed work cannot be seen: it does not run, or does not answer.");
  }
  const found = repositories.filter((repository) => counted(repository) !== "" || hasProblem(repository));
  if (found.length > 0) {
    // Of what could not be looked at, nobody knows.
    const isSure = found.some((repository) => counted(repository) !== "");
    return {
      ...say(isSure ? "Only in this workspace:" : "Perhaps only in this workspace:"),
      summary: summaryOf(found),
      items: found.map(itemOf),
    };
  }
  if (repositories.length === 0) {
    if (is_cut) return say("No Git repository was found in it.", "There may be one.");
    return say("There is no Git repository in it.");
  }
  // "Everything" would say too much of what was not looked at.
  if (is_cut) return say("In the repositories that were looked at, everything is committed and pushed.");
  return say("Everything in its repositories is committed and pushed.");
}

function itemOf(repository: RepositoryWork): WorkItem {
  const examples = repository.examples.slice(0, EXAMPLES);
  return {
    path: repository.path,
    branch: repository.branch ?? undefined,
    text: counted(repository),
    problem: repository.problem ?? undefined,
    examples,
    others: Math.max(0, repository.uncommitted - examples.length),
  };
}

/** Returns e.g. `3 uncommitted files, 2 unpushed commits, 1 stash`. */
function counted({ uncommitted, unpushed, stashes, has_remote }: Counts): string {
  const files = some(uncommitted, "uncommitted file");
  const stash = some(stashes, "stash", "stashes");
  // The part without a remote stands last: it has a comma and refers to the commits.
  const parts = has_remote ? [files, some(unpushed, "unpushed commit"), stash] : [files, stash, homeless(unpushed)];
  return parts.filter((part) => part !== "").join(", ");
}

function homeless(commits: number): string {
  const which = some(commits, "commit");
  return which === "" ? "" : `${which}, and no remote to push ${commits === 1 ? "it" : "them"} to`;
}

function summaryOf(found: readonly RepositoryWork[]): string {
  const withWork = found.filter((repository) => counted(repository) !== "");
  const sum = (of: (repository: RepositoryWork) => number): number =>
    withWork.reduce((total, repository) => total + of(repository), 0);
  const total = counted({
    uncommitted: sum(({ uncommitted }) => uncommitted),
    unpushed: sum(({ unpushed }) => unpushed),
    stashes: sum(({ stashes }) => stashes),
    has_remote: true,
  });
  const unseen = found.filter(hasProblem).length;
  return [
    total === "" ? "" : `${total}, in ${counting(withWork.length)}.`,
    unseen === 0 ? "" : `${counting(unseen)} could not be looked at.`,
  ]
    .filter((sentence) => sentence !== "")
    .join(" ");
}

function hasProblem({ problem }: RepositoryWork): boolean {
  return problem !== null && problem !== undefined;
}

function counting(repositories: number): string {
  return some(repositories, "repository", "repositories");
}

/** Returns e.g. `2 commits`, and nothing for none. */
function some(count: number, one: string, many = `${one}s`): string {
  if (count <= 0) return "";
  return `${count} ${count === 1 ? one : many}`;
}
