"use client";

import { useRef, useState } from "react";
import { toast } from "sonner";

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
import { useEndOtherPlaces, useEndPlace, usePlaces } from "@/hooks/use-places";
import { asApiError } from "@/lib/api/error";
import type { Place } from "@/lib/api/types";
import { browserName } from "@/lib/format";

/** Where I am signed in: each browser, this one first. */
export function PlaceList() {
  const places = usePlaces();
  const list = useRef<HTMLUListElement>(null);
  if (places.data === undefined) {
    return places.error === null ? (
      <Skeleton className="h-[4.6rem] w-full rounded-xl" />
    ) : (
      <ErrorState error={asApiError(places.error)} onRetry={() => void places.refetch()} isRetrying={places.isFetching} />
    );
  }
  const ordered = [...places.data].sort((a, b) => Number(b.is_current) - Number(a.is_current));
  return (
    <Card className="overflow-hidden">
      <ul ref={list} tabIndex={-1} aria-label="Where you are signed in" className="divide-y outline-none">
        {ordered.map((place) => (
          <PlaceRow key={place.id} place={place} onEnded={() => list.current?.focus()} />
        ))}
      </ul>
    </Card>
  );
}

function PlaceRow({ place, onEnded }: { place: Place; onEnded(): void }) {
  const end = useEndPlace();
  const name = browserName(place.user_agent);
  const heading = `place-${place.id}`;
  const signOut = (): void =>
    end.mutate(place.id, {
      onSuccess: () => {
        toast.success("Signed out there", { description: name });
        onEnded();
      },
      onError: (cause) => {
        const error = asApiError(cause);
        if (error.isSignedOut) return;
        toast.error("Not signed out", { description: error.message });
      },
    });
  return (
    <li aria-labelledby={heading} className="flex items-center justify-between gap-4 px-4 py-3.5 sm:px-5">
      <div className="min-w-0">
        <p className="flex flex-wrap items-center gap-x-2.5 gap-y-1">
          <span id={heading} className="text-sm leading-6 font-medium [overflow-wrap:anywhere]">
            {name}
          </span>
          {place.is_current && <Badge variant="outline">This session</Badge>}
        </p>
        <p className="mt-0.5 text-xs leading-5 text-muted-foreground">
          {place.address !== null && place.address !== undefined && (
            <>
              <span className="font-mono [overflow-wrap:anywhere]">{place.address}</span>
              {" · "}
            </>
          )}
          last used <TimeAgo at={place.last_used_at} />
          {" · "}
          signed in <TimeAgo at={place.created_at} />
        </p>
      </div>
      {!place.is_current && (
        <Button variant="outline" size="sm" aria-label={`Sign out ${name}`} onClick={signOut} isBusy={end.isPending}>
          Sign out
        </Button>
      )}
    </li>
  );
}

/** The button "Sign out everywhere else", where there is an elsewhere. */
export function SignOutElsewhere() {
  const [isOpen, setIsOpen] = useState(false);
  const places = usePlaces();
  const end = useEndOtherPlaces();
  const isElsewhere = places.data?.some((place) => !place.is_current) ?? false;
  if (!isElsewhere && !isOpen) return null;
  return (
    <AlertDialog open={isOpen} onOpenChange={setIsOpen}>
      <AlertDialogTrigger asChild>
        <Button variant="outline">Sign out everywhere else</Button>
      </AlertDialogTrigger>
      <AlertDialogContent>
        <DialogHeader className="pb-5 sm:pr-6">
          <AlertDialogTitle>Sign out everywhere else?</AlertDialogTitle>
          <AlertDialogDescription>
            Every other browser has to sign in again, and what it has open in a workspace is closed. API tokens stay.
          </AlertDialogDescription>
          {end.error !== null && <FormError error={asApiError(end.error)} />}
        </DialogHeader>
        <DialogFooter>
          <AlertDialogCancel asChild>
            <Button variant="outline">Cancel</Button>
          </AlertDialogCancel>
          <Button
            variant="destructive"
            isBusy={end.isPending}
            onClick={() =>
              end.mutate(undefined, {
                onSuccess: () => {
                  setIsOpen(false);
                  toast.success("Signed out everywhere else");
                },
              })
            }
          >
            Sign out
          </Button>
        </DialogFooter>
      </AlertDialogContent>
    </AlertDialog>
  );
}
