"use client";

import { TriangleAlert } from "lucide-react";

import { CertificateList } from "@/components/admin/certificate-list";
import { CreateUserDialog } from "@/components/admin/create-user-dialog";
import { ErrorState } from "@/components/common/error-state";
import { Section } from "@/components/common/section";
import { AppPage } from "@/components/shell/app-header";
import { HeaderSkeleton, SignedIn } from "@/components/shell/signed-in";
import { Alert } from "@/components/ui/alert";
import { Badge } from "@/components/ui/badge";
import { Card } from "@/components/ui/card";
import { Skeleton } from "@/components/ui/skeleton";
import { Stage } from "@/components/workspace/stage";
import { useSite } from "@/hooks/use-site";
import { useUsers } from "@/hooks/use-users";
import { asApiError } from "@/lib/api/error";
import type { User } from "@/lib/api/types";
import { initials } from "@/lib/format";

/** People, and what the operator should know of this installation. */
export function Admin() {
  return (
    <SignedIn fallback={<AdminSkeleton />}>
      {(user) => (
        <AppPage user={user}>
          {user.role === "administrator" ? (
            <>
              <h1 className="text-xl font-semibold tracking-tight">Administration</h1>
              <Notices />
              <Section title="People" text="Everybody who can sign in." action={<CreateUserDialog />}>
                <UserList self={user} />
              </Section>
              <Section title="Certificates" text="What browsers are shown, and when it is replaced.">
                <CertificateList />
              </Section>
              <Installation />
            </>
          ) : (
            <Stage title="For administrators" text="Ask an administrator of this Kalpana to do it, or to make you one." />
          )}
        </AppPage>
      )}
    </SignedIn>
  );
}

function Notices() {
  const notices = useSite().data?.notices ?? [];
  return (
    <>
      {notices.map(({ code, message }) => (
        <Alert key={code} variant="warning" className="mt-5">
          <TriangleAlert aria-hidden="true" />
          <div className="min-w-0">
            <p className="text-pretty [overflow-wrap:anywhere]">{message}</p>
            <code className="font-mono text-xs text-muted-foreground">{code}</code>
          </div>
        </Alert>
      ))}
    </>
  );
}

function UserList({ self }: { self: User }) {
  const users = useUsers();
  if (users.data === undefined) {
    return users.error === null ? (
      <Skeleton className="h-32 w-full rounded-xl" />
    ) : (
      <ErrorState error={asApiError(users.error)} onRetry={() => void users.refetch()} isRetrying={users.isFetching} />
    );
  }
  return (
    <Card className="overflow-hidden">
      <ul aria-label="People" className="divide-y">
        {users.data.map((user) => (
          <li key={user.id} className="flex items-center gap-3.5 px-4 py-3 sm:px-5">
            <span
              aria-hidden="true"
              className="grid size-9 shrink-0 place-items-center rounded-full bg-muted text-xs font-semibold text-muted-foreground"
            >
              {initials(user.name)}
            </span>
            <div className="min-w-0 flex-1">
              <p className="truncate text-sm leading-5 font-medium">
                {user.name}
                {user.id === self.id && <span className="font-normal text-muted-foreground"> (you)</span>}
              </p>
              <p className="truncate text-[0.8125rem] leading-5 text-muted-foreground">{user.email}</p>
            </div>
            {user.role === "administrator" ? (
              <Badge variant="outline">Administrator</Badge>
            ) : (
              <span className="text-xs text-muted-foreground">Member</span>
            )}
          </li>
        ))}
      </ul>
    </Card>
  );
}

function Installation() {
  const site = useSite().data;
  const facts: readonly (readonly [string, string | undefined])[] = [
    ["Version", site?.version],
    ["Address", site?.base_url],
    ["Workspaces at", site?.workspace_url.replace("{label}", "<id>")],
    ["Egress of new workspaces", site === undefined ? undefined : site.egress_default === "open" ? "Open" : "None"],
  ];
  return (
    <Section title="Installation">
      <Card>
        <dl className="divide-y">
          {facts.map(([term, value]) => (
            <div key={term} className="flex min-h-11 flex-wrap items-center justify-between gap-x-6 px-4 py-2.5 sm:px-5">
              <dt className="text-sm text-muted-foreground">{term}</dt>
              <dd className="font-mono text-[0.8125rem] [overflow-wrap:anywhere]">
                {value ?? <Skeleton className="h-4 w-32" />}
              </dd>
            </div>
          ))}
        </dl>
      </Card>
    </Section>
  );
}

function AdminSkeleton() {
  return (
    <div className="min-h-dvh">
      <HeaderSkeleton />
      <div className="mx-auto w-full max-w-5xl px-4 py-8 sm:px-6 sm:py-10">
        <Skeleton className="h-7 w-44" />
        <Skeleton className="mt-20 h-32 w-full rounded-xl" />
      </div>
    </div>
  );
}
