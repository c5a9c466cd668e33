import { Mark } from "@/components/shell/logo";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";

const STEPS = [
  ["Name a repository", "Its https:// address and, if you like, a branch. Or begin with nothing."],
  ["Watch it come up", "Network, storage, container, editor: usually a matter of seconds."],
  ["Work", "VS Code opens at the workspace\u2019s own address. Stop it when you are done; the files stay."],
] as const;

/** What a dashboard without workspaces teaches. */
export function NoWorkspaces({ onCreate }: { onCreate(): void }) {
  return (
    <Card className="mt-6 flex flex-col items-center px-6 py-14 sm:py-20">
      <span className="grid size-14 place-items-center rounded-2xl border bg-background shadow-raise">
        <Mark className="size-7" />
      </span>
      <h2 className="mt-6 text-lg font-semibold tracking-tight">A place for each project</h2>
      <p className="mt-1.5 max-w-md text-center text-[0.9375rem] leading-relaxed text-pretty text-muted-foreground">
        A workspace is a container of your own with a project&rsquo;s files and VS Code in the browser.
      </p>
      <ol className="mt-8 grid max-w-3xl gap-6 sm:grid-cols-3 sm:gap-8">
        {STEPS.map(([title, text], index) => (
          <li key={title} className="flex gap-3 sm:flex-col sm:gap-2">
            <span
              aria-hidden="true"
              className="grid size-6 shrink-0 place-items-center rounded-full bg-accent font-mono text-xs text-brand"
            >
              {index + 1}
            </span>
            <div>
              <p className="text-sm font-medium">{title}</p>
              <p className="mt-0.5 text-[0.8125rem] leading-5 text-pretty text-muted-foreground">{text}</p>
            </div>
          </li>
        ))}
      </ol>
      <div className="mt-10">
        <Button size="lg" onClick={onCreate}>
          Create your first workspace
        </Button>
      </div>
    </Card>
  );
}
