"use client";

import {
  AlertDialog,
  AlertDialogCancel,
  AlertDialogContent,
  AlertDialogDescription,
  AlertDialogTitle,
} from "@/components/ui/alert-dialog";
import { Button } from "@/components/ui/button";
import { DialogFooter, DialogHeader } from "@/components/ui/dialog";
import type { Workspace } from "@/lib/api/types";

interface DeleteDialogProps {
  workspace: Workspace;
  isOpen: boolean;
  onOpenChange(isOpen: boolean): void;
  onConfirm(): void;
  isBusy: boolean;
  /** Where the keyboard's place goes when the dialog closes. */
  returnFocus(): void;
}

/** Asks before a workspace is deleted, and says what will happen. */
export function DeleteDialog({ workspace, isOpen, onOpenChange, onConfirm, isBusy, returnFocus }: DeleteDialogProps) {
  return (
    <AlertDialog open={isOpen} onOpenChange={onOpenChange}>
      <AlertDialogContent
        onCloseAutoFocus={(event) => {
          event.preventDefault();
          returnFocus();
        }}
      >
        <DialogHeader className="pb-5 sm:pr-6">
          <AlertDialogTitle>Delete {workspace.name}?</AlertDialogTitle>
          <AlertDialogDescription>
            The container is removed. The volumes with its files stay on the server until an
            administrator removes them.
          </AlertDialogDescription>
        </DialogHeader>
        <DialogFooter>
          <AlertDialogCancel asChild>
            <Button variant="outline">Cancel</Button>
          </AlertDialogCancel>
          {/* Not the primitive's own action: that would close before the server has agreed. */}
          <Button variant="destructive" onClick={onConfirm} isBusy={isBusy}>
            Delete workspace
          </Button>
        </DialogFooter>
      </AlertDialogContent>
    </AlertDialog>
  );
}
