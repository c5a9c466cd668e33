"use client";

import type { ReactNode } from "react";

import { ErrorState } from "@/components/common/error-state";
import { Logo } from "@/components/shell/logo";
import { Skeleton } from "@/components/ui/skeleton";
import { FeedStatusContext, useEventFeed } from "@/hooks/use-events";
import { useSession } from "@/hooks/use-session";
import { asApiError } from "@/lib/api/error";
import type { User } from "@/lib/api/types";

interface SignedInProps {
  /** The page, for the person who is signed in. */
  children: (user: User) => ReactNode;
  /** What stands in the page's place until it is known who that is. */
  fallback: ReactNode;
}

/**
 * Shows a page to people who are signed in. Everybody else is on the way to sign-in already: any
 * answer that says so leads there (see `lib/query.ts`).
 */
export function SignedIn({ children, fallback }: SignedInProps) {
  const session = useSession();
  const failure = session.error === null ? undefined : asApiError(session.error);
  if (session.data !== undefined && failure?.isSignedOut !== true) {
    return <WithEvents>{children(session.data)}</WithEvents>;
  }
  if (failure !== undefined && !failure.isSignedOut) {
    return (
      <main className="grid min-h-dvh place-items-center p-6">
        <ErrorState error={failure} onRetry={() => void session.refetch()} isRetrying={session.isFetching} />
      </main>
    );
  }
  return (
    <>
      {fallback}
      <noscript>
        <p className="p-6 text-center text-sm">
          This page needs JavaScript.
        </p>
      </noscript>
    </>
  );
}

function WithEvents({ children }: { children: ReactNode }) {
  const status = useEventFeed();
  return <FeedStatusContext value={status}>{children}</FeedStatusContext>;
}

/** The header's place while it is not known who is signed in. */
export function HeaderSkeleton() {
  return (
    <div className="border-b bg-background">
      <div className="mx-auto flex h-14 max-w-5xl items-center justify-between px-4 sm:px-6">
        <Logo />
        <Skeleton className="size-7 rounded-full" />
      </div>
    </div>
  );
}
