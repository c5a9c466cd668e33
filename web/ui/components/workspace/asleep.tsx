"use client";

import { Moon, SquareArrowOutUpRight } from "lucide-react";
import { useCallback, useEffect, useId, useRef, type ReactNode } from "react";

import { FormError } from "@/components/common/error-state";
import { Button } from "@/components/ui/button";
import { RoundIcon, Spinner, Stage } from "@/components/workspace/stage";
import type { Wake } from "@/hooks/use-wake";
import { useWakeTriggers } from "@/hooks/use-wake-triggers";
import type { Workspace } from "@/lib/api/types";
import { cn } from "@/lib/utils";
import { isWokenBy, type Sign } from "@/lib/waking";

const FROZEN = "Its programs are frozen in memory, just as you left them.";
const STAYS = "It stays asleep until you wake it.";

interface AsleepProps {
  workspace: Workspace;
  wake: Wake;
}

/** What a sleeping workspace's owner sees where the editor is, or was: anything done to it wakes, unless it stays asleep. */
export function AsleepOverlay({ workspace, wake }: AsleepProps) {
  const overlay = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const text = useId();
  const { ask } = wake;
  const { sleep } = workspace;
  const onSign = useCallback((sign: Sign) => isWokenBy(sign, { sleep }) && ask(), [ask, sleep]);
  useWakeTriggers({ place: overlay, button, onSign });
  const isWokenByClick = isWokenBy("click", workspace);
  useEffect(() => {
    if (!isInDialog(document.activeElement)) button.current?.focus();
  }, []);
  return (
    <div
      ref={overlay}
      role="dialog"
      aria-label={titleOf(workspace)}
      aria-describedby={text}
      onClick={() => onSign("click")}
      className={cn("absolute inset-0 flex bg-background/90 backdrop-blur-[3px]", isWokenByClick && "cursor-pointer")}
    >
      <AsleepStage
        workspace={workspace}
        wake={wake}
        textId={text}
        text={`${FROZEN} ${isWokenByClick ? "Press any key or click to wake it." : STAYS}`}
      >
        <Button
          ref={button}
          size="lg"
          onClick={() => onSign("wake")}
          // A key that was held as the keyboard's place came here was meant for something else.
          onKeyDown={(event) => event.repeat && event.preventDefault()}
          isBusy={wake.isUnderWay}
        >
          {wake.error === undefined ? "Wake" : "Retry"}
        </Button>
      </AsleepStage>
    </div>
  );
}

/** The same where the editor cannot be framed: its own tab is where it wakes to. */
export function AsleepElsewhere({ workspace, wake }: AsleepProps) {
  if (!isWokenBy("visit", workspace)) {
    return (
      <AsleepStage workspace={workspace} wake={wake} text={`${FROZEN} ${STAYS}`}>
        {/* Not the way to it as well: that would show it asleep, which it still is at that moment. */}
        <Button size="lg" onClick={wake.ask} isBusy={wake.isUnderWay}>
          {wake.error === undefined ? "Wake" : "Retry"}
        </Button>
      </AsleepStage>
    );
  }
  return (
    <AsleepStage workspace={workspace} wake={wake} text={FROZEN}>
      <Button asChild size="lg">
        <a href={workspace.url} target="_blank" rel="noreferrer" onClick={wake.ask}>
          <SquareArrowOutUpRight aria-hidden="true" />
          Wake and open
        </a>
      </Button>
    </AsleepStage>
  );
}

/** What everybody else sees, administrators among them. */
export function OthersAsleep({ workspace }: { workspace: Workspace }) {
  return (
    <Stage
      icon={<RoundIcon Icon={Moon} />}
      title={titleOf(workspace)}
      text={`Only its owner, ${workspace.owner.name}, can wake it.`}
    />
  );
}

interface AsleepStageProps extends AsleepProps {
  text: string;
  textId?: string;
  /** What wakes it. */
  children: ReactNode;
}

function AsleepStage({ workspace, wake, text, textId, children }: AsleepStageProps) {
  return (
    <Stage
      icon={wake.isUnderWay ? <Spinner /> : <RoundIcon Icon={Moon} />}
      title={titleOf(workspace)}
      text={
        <span id={textId} role="status">
          {wake.isUnderWay ? "Waking…" : text}
        </span>
      }
    >
      {wake.error !== undefined && (
        <div className="mb-3 w-full text-left">
          <FormError error={wake.error} />
        </div>
      )}
      {children}
    </Stage>
  );
}

function titleOf({ name }: Workspace): string {
  return `${name} is asleep`;
}

/** Whether the keyboard is in a dialog or a menu over the page, which keeps it until it is closed. */
function isInDialog(element: Element | null): boolean {
  const open = '[data-state="open"]';
  return element?.closest(`[role="dialog"]${open}, [role="alertdialog"]${open}, [role="menu"]${open}`) != null;
}
