"use client";

import { useState } from "react";

import { CopyButton } from "@/components/common/copy-button";
import { FormError } from "@/components/common/error-state";
import { TimeAgo } from "@/components/common/time-ago";
import { levelLabel, standing } from "@/components/sharing/levels";
import { Links } from "@/components/sharing/links";
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
import { DialogFooter, DialogHeader } from "@/components/ui/dialog";
import { useUnshare } from "@/hooks/use-sharing";
import { asApiError } from "@/lib/api/error";
import type { PortShare } from "@/lib/api/types";

interface PortCardProps {
  workspace: string;
  share: PortShare;
  onEdit(): void;
}

/** One shared port: who can open it, until when, and what can be done about it. */
export function PortCard({ workspace, share, onEdit }: PortCardProps) {
  const trouble = standing(share);
  const hasLinks = share.is_in_force && (share.level_in_force === "link" || share.level_in_force === "public");
  return (
    <li className="rounded-xl border bg-card p-4 shadow-raise">
      <div className="flex flex-wrap items-start justify-between gap-x-4 gap-y-2">
        <div className="min-w-0">
          <h3 className="flex flex-wrap items-center gap-2 font-medium">
            Port {share.port}
            <Badge variant={share.is_in_force ? (share.level_in_force === "public" ? "warning" : "success") : "neutral"}>
              {share.is_in_force ? levelLabel(share.level_in_force) : "Only me"}
            </Badge>
          </h3>
          <p className="mt-1 font-mono text-xs break-all text-muted-foreground">{share.url}</p>
        </div>
        <div className="flex flex-wrap gap-2">
          <CopyButton text={share.url} label="Copy address" />
          <Button variant="outline" onClick={onEdit} aria-label={`Change who can open port ${share.port}`}>
            Change
          </Button>
          <StopSharing workspace={workspace} port={share.port} />
        </div>
      </div>
      <div className="mt-2 text-sm leading-relaxed text-muted-foreground">
        {trouble !== undefined && <p className="text-warning">{trouble}</p>}
        {share.members.length > 0 && (
          <p className="[overflow-wrap:anywhere]">
            Named: {share.members.map((member) => member.name).join(", ")}
          </p>
        )}
        {share.is_in_force && (
          <p>
            {share.expires_at !== undefined && share.expires_at !== null && (
              <>
                Ends <TimeAgo at={share.expires_at} />.{" "}
              </>
            )}
            {share.keep_after_restart ? "Goes on after the next start." : "Ends with the next start of the workspace."}
          </p>
        )}
      </div>
      {hasLinks && <Links workspace={workspace} share={share} />}
    </li>
  );
}

function StopSharing({ workspace, port }: { workspace: string; port: number }) {
  const [isOpen, setIsOpen] = useState(false);
  const unshare = useUnshare(workspace);
  return (
    <AlertDialog open={isOpen} onOpenChange={setIsOpen}>
      <AlertDialogTrigger asChild>
        <Button variant="outline" aria-label={`Stop sharing port ${port}`}>
          Stop sharing
        </Button>
      </AlertDialogTrigger>
      <AlertDialogContent>
        <DialogHeader className="pb-5 sm:pr-6">
          <AlertDialogTitle>Stop sharing port {port}?</AlertDialogTitle>
          <AlertDialogDescription>
            Whoever has it open is cut off now, and its links are revoked for good.
          </AlertDialogDescription>
          {unshare.error !== null && <FormError error={asApiError(unshare.error)} />}
        </DialogHeader>
        <DialogFooter>
          <AlertDialogCancel asChild>
            <Button variant="outline">Cancel</Button>
          </AlertDialogCancel>
          <Button
            variant="destructive"
            isBusy={unshare.isPending}
            onClick={() => unshare.mutate(port, { onSuccess: () => setIsOpen(false) })}
          >
            Stop sharing
          </Button>
        </DialogFooter>
      </AlertDialogContent>
    </AlertDialog>
  );
}
