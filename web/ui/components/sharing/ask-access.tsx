"use client";

import { useMutation } from "@tanstack/react-query";
import { Lock, MailCheck } from "lucide-react";
import { useSyncExternalStore } from "react";

import { FormError } from "@/components/common/error-state";
import { SignedIn } from "@/components/shell/signed-in";
import { Button } from "@/components/ui/button";
import { Skeleton } from "@/components/ui/skeleton";
import { api, unwrap } from "@/lib/api/client";
import { asApiError } from "@/lib/api/error";
import type { User } from "@/lib/api/types";
import { portLabel } from "@/lib/port-label";

const never = (): (() => void) => () => undefined;

/**
 * Where somebody is led who may not open a port, or one that does not exist: nothing on this page
 * depends on which of the two it is.
 */
export function AskAccess() {
  const host = useSyncExternalStore<string | null | undefined>(
    never,
    () => new URLSearchParams(window.location.search).get("host"),
    () => undefined,
  );
  if (host === undefined) return <Skeleton className="h-40 w-full" />;
  return (
    <SignedIn fallback={<Skeleton className="h-40 w-full" />}>{(user) => <Ask host={host} user={user} />}</SignedIn>
  );
}

function Ask({ host, user }: { host: string | null; user: User }) {
  const label = portLabel(host);
  const ask = useMutation({
    mutationFn: (wanted: string) => unwrap(api.POST("/api/access-requests", { body: { host: wanted } })),
  });
  if (label === undefined) {
    return (
      <div role="alert">
        <h1 className="text-2xl font-semibold tracking-tight text-balance">This is not the address of a port</h1>
        <p className="mt-2 text-[0.9375rem] leading-relaxed text-pretty text-muted-foreground">
          Open the address that you were given once more.
        </p>
      </div>
    );
  }
  if (ask.isSuccess) return <Asked />;
  return (
    <div>
      <RoundIcon Icon={Lock} />
      <h1 className="mt-5 text-2xl font-semibold tracking-tight text-balance">You do not have access</h1>
      <p className="mt-2 text-[0.9375rem] leading-relaxed text-pretty text-muted-foreground">
        If there is something at <code className="font-mono text-sm break-all">{label.label}</code>, it is not shared
        with you. You can ask its owner, who will see your name and e-mail address.
      </p>
      <p className="mt-3 text-sm text-muted-foreground [overflow-wrap:anywhere]">
        You are signed in as {user.name} ({user.email}).
      </p>
      {ask.error !== null && (
        <div className="mt-5">
          <FormError error={asApiError(ask.error)} />
        </div>
      )}
      <div className="mt-6 flex flex-wrap gap-2">
        <Button size="lg" onClick={() => ask.mutate(label.label)} isBusy={ask.isPending}>
          Request access
        </Button>
        <Button asChild size="lg" variant="outline">
          <a href="/dashboard">To my workspaces</a>
        </Button>
      </div>
    </div>
  );
}

function Asked() {
  return (
    <div role="status">
      <RoundIcon Icon={MailCheck} />
      <h1 className="mt-5 text-2xl font-semibold tracking-tight text-balance">Your request is on its way</h1>
      <p className="mt-2 text-[0.9375rem] leading-relaxed text-pretty text-muted-foreground">
        If there is something at this address, its owner sees now that you ask. Once they have let you in, the
        address opens for you.
      </p>
    </div>
  );
}

function RoundIcon({ Icon }: { Icon: typeof Lock }) {
  return (
    <span className="grid size-10 place-items-center rounded-full bg-muted text-muted-foreground">
      <Icon aria-hidden="true" className="size-5" />
    </span>
  );
}
