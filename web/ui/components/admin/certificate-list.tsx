"use client";

import { ShieldQuestionMark, TriangleAlert } from "lucide-react";
import { useState } from "react";
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
import { Alert } from "@/components/ui/alert";
import { Badge } from "@/components/ui/badge";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { DialogFooter, DialogHeader } from "@/components/ui/dialog";
import { Skeleton } from "@/components/ui/skeleton";
import { useCertificates, useRenewCertificate, useRevokeCertificate } from "@/hooks/use-certificates";
import { useNow } from "@/hooks/use-now";
import { asApiError } from "@/lib/api/error";
import type { Certificate } from "@/lib/api/types";
import { capitalised, fullTime } from "@/lib/format";

/** Where certificates come from, in words. */
const SOURCES: Record<string, string> = {
  local: "the site's own authority",
  files: "files of the operator",
  acme: "ordered by ACME",
};

/** The gateway's certificates: how they are, and what to do about it. */
export function CertificateList() {
  const all = useCertificates();
  if (all.data === undefined) {
    return all.error === null ? (
      <Skeleton className="h-24 w-full rounded-xl" />
    ) : (
      <ErrorState error={asApiError(all.error)} onRetry={() => void all.refetch()} isRetrying={all.isFetching} />
    );
  }
  const { certificates, on_demand_left: left } = all.data;
  if (certificates.length === 0) {
    return (
      <Card className="flex flex-col items-center px-6 py-10 text-center">
        <ShieldQuestionMark aria-hidden="true" className="size-5 text-muted-foreground" />
        <p className="mt-3 text-sm font-medium">No certificates</p>
        <p className="mt-1 text-sm text-muted-foreground">The gateway has none yet. Its log says what it is doing.</p>
      </Card>
    );
  }
  return (
    <>
      <Card className="overflow-hidden">
        <ul aria-label="Certificates" className="divide-y">
          {certificates.map((certificate) => (
            <CertificateRow key={certificate.id} certificate={certificate} />
          ))}
        </ul>
      </Card>
      {left !== undefined && left !== null && (
        <p className="mt-3 text-xs leading-5 text-muted-foreground">
          Each workspace has a certificate of its own here; {left} more can be ordered this week. A wildcard, proven by
          DNS, would serve them all.
        </p>
      )}
    </>
  );
}

function CertificateRow({ certificate }: { certificate: Certificate }) {
  const { id, names, served, problem, step } = certificate;
  const name = names.join(", ");
  const heading = `certificate-${id}`;
  const now = useNow(60_000);
  return (
    <li aria-labelledby={heading} className="px-4 py-3.5 sm:px-5">
      <div className="flex flex-wrap items-start justify-between gap-x-4 gap-y-3">
        <div className="min-w-0">
          <p className="flex flex-wrap items-center gap-x-2.5 gap-y-1">
            <span id={heading} className="font-mono text-[0.8125rem] leading-6 [overflow-wrap:anywhere]">
              {name}
            </span>
            <StateBadge certificate={certificate} />
          </p>
          <p className="mt-0.5 text-xs leading-5 text-muted-foreground">
            {served !== undefined && served !== null ? (
              <>
                {isOver(served.not_after, now) ? "ended " : "ends "}
                <TimeAgo at={served.not_after} />, on {fullTime(served.not_after)}
                {" · by "}
                <span className="[overflow-wrap:anywhere]">{served.issuer}</span>
              </>
            ) : (
              "none yet; one that browsers do not trust stands in"
            )}
            {" · "}
            {SOURCES[certificate.source] ?? certificate.source}
            {certificate.next_renewal !== undefined && certificate.next_renewal !== null && (
              <>
                {" · replaced "}
                <TimeAgo at={certificate.next_renewal} />
              </>
            )}
          </p>
        </div>
        {certificate.source === "acme" && (
          <div className="flex gap-2">
            <Renew id={id} name={name} isBusy={step !== undefined && step !== null} />
            {served !== undefined && served !== null && <Revoke id={id} name={name} />}
          </div>
        )}
      </div>
      {step !== undefined && step !== null && (
        <p role="status" className="mt-2 text-xs leading-5">
          Now: {step} …
        </p>
      )}
      {problem !== undefined && problem !== null && (
        <Alert variant={certificate.state === "failing" ? "warning" : "destructive"} className="mt-2.5 text-[0.8125rem]">
          <TriangleAlert aria-hidden="true" />
          <div className="min-w-0">
          <p className="text-pretty [overflow-wrap:anywhere]">{sentence(problem.message)}</p>
          <p className="mt-1 text-pretty text-muted-foreground">
            {problem.next_step}
            {problem.retry_at !== undefined && problem.retry_at !== null && (
              <>
                {" It is tried again "}
                <TimeAgo at={problem.retry_at} />.
              </>
            )}
          </p>
          <code className="mt-1 block font-mono text-xs text-muted-foreground">
            {problem.code}
            {problem.failures > 1 && `, ${String(problem.failures)} in a row`}
          </code>
          </div>
        </Alert>
      )}
    </li>
  );
}

