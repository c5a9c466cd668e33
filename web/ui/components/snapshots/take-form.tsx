"use client";

import { useRef, useState, type FormEvent } from "react";

import { FormError } from "@/components/common/error-state";
import { Field } from "@/components/common/field";
import { Button } from "@/components/ui/button";
import { Input } from "@/components/ui/input";
import { useTakeSnapshot } from "@/hooks/use-snapshots";
import { asApiError } from "@/lib/api/error";
import type { Workspace } from "@/lib/api/types";
import { placeError, type FormProblem } from "@/lib/form-errors";
import { mayChange, NOT_ONE_MOMENT } from "@/lib/snapshots";
import { snapshotNote } from "@/lib/validation";

const CODES: Readonly<Record<string, "note">> = { invalid_note: "note" };

interface TakeFormProps {
  workspace: Workspace;
  /** Whether one is being made already: there is one at a time. */
  isMaking: boolean;
}

/** Takes a snapshot, with what somebody wants to know it by. */
export function TakeForm({ workspace, isMaking }: TakeFormProps) {
  const take = useTakeSnapshot(workspace.id);
  const field = useRef<HTMLInputElement>(null);
  const [note, setNote] = useState("");
  const [refusal, setRefusal] = useState<FormProblem<"note">>({ fields: {} });
  const wrong = snapshotNote(note);

  const submit = (event: FormEvent): void => {
    event.preventDefault();
    setRefusal({ fields: {} });
    if (wrong !== undefined) {
      field.current?.focus();
      return;
    }
    take.mutate(note.trim(), {
      onSuccess: () => setNote(""),
      onError: (cause) => setRefusal(placeError(asApiError(cause), CODES)),
    });
  };

  return (
    <form noValidate onSubmit={submit} aria-label="A new snapshot">
      <div className="flex flex-col gap-x-3 gap-y-1.5 sm:flex-row sm:items-start">
        <Field
          label="Note"
          note="Optional"
          hint="What you want to know it by, up to 200 characters."
          error={wrong ?? refusal.fields.note}
          className="min-w-0 flex-1"
        >
          {(control) => (
            <Input
              {...control}
              ref={field}
              value={note}
              onChange={(event) => {
                setNote(event.target.value);
                setRefusal((known) => ({ ...known, fields: {} }));
              }}
              autoComplete="off"
              placeholder="Before the upgrade"
            />
          )}
        </Field>
        {/* Beside the field itself, without its label and its help. */}
        <Button type="submit" className="sm:mt-[1.625rem]" isBusy={take.isPending || isMaking}>
          Take a snapshot
        </Button>
      </div>
      {mayChange(workspace.state) && (
        <p className="mt-1 text-[0.8125rem] leading-5 text-pretty text-muted-foreground">{NOT_ONE_MOMENT}</p>
      )}
      {refusal.form !== undefined && (
        <div className="mt-3">
          <FormError error={refusal.form} />
        </div>
      )}
    </form>
  );
}
