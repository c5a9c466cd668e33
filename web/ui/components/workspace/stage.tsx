import { LoaderCircle, type LucideIcon } from "lucide-react";
import type { ReactNode } from "react";

interface StageProps {
  icon?: ReactNode;
  title: string;
  text?: ReactNode;
  children?: ReactNode;
}

/** What stands in the editor's place: one statement and what can be done. */
export function Stage({ icon, title, text, children }: StageProps) {
  return (
    <div className="flex-1 overflow-y-auto">
      <div className="mx-auto flex max-w-md flex-col items-center px-5 pt-[14vh] pb-16 text-center">
        {icon}
        <h1 className="mt-5 text-xl font-semibold tracking-tight text-balance [overflow-wrap:anywhere]">{title}</h1>
        {text !== undefined && (
          <p className="mt-2 text-[0.9375rem] leading-relaxed text-pretty text-muted-foreground">{text}</p>
        )}
        {children !== undefined && <div className="mt-7 flex flex-wrap justify-center gap-2">{children}</div>}
      </div>
    </div>
  );
}

/** The icon of a state that lasts. */
export function RoundIcon({ Icon }: { Icon: LucideIcon }) {
  return (
    <span className="grid size-12 place-items-center rounded-full bg-muted text-muted-foreground">
      <Icon aria-hidden="true" className="size-5" />
    </span>
  );
}

/** The icon of one that passes. */
export function Spinner() {
  return (
    <span className="grid size-12 place-items-center rounded-full bg-warning-surface text-warning">
      <LoaderCircle aria-hidden="true" className="size-5 animate-spin" />
    </span>
  );
}
