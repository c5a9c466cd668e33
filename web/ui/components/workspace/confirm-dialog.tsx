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
import { CAN_BE_RESTORED } from "@/lib/workspace";

interface ConfirmDialogProps {
  title: string;
  /** What will happen, and what will not. */
  children: ReactNode;
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
        <DialogHeader className="pb-5 sm:pr-6">
          <AlertDialogTitle>{title}</AlertDialogTitle>
          <AlertDialogDescription>{children}</AlertDialogDescription>
        </DialogHeader>
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

type AboutOne = Omit<ConfirmDialogProps, "title" | "children" | "verb" | "isDestructive"> & { name: string };

/** Asks before a workspace is deleted. */
export function DeleteDialog({ name, ...dialog }: AboutOne) {
  return (
    <ConfirmDialog title={`Delete ${name}?`} verb="Delete workspace" isDestructive {...dialog}>
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