function StateBadge({ certificate: { state, source } }: { certificate: Certificate }) {
  if (state === "good") return <Badge variant="outline">Good</Badge>;
  // What an operator brings is renewed by nobody here.
  if (state === "failing") return <Badge variant="warning">{source === "files" ? "Not in order" : "Renewal failing"}</Badge>;
  return <Badge variant="destructive">{state === "expired" ? "Expired" : "Missing"}</Badge>;
}

function Renew({ id, name, isBusy }: { id: string; name: string; isBusy: boolean }) {
  const renew = useRenewCertificate();
  const start = (): void =>
    renew.mutate(id, {
      onSuccess: () => toast.success("There is a new certificate", { description: name }),
      onError: (cause) => {
        const error = asApiError(cause);
        if (error.isSignedOut) return;
        toast.error("There is no new certificate", { description: error.message });
      },
    });
  return (
    <Button variant="outline" size="sm" aria-label={`Renew now: ${name}`} onClick={start} isBusy={renew.isPending || isBusy}>
      Renew now
    </Button>
  );
}

function Revoke({ id, name }: { id: string; name: string }) {
  const [isOpen, setIsOpen] = useState(false);
  const revoke = useRevokeCertificate();
  return (
    <AlertDialog open={isOpen} onOpenChange={setIsOpen}>
      <AlertDialogTrigger asChild>
        <Button variant="outline" size="sm" aria-label={`Revoke ${name}`}>
          Revoke
        </Button>
      </AlertDialogTrigger>
      <AlertDialogContent>
        <DialogHeader className="pb-5 sm:pr-6">
          <AlertDialogTitle>Revoke this certificate?</AlertDialogTitle>
          <AlertDialogDescription>
            The authority declares the certificate for {name} void, for good, and another is ordered with another key.
            Do this if its key may be known to others. Nothing that is open is closed.
          </AlertDialogDescription>
          {revoke.error !== null && <FormError error={asApiError(revoke.error)} />}
        </DialogHeader>
        <DialogFooter>
          <AlertDialogCancel asChild>
            <Button variant="outline">Cancel</Button>
          </AlertDialogCancel>
          <Button
            variant="destructive"
            isBusy={revoke.isPending}
            onClick={() =>
              revoke.mutate(id, {
                onSuccess: () => {
                  setIsOpen(false);
                  toast.success("Revoked, and replaced", { description: name });
                },
              })
            }
          >
            Revoke
          </Button>
        </DialogFooter>
      </AlertDialogContent>
    </AlertDialog>
  );
}

function isOver(at: string, now: number): boolean {
  return Date.parse(at) <= now;
}

function sentence(message: string): string {
  const text = capitalised(message);
  return /[.!?…]$/.test(text) ? text : `${text}.`;
}
