"use client";

import { LogOut } from "lucide-react";

import { FormError } from "@/components/common/error-state";
import { Section } from "@/components/common/section";
import { PasswordForm } from "@/components/account/password-form";
import { PlaceList, SignOutElsewhere } from "@/components/account/place-list";
import { TokenList } from "@/components/account/token-list";
import { CreateTokenDialog } from "@/components/account/create-token-dialog";
import { AppPage } from "@/components/shell/app-header";
import { HeaderSkeleton, SignedIn } from "@/components/shell/signed-in";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Skeleton } from "@/components/ui/skeleton";
import { useSignOut } from "@/hooks/use-session";
import { asApiError } from "@/lib/api/error";
import type { User } from "@/lib/api/types";
import { initials } from "@/lib/format";

/** Who I am here, and what may act for me. */
export function Account() {
  return (
    <SignedIn fallback={<AccountSkeleton />}>
      {(user) => (
        <AppPage user={user}>
          <h1 className="text-xl font-semibold tracking-tight">Account</h1>
          <Profile user={user} />
          <Section
            title="Where you are signed in"
            text="One entry for each browser. Signing one out closes its open editors and ports as well."
            action={<SignOutElsewhere />}
          >
            <PlaceList />
          </Section>
          <Section title="Password" text="Changing it signs you out everywhere else.">
            <PasswordForm user={user} />
          </Section>
          <Section
            title="API tokens"
            text="For the command line and for scripts. A token acts as you, within its scopes, until it expires or is revoked."
            action={<CreateTokenDialog user={user} />}
          >
            <TokenList />
          </Section>
        </AppPage>
      )}
    </SignedIn>
  );
}

function Profile({ user }: { user: User }) {
  const signOut = useSignOut();
  const failure = signOut.error === null ? undefined : asApiError(signOut.error);
  return (
    <Section title="Profile">
      <Card className="flex flex-wrap items-center gap-x-4 gap-y-4 p-4 sm:p-5">
        <span
          aria-hidden="true"
          className="grid size-11 shrink-0 place-items-center rounded-full bg-brand/10 text-sm font-semibold text-brand"
        >
          {initials(user.name)}
        </span>
        <div className="min-w-0 flex-1">
          <p className="flex flex-wrap items-center gap-x-2 gap-y-1">
            <span className="font-medium [overflow-wrap:anywhere]">{user.name}</span>
            {user.role === "administrator" && <Badge variant="outline">Administrator</Badge>}
          </p>
          <p className="truncate text-sm text-muted-foreground">{user.email}</p>
        </div>
        <Button variant="outline" onClick={() => signOut.mutate()} isBusy={signOut.isPending}>
          <LogOut aria-hidden="true" />
          Sign out
        </Button>
        {failure !== undefined && !failure.isSignedOut && (
          <div className="w-full">
            <FormError error={failure} />
          </div>
        )}
      </Card>
    </Section>
  );
}

function AccountSkeleton() {
  return (
    <div className="min-h-dvh">
      <HeaderSkeleton />
      <div className="mx-auto w-full max-w-5xl px-4 py-8 sm:px-6 sm:py-10">
        <div className="text-xl font-semibold tracking-tight">Account</div>
        <Skeleton className="mt-20 h-20 w-full rounded-xl" />
      </div>
    </div>
  );
}
