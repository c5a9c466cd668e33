"use client";

import { FormError } from "@/components/common/error-state";
import { TimeAgo } from "@/components/common/time-ago";
import { Button } from "@/components/ui/button";
import { useAnswerRequest } from "@/hooks/use-sharing";
import { asApiError } from "@/lib/api/error";
import type { AccessRequest } from "@/lib/api/types";

/** Who asks to be let in, with the two answers. */
export function Requests({ workspace, requests }: { workspace: string; requests: readonly AccessRequest[] }) {
  if (requests.length === 0) return null;
  return (
    <section aria-label="People asking for access" className="mb-5">
      <h3 className="text-sm font-medium">Asking for access</h3>
      <ul className="mt-2 flex flex-col gap-2">
        {requests.map((request) => (
          <Request key={`${request.port} ${request.user.id}`} workspace={workspace} request={request} />
        ))}
      </ul>
    </section>
  );
}

function Request({ workspace, request }: { workspace: string; request: AccessRequest }) {
  const answer = useAnswerRequest(workspace);
  const { user, port } = request;
  const give = (isApproved: boolean) => answer.mutate({ port, user: user.id, isApproved });
  return (
    <li className="flex flex-wrap items-center justify-between gap-3 rounded-lg border bg-warning-surface/60 px-4 py-3 text-sm">
      <p className="min-w-0 leading-relaxed [overflow-wrap:anywhere]">
        <span className="font-medium">{user.name}</span>{" "}
        <span className="text-muted-foreground">({user.email})</span> would like to open port {port}.{" "}
        <span className="text-muted-foreground">
          <TimeAgo at={request.asked_at} />
        </span>
      </p>
      <div className="flex gap-2">
        <Button
          size="sm"
          isBusy={answer.isPending && answer.variables.isApproved}
          onClick={() => give(true)}
          aria-label={`Approve ${user.name} for port ${port}`}
        >
          Approve
        </Button>
        <Button
          size="sm"
          variant="outline"
          isBusy={answer.isPending && !answer.variables.isApproved}
          onClick={() => give(false)}
          aria-label={`Decline ${user.name} for port ${port}`}
        >
          Decline
        </Button>
      </div>
      {answer.error !== null && <FormError error={asApiError(answer.error)} />}
    </li>
  );
}
