"use client";

import { SquareArrowOutUpRight } from "lucide-react";
import { useEffect, useRef, useState } from "react";

import { Mark } from "@/components/shell/logo";
import { Button } from "@/components/ui/button";
import { AsleepElsewhere, AsleepOverlay } from "@/components/workspace/asleep";
import { Stage } from "@/components/workspace/stage";
import { useSite } from "@/hooks/use-site";
import type { Wake } from "@/hooks/use-wake";
import type { Workspace } from "@/lib/api/types";
import { cn } from "@/lib/utils";
import { canFrame } from "@/lib/workspace";

interface EditorProps {
  workspace: Workspace;
  wake: Wake;
}

/** The editor of a workspace that runs, or sleeps; or the way to it. */
export function Editor({ workspace, wake }: EditorProps) {
  const site = useSite();
  if (site.isPending) return <div className="flex-1" />;
  if (site.data === undefined || canFrame(workspace, site.data)) {
    return <EditorFrame key={workspace.generation} workspace={workspace} wake={wake} />;
  }
  return workspace.state === "paused" ? (
    <AsleepElsewhere workspace={workspace} wake={wake} />
  ) : (
    <EditorElsewhere workspace={workspace} />
  );
}

/**
 * The editor, in a frame that fills the page. It has an origin of its own, which is what keeps it
 * from this page; a `sandbox` would take its storage and service worker away. It is loaded once the
 * workspace is awake, and from then on kept through every sleep, covered and out of reach.
 */
function EditorFrame({ workspace, wake }: EditorProps) {
  const isAsleep = workspace.state === "paused";
  const [wasAwake, setWasAwake] = useState(!isAsleep);
  if (!isAsleep && !wasAwake) setWasAwake(true);
  const [isLoaded, setIsLoaded] = useState(false);
  const frame = useRef<HTMLIFrameElement>(null);
  // Typing goes to the editor at once, unless the person is busy in the bar above.
  const focus = (): void => {
    if (document.activeElement === document.body) frame.current?.focus();
  };
  useEffect(() => {
    if (!isAsleep || !isLoaded) return;
    // As it wakes. One that is yet to be loaded takes it then.
    return () => focus();
  }, [isAsleep, isLoaded]);
  return (
    <div className="relative flex-1 bg-background">
      {wasAwake && (
        <iframe
          ref={frame}
          src={workspace.url}
          title="Editor"
          allow="clipboard-read; clipboard-write; fullscreen"
          inert={isAsleep}
          onLoad={() => {
            setIsLoaded(true);
            focus();
          }}
          className="absolute inset-0 size-full border-0"
        />
      )}
      <div
        role="status"
        className={cn(
          "pointer-events-none absolute inset-0 grid place-items-center bg-background transition-opacity duration-300",
          isLoaded && "invisible opacity-0 [transition-property:opacity,visibility]",
        )}
      >
        {wasAwake && !isLoaded && (
          <div className="flex flex-col items-center gap-4 text-sm text-muted-foreground">
            <Mark className="size-8 animate-breathe" />
            Opening the editor…
          </div>
        )}
      </div>
      {isAsleep && <AsleepOverlay workspace={workspace} wake={wake} />}
    </div>
  );
}

/** Where the editor cannot be framed: the way to it. */
function EditorElsewhere({ workspace }: { workspace: Workspace }) {
  return (
    <Stage
      title={`${workspace.name} is running`}
      text="On this Kalpana, workspaces have a domain of their own, and browsers give frames from another domain no storage. The editor opens in its own tab."
    >
      <Button asChild size="lg">
        <a href={workspace.url} target="_blank" rel="noreferrer">
          <SquareArrowOutUpRight aria-hidden="true" />
          Open the editor
        </a>
      </Button>
    </Stage>
  );
}
