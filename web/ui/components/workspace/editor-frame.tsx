"use client";

import { SquareArrowOutUpRight } from "lucide-react";
import { useRef, useState } from "react";

import { Mark } from "@/components/shell/logo";
import { Stage } from "@/components/workspace/stage";
import { Button } from "@/components/ui/button";
import type { Workspace } from "@/lib/api/types";
import { cn } from "@/lib/utils";

/**
 * The editor, in a frame that fills the page. It has an origin of its own, which is what keeps it
 * from this page; a `sandbox` would take its storage and service worker away.
 */
export function EditorFrame({ workspace }: { workspace: Workspace }) {
  const [isLoaded, setIsLoaded] = useState(false);
  const frame = useRef<HTMLIFrameElement>(null);
  return (
    <div className="relative flex-1 bg-background">
      <iframe
        ref={frame}
        src={workspace.url}
        title="Editor"
        allow="clipboard-read; clipboard-write; fullscreen"
        onLoad={() => {
          setIsLoaded(true);
          // Typing goes to the editor at once, unless the person is busy in the bar above.
          if (document.activeElement === document.body) frame.current?.focus();
        }}
        className="absolute inset-0 size-full border-0"
      />
      <div
        role="status"
        className={cn(
          "pointer-events-none absolute inset-0 grid place-items-center bg-background transition-opacity duration-300",
          isLoaded && "invisible opacity-0 [transition-property:opacity,visibility]",
        )}
      >
        {!isLoaded && (
          <div className="flex flex-col items-center gap-4 text-sm text-muted-foreground">
            <Mark className="size-8 animate-breathe" />
            Opening the editor…
          </div>
        )}
      </div>
    </div>
  );
}

/** Where the editor cannot be framed: the way to it. */
export function EditorElsewhere({ workspace }: { workspace: Workspace }) {
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
