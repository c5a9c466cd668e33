"use client";

import { useMutation } from "@tanstack/react-query";
import { Link2, Link2Off } from "lucide-react";
import { useEffect, useRef, useSyncExternalStore } from "react";

import { FormError } from "@/components/common/error-state";
import { Button } from "@/components/ui/button";
import { api, unwrap } from "@/lib/api/client";
import { asApiError } from "@/lib/api/error";
import { navigate } from "@/lib/navigate";
import { takeShareSecret } from "@/lib/share-secret";

const never = (): (() => void) => () => undefined;

/** Where a link to a port leads: the secret is redeemed, and the browser goes on. */
export function OpenLink() {
  const secret = useSyncExternalStore<string | null | undefined>(never, takeShareSecret, () => undefined);
  if (secret === undefined) return <Opening />;
  return secret === null ? <NoLink /> : <Redeem secret={secret} />;
}

function Redeem({ secret }: { secret: string }) {
  const { mutate, error, isPending } = useMutation({
    mutationFn: () => unwrap(api.POST("/api/share-links/redeem", { body: { secret } })),
    onSuccess: ({ url }) => navigate.replace(url),
    gcTime: 0,
  });
  const isAsked = useRef(false);
  useEffect(() => {
    if (isAsked.current) return;
    isAsked.current = true;
    mutate();
  }, [mutate]);
  if (error === null) return <Opening />;
  const failure = asApiError(error);
  if (failure.status === 410) return <Gone />;
  return (
    <div>
      <h1 className="text-2xl font-semibold tracking-tight text-balance">This link could not be opened</h1>
      <div className="mt-5">
        <FormError error={failure} />
      </div>
      <Button className="mt-5" onClick={() => mutate()} isBusy={isPending}>
        Try again
      </Button>
    </div>
  );
}

function Opening() {
  return (
    <div role="status">
      <RoundIcon Icon={Link2} />
      <h1 className="mt-5 text-2xl font-semibold tracking-tight text-balance">Opening the link</h1>
      <p className="mt-2 text-[0.9375rem] leading-relaxed text-muted-foreground">One moment.</p>
      <noscript>
        <p className="mt-4 text-sm">Opening a link needs JavaScript.</p>
      </noscript>
    </div>
  );
}

function Gone() {
  return (
    <div role="alert">
      <RoundIcon Icon={Link2Off} />
      <h1 className="mt-5 text-2xl font-semibold tracking-tight text-balance">This link does not lead anywhere</h1>
      <p className="mt-2 text-[0.9375rem] leading-relaxed text-pretty text-muted-foreground">
        It may have ended, been used already or been revoked. Ask whoever gave it to you for a new one.
      </p>
    </div>
  );
}

function NoLink() {
  return (
    <div role="status">
      <RoundIcon Icon={Link2Off} />
      <h1 className="mt-5 text-2xl font-semibold tracking-tight text-balance">Open the link you were given</h1>
      <p className="mt-2 text-[0.9375rem] leading-relaxed text-pretty text-muted-foreground">
        This page needs the whole link. If you reloaded it, open the link again.
      </p>
    </div>
  );
}

function RoundIcon({ Icon }: { Icon: typeof Link2 }) {
  return (
    <span className="grid size-10 place-items-center rounded-full bg-muted text-muted-foreground">
      <Icon aria-hidden="true" className="size-5" />
    </span>
  );
}
