"use client";

import { LoaderCircle } from "lucide-react";
import { useId } from "react";

import { useWork } from "@/hooks/use-work";
import { WORK_FAILED, WORK_LOOKING, workReport, type WorkItem } from "@/lib/work";

interface WorkLookupProps {
  id: string;
  /** Whether somebody wants to know; each time anew, it is looked for. */
  isAsked: boolean;
}

/** Says what is in a workspace's repositories and nowhere else. Nothing waits for it. */
export function WorkLookup({ id, isAsked }: WorkLookupProps) {
  const { data, error, isFetching } = useWork(id, isAsked);
  const heading = useId();
  const report = isFetching || data === undefined ? undefined : workReport(data);
  const items = report?.items ?? [];
  const isLost = !isFetching && error !== null;
  return (
    <div className="mx-5 mb-5 rounded-lg border bg-muted/50 px-3.5 py-3 text-sm leading-relaxed sm:mx-6">
      {/* Without the list: it would be read again whole whenever files are shown. */}
      <div role="status">
        {isLost ? (
          <p>{WORK_FAILED}</p>
        ) : report === undefined ? (
          <p className="flex items-start gap-2 text-muted-foreground">
            <LoaderCircle aria-hidden="true" className="mt-[0.2rem] size-4 shrink-0 animate-spin" />
            {WORK_LOOKING}
          </p>
        ) : items.length === 0 ? (
          <p className="text-pretty">{report.text}</p>
        ) : (
          <>
            <h3 id={heading} className="font-medium">
              {report.text}
            </h3>
            <p className="sr-only">{report.summary}</p>
          </>
        )}
      </div>
      {items.length > 0 && (
        <ul
          aria-labelledby={heading}
          // For the arrow keys: what is scrolled must be reached without a mouse.
          tabIndex={0}
          className="mt-1.5 max-h-[min(14rem,35dvh)] space-y-2 overflow-y-auto rounded-sm [overflow-wrap:anywhere] outline-none focus-visible:ring-2 focus-visible:ring-ring"
        >
          {items.map((item, index) => (
            // Not by path: of it, administrators see the last part only.
            <Repository key={index} item={item} />
          ))}
        </ul>
      )}
      <div aria-live="polite">
        {report !== undefined && report.more !== "" && <p className="mt-1.5 text-muted-foreground">{report.more}</p>}
      </div>
    </div>
  );
}

/** Each text from the container is isolated, so that it does not turn around what stands beside it. */
function Repository({ item }: { item: WorkItem }) {
  const { path, branch, text, problem, examples, others } = item;
  return (
    <li>
      <p>
        <bdi className="font-medium">{path}</bdi>
        {branch !== undefined && (
          <>
            {" ("}
            <bdi>{branch}</bdi>)
          </>
        )}
        {": "}
        {problem === undefined ? (
          text
        ) : (
          <>
            could not be looked at: <bdi>{problem}</bdi>
          </>
        )}
      </p>
      {examples.length > 0 && (
        <details className="mt-0.5">
          <summary className="w-fit cursor-pointer rounded-sm text-muted-foreground outline-none select-none hover:text-foreground focus-visible:ring-2 focus-visible:ring-ring">
            Show files
          </summary>
          <ul className="mt-1 space-y-0.5 pl-4 font-mono text-xs leading-5">
            {examples.map((example, index) => (
              <li key={index}>
                <bdi>{example}</bdi>
              </li>
            ))}
            {others > 0 && <li className="font-sans text-muted-foreground">and {others} more</li>}
          </ul>
        </details>
      )}
    </li>
  );
}
