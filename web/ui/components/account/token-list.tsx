"use client";

import { KeyRound } from "lucide-react";
import { useState } from "react";

import { ErrorState, FormError } from "@/components/common/error-state";
import { TimeAgo } from "@/components/common/time-ago";
import {
  AlertDialog,
  AlertDialogCancel,
  AlertDialogContent,
  AlertDialogDescription,
  AlertDialogTitle,
  AlertDialogTrigger,
} from "@/components/ui/alert-dialog";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { DialogFooter, DialogHeader } from "@/components/ui/dialog";
import { Skeleton } from "@/components/ui/skeleton";
import { useNow } from "@/hooks/use-now";
import { useRevokeToken, useTokens } from "@/hooks/use-tokens";
import { asApiError } from "@/lib/api/error";
import type { ApiToken } from "@/lib/api/types";

/** My tokens: names, scopes and times; the secrets are not kept anywhere. */
export function TokenList() {
  const tokens = useTokens();
  if (tokens.data === undefined) {
    return tokens.error === null ? (
      <Skeleton className="h-[4.6rem] w-full rounded-xl" />
    ) : (
      <ErrorState error={asApiError(tokens.error)} onRetry={() => void tokens.refetch()} isRetrying={tokens.isFetching} />
    );
  }
  if (tokens.data.length === 0) {
    return (
      <Card className="flex flex-col items-center px-6 py-10 text-center">
        <KeyRound aria-hidden="true" className="size-5 text-muted-foreground" />
        <p className="mt-3 text-sm font-medium">No tokens</p>
        <p className="mt-1 text-sm text-muted-foreground">Make one to use Kalpana from a terminal or a script.</p>
      </Card>
    );
  }
  return (
    <Card className="overflow-hidden">
      <ul aria-label="API tokens" className="divide-y">
        {tokens.data.map((token) => (
          <TokenRow key={token.id} token={token} />
        ))}
      </ul>
    </Card>
  );
}

function TokenRow({ token }: { token: ApiToken }) {
  const now = useNow(60_000);
  const isExpired = Date.parse(token.expires_at) <= now;
  const heading = `token-${token.id}`;
  return (
    <li aria-labelledby={heading} className="flex items-center justify-between gap-4 px-4 py-3.5 sm:px-5">
      <div className="min-w-0">
        <p className="flex flex-wrap items-center gap-x-2.5 gap-y-1">
          <span id={heading} className="text-sm leading-6 font-medium [overflow-wrap:anywhere]">
            {token.name}
          </span>
          {isExpired && <Badge variant="destructive">Expired</Badge>}
        </p>
        <p className="mt-0.5 flex flex-wrap gap-x-2 gap-y-0.5 font-mono text-xs leading-5 text-muted-foreground">
          {token.scopes.map((scope) => (
            <span key={scope}>{scope}</span>
          ))}
        </p>
        <p className="mt-0.5 text-xs leading-5 text-muted-foreground">
          {isExpired ? "Expired " : "Expires "}
          <TimeAgo at={token.expires_at} />
          {" · "}
          {token.last_used_at === null || token.last_used_at === undefined ? (
            "never used"
          ) : (
            <>
              last used <TimeAgo at={token.last_used_at} />
            </>
          )}
        </p>
      </div>
      <RevokeDialog token={token} />
    </li>
  );
}

function RevokeDialog({ token }: { token: ApiToken }) {
  const [isOpen, setIsOpen] = useState(false);
  const revoke = useRevokeToken();
  return (
    <AlertDialog open={isOpen} onOpenChange={setIsOpen}>
      <AlertDialogTrigger asChild>
        <Button variant="outline" size="sm" aria-label={`Revoke ${token.name}`}>
          Revoke
        </Button>
      </AlertDialogTrigger>
      <AlertDialogContent>
        <DialogHeader className="pb-5 sm:pr-6">
          <AlertDialogTitle>Revoke {token.name}?</AlertDialogTitle>
          <AlertDialogDescription>
            Whatever uses this token is refused from now on. This cannot be undone.
          </AlertDialogDescription>
          {revoke.error !== null && <FormError error={asApiError(revoke.error)} />}
        </DialogHeader>
        <DialogFooter>
          <AlertDialogCancel asChild>
            <Button variant="outline">
              Cancel
            </Button>
          </AlertDialogCancel>
          <Button
            variant="destructive"
            isBusy={revoke.isPending}
            onClick={() => revoke.mutate(token.id, { onSuccess: () => setIsOpen(false) })}
          >
            Revoke token
          </Button>
        </DialogFooter>
      </AlertDialogContent>
    </AlertDialog>
  );
}
