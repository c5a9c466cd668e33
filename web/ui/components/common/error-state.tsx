import { CircleAlert, Database } from "lucide-react";

import { Alert } from "@/components/ui/alert";
import { Button } from "@/components/ui/button";
import type { ApiError } from "@/lib/api/error";

/**
 * What went wrong, for where something else should stand: sentence, next step, code. What passes by
 * itself is asked for again by itself (see `lib/query.ts`), and the page says so.
 */
export function ErrorState({
  error,
  onRetry,
  isRetrying = false,
}: {
  error: ApiError;
  onRetry?: () => void;
  isRetrying?: boolean;
}) {
  const Icon = error.isDatabaseAway ? Database : CircleAlert;
  return (
    <div role="alert" className="mx-auto flex max-w-sm flex-col items-center py-12 text-center">
      <span className="grid size-10 place-items-center rounded-full bg-destructive-surface text-destructive">
        <Icon aria-hidden="true" className="size-5" />
      </span>
      <p className="mt-4 font-medium text-balance">{error.message}</p>
      {error.hint !== undefined && (
        <p className="mt-1.5 text-sm leading-relaxed text-pretty text-muted-foreground">{error.hint}</p>
      )}
      {error.isTransient && (
        <p className="mt-1.5 text-sm text-muted-foreground">This page goes on by itself when it is back.</p>
      )}
      <ErrorCode error={error} className="mt-3" />
      {onRetry !== undefined && (
        <Button variant="outline" className="mt-5" onClick={onRetry} isBusy={isRetrying}>
          Try again
        </Button>
      )}
    </div>
  );
}

/** What went wrong with a form as a whole. */
export function FormError({ error }: { error: ApiError }) {
  return (
    <Alert variant="destructive" role="alert">
      <CircleAlert aria-hidden="true" />
      <div className="min-w-0">
        <p className="font-medium">{error.message}</p>
        {error.hint !== undefined && <p className="text-muted-foreground">{error.hint}</p>}
        <ErrorCode error={error} className="mt-1" />
      </div>
    </Alert>
  );
}

/** The stable code, and the request's name in the server's log. */
function ErrorCode({ error, className }: { error: ApiError; className?: string }) {
  return (
    <p className={className}>
      <code className="font-mono text-xs break-all text-muted-foreground">
        {error.code}
        {error.requestId !== undefined && ` · ${error.requestId}`}
      </code>
    </p>
  );
}
