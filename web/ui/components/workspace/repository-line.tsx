import { GitBranch } from "lucide-react";

import type { Workspace } from "@/lib/api/types";
import { shortRepository } from "@/lib/format";
import { cn } from "@/lib/utils";

interface RepositoryLineProps {
  workspace: Pick<Workspace, "repository" | "branch">;
  className?: string;
}

/** Where a workspace's files come from, in one line. */
export function RepositoryLine({ workspace, className }: RepositoryLineProps) {
  const { repository, branch } = workspace;
  return (
    <p className={cn("flex min-w-0 items-center gap-3 text-[0.8125rem] leading-5 text-muted-foreground", className)}>
      {repository === null || repository === undefined ? (
        <span>No repository</span>
      ) : (
        <span className="min-w-0 truncate" title={repository}>
          {shortRepository(repository)}
        </span>
      )}
      {branch !== null && branch !== undefined && (
        <span className="inline-flex min-w-0 shrink-[2] items-center gap-1" title={branch}>
          <GitBranch aria-hidden="true" className="size-3.5 shrink-0" />
          <span className="sr-only">Branch </span>
          <span className="truncate">{branch}</span>
        </span>
      )}
    </p>
  );
}
