"use client";

import type { ReactNode } from "react";

import {
  AlertDialog,
  AlertDialogCancel,
  AlertDialogContent,
  AlertDialogDescription,
  AlertDialogTitle,
} from "@/components/ui/alert-dialog";
import { Button } from "@/components/ui/button";
import { DialogFooter, DialogHeader } from "@/components/ui/dialog";
import { WorkLookup } from "@/components/workspace/work-lookup";
import { cn } from "@/lib/utils";
import { CAN_BE_RESTORED } from "@/lib/workspace";

interface ConfirmDialogProps {
  title: string;
  /** What will happen, and what will not. */
  children: ReactNode;
  /** What else is good to know before; it is no part of the question. */
  details?: ReactNode;
  /** The button that does it. */
  verb: string;
  isDestructive?: boolean;
  isOpen: boolean;
  onOpenChange(isOpen: boolean): void;
  onConfirm(): void;
  isBusy: boolean;
  /** Where the keyboard's place goes when the dialog closes. */
  returnFocus(): void;
}

/** Asks before something is done that ends programs or removes things, and says what will happen. */
export function ConfirmDialog({
  title,
  children,
  details,
  verb,
  isDestructive = false,
  isOpen,
  onOpenChange,
  onConfirm,
  isBusy,
  returnFocus,
}: ConfirmDialogProps) {
  return (
    <AlertDialog open={isOpen} onOpenChange={onOpenChange}>
      <AlertDialogContent
        onCloseAutoFocus={(event) => {
          event.preventDefault();
          returnFocus();
        }}
      >
        {/* What does not fit is scrolled to, so that the buttons never leave the screen. */}
        <div className="min-h-0 overflow-y-auto">
          <DialogHeader className={cn("sm:pr-6", details === undefined ? "pb-5" : "pb-4")}>
            <AlertDialogTitle>{title}</AlertDialogTitle>
            <AlertDialogDescription>{children}</AlertDialogDescription>
          </DialogHeader>
          {details}
        </div>
        <DialogFooter>
          <AlertDialogCancel asChild>
            <Button variant="outline">Cancel</Button>
          </AlertDialogCancel>
          {/* Not the primitive's own action: that would close before the server has agreed. */}
          <Button variant={isDestructive ? "destructive" : "default"} onClick={onConfirm} isBusy={isBusy}>
            {verb}
          </Button>
        </DialogFooter>
      </AlertDialogContent>
    </AlertDialog>
  );
}

type AboutOne = Omit<ConfirmDialogProps, "title" | "children" | "details" | "verb" | "isDestructive"> & { name: string };

/** Asks before a workspace is deleted, and looks for what is only in it. */
export function DeleteDialog({ id, name, ...dialog }: AboutOne & { id: string }) {
  return (
    <ConfirmDialog
      title={`Delete ${name}?`}
      verb="Delete workspace"
      isDestructive
      details={<WorkLookup id={id} isAsked={dialog.isOpen} />}
      {...dialog}
    >
      Its container is removed. {CAN_BE_RESTORED}
    </ConfirmDialog>
  );
}

/** Asks before a deleted workspace's files are removed. */
export function PurgeDialog({ name, ...dialog }: AboutOne) {
  return (
    <ConfirmDialog title={`Delete ${name} for ever?`} verb="Delete for ever" isDestructive {...dialog}>
      Its files are removed from the server now. They cannot be got back.
    </ConfirmDialog>
  );
}

/** Asks before a running workspace is stopped. */
export function StopDialog({ name, ...dialog }: AboutOne) {
  return (
    <ConfirmDialog title={`Stop ${name}?`} verb="Stop now" {...dialog}>
      Programs that run in it are ended, open terminals with them. Its files stay.
    </ConfirmDialog>
  );
}
