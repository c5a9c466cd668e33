"use client";

import { Plus, Share2 } from "lucide-react";
import { useState } from "react";

import { ErrorState } from "@/components/common/error-state";
import { PortCard } from "@/components/sharing/port-card";
import { Requests } from "@/components/sharing/requests";
import { ShareForm } from "@/components/sharing/share-form";
import { Alert } from "@/components/ui/alert";
import { Button } from "@/components/ui/button";
import {
  Dialog,
  DialogBody,
  DialogContent,
  DialogDescription,
  DialogHeader,
  DialogTitle,
  DialogTrigger,
} from "@/components/ui/dialog";
import { Skeleton } from "@/components/ui/skeleton";
import { useSharing } from "@/hooks/use-sharing";
import { asApiError } from "@/lib/api/error";
import type { Sharing, Workspace } from "@/lib/api/types";

/** The button "Share" of a workspace's owner, with the number of people who wait for an answer. */
export function SharingDialog({ workspace }: { workspace: Workspace }) {
  const sharing = useSharing(workspace.id);
  const waiting = sharing.data?.requests.length ?? 0;
  return (
    <Dialog>
      <DialogTrigger asChild>
        <Button
          variant="ghost"
          size="sm"
          className="text-muted-foreground max-sm:px-2"
          aria-label={waiting > 0 ? `Share ports, ${waiting} asking for access` : "Share ports"}
        >
          <Share2 aria-hidden="true" />
          <span className="max-sm:sr-only">Share</span>
          {waiting > 0 && (
            <span className="grid h-5 min-w-5 place-items-center rounded-full bg-warning px-1 text-xs font-semibold text-background">
              {waiting}
            </span>
          )}
        </Button>
      </DialogTrigger>
      <DialogContent className="sm:max-w-2xl">
        <DialogHeader>
          <DialogTitle>Sharing of {workspace.name}</DialogTitle>
          <DialogDescription>
            What your programs show on a port can be opened by others. The editor, the files and the
            terminal stay yours alone.
          </DialogDescription>
        </DialogHeader>
        <DialogBody>
          {sharing.data !== undefined ? (
            <SharingPanel workspace={workspace.id} sharing={sharing.data} />
          ) : sharing.error === null ? (
            <div role="status" aria-label="Loading how ports are shared">
              <Skeleton className="h-24 w-full rounded-xl" />
            </div>
          ) : (
            <ErrorState
              error={asApiError(sharing.error)}
              onRetry={() => void sharing.refetch()}
              isRetrying={sharing.isFetching}
            />
          )}
        </DialogBody>
      </DialogContent>
    </Dialog>
  );
}

/** All about how a workspace's ports are shared. */
export function SharingPanel({ workspace, sharing }: { workspace: string; sharing: Sharing }) {
  /** The port whose form is shown; 0 is a new one. */
  const [editing, setEditing] = useState<number>();
  const close = () => setEditing(undefined);
  const isAllowed = sharing.maximum !== "owner";
  const edited = sharing.ports.find(({ port }) => port === editing);

  if (editing !== undefined && (editing === 0 || edited !== undefined)) {
    return (
      <ShareForm
        key={editing}
        workspace={workspace}
        maximum={sharing.maximum}
        share={edited}
        onDone={close}
        onCancel={close}
      />
    );
  }
  return (
    <>
      {!isAllowed && (
        <Alert className="mb-4">
          <p>Whoever runs this site does not allow ports to be shared. Only you can open yours.</p>
        </Alert>
      )}
      <Requests workspace={workspace} requests={sharing.requests} />
      {sharing.ports.length > 0 ? (
        <ul aria-label="Shared ports" className="flex flex-col gap-3">
          {sharing.ports.map((share) => (
            <PortCard key={share.port} workspace={workspace} share={share} onEdit={() => setEditing(share.port)} />
          ))}
        </ul>
      ) : (
        <div className="rounded-xl border border-dashed px-5 py-8 text-center">
          <p className="font-medium">No port is shared</p>
          <p className="mx-auto mt-1 max-w-sm text-sm leading-relaxed text-pretty text-muted-foreground">
            Start a program in the workspace that listens on a port, then share that port with the
            people who should see it.
          </p>
        </div>
      )}
      {isAllowed && (
        <Button className="mt-4" onClick={() => setEditing(0)}>
          <Plus aria-hidden="true" />
          Share a port
        </Button>
      )}
    </>
  );
}
