"use client";

import { useId, useRef, useState, type FormEvent } from "react";

import { FormError } from "@/components/common/error-state";
import { Field } from "@/components/common/field";
import { TimeAgo } from "@/components/common/time-ago";
import { Button } from "@/components/ui/button";
import {
  Dialog,
  DialogBody,
  DialogClose,
  DialogContent,
  DialogDescription,
  DialogFooter,
  DialogHeader,
  DialogTitle,
} from "@/components/ui/dialog";
import { Input } from "@/components/ui/input";
import { useCreateFromSnapshot } from "@/hooks/use-snapshots";
import { asApiError } from "@/lib/api/error";
import type { Snapshot, Workspace } from "@/lib/api/types";
import { placeError, type FormProblem } from "@/lib/form-errors";
import { copyName } from "@/lib/snapshots";
import { workspaceName } from "@/lib/validation";

const CODES: Readonly<Record<string, "name">> = { invalid_name: "name" };

interface NewFromSnapshotProps {
  /** Whose snapshot it is, and of the size of which the new one is. */
  workspace: Workspace;
  snapshot: Snapshot;
  isOpen: boolean;
  onOpenChange(isOpen: boolean): void;
  /** Where the keyboard's place goes when the dialog closes. */
  returnFocus(): void;
}

/** Asks what a workspace with the files of a snapshot is to be called. */
export function NewFromSnapshot({ workspace, snapshot, isOpen, onOpenChange, returnFocus }: NewFromSnapshotProps) {
  return (
    <Dialog open={isOpen} onOpenChange={onOpenChange}>
      <DialogContent
        className="sm:max-w-md"
        onCloseAutoFocus={(event) => {
          event.preventDefault();
          returnFocus();
        }}
      >
        <DialogHeader>
          <DialogTitle>New workspace from this snapshot</DialogTitle>
          <DialogDescription>
            It begins with a copy of the files of <TimeAgo at={snapshot.created_at} /> and has the size of{" "}
            {workspace.name}, which stays as it is.
          </DialogDescription>
        </DialogHeader>
        <NameForm workspace={workspace} snapshot={snapshot} />
      </DialogContent>
    </Dialog>
  );
}

function NameForm({ workspace, snapshot }: Pick<NewFromSnapshotProps, "workspace" | "snapshot">) {
  const formId = useId();
  const create = useCreateFromSnapshot();
  const field = useRef<HTMLInputElement>(null);
  const [name, setName] = useState(() => copyName(workspace.name));
  const [refusal, setRefusal] = useState<FormProblem<"name">>({ fields: {} });
  // The same wish, sent again after a failure, must not make a second workspace.
  const sent = useRef<{ name: string; key: string }>({ name: "", key: "" });
  const wrong = workspaceName(name);

  const submit = (event: FormEvent): void => {
    event.preventDefault();
    setRefusal({ fields: {} });
    if (wrong !== undefined) {
      field.current?.focus();
      return;
    }
    if (sent.current.name !== name) sent.current = { name, key: crypto.randomUUID() };
    const { size, egress } = workspace;
    const { id, workspace_id } = snapshot;
    create.mutate(
      { wish: { name, size, egress, snapshot: { workspace_id, snapshot_id: id } }, idempotencyKey: sent.current.key },
      {
        onError: (cause) => {
          const placed = placeError(asApiError(cause), CODES);
          setRefusal(placed);
          if (placed.fields.name !== undefined) field.current?.focus();
        },
      },
    );
  };

  return (
    <>
      <DialogBody>
        <form id={formId} noValidate onSubmit={submit} className="flex flex-col gap-2">
          <Field label="Name" error={wrong ?? refusal.fields.name} hint="Only for you to know it by.">
            {(control) => (
              <Input
                {...control}
                ref={field}
                value={name}
                onChange={(event) => {
                  setName(event.target.value);
                  setRefusal((known) => ({ ...known, fields: {} }));
                }}
                onFocus={({ currentTarget }) => currentTarget.select()}
                required
                autoComplete="off"
                spellCheck={false}
                autoCapitalize="none"
              />
            )}
          </Field>
          {refusal.form !== undefined && <FormError error={refusal.form} />}
        </form>
      </DialogBody>
      <DialogFooter>
        <DialogClose asChild>
          <Button variant="outline">Cancel</Button>
        </DialogClose>
        <Button type="submit" form={formId} isBusy={create.isPending || create.isSuccess}>
          Create
        </Button>
      </DialogFooter>
    </>
  );
}
