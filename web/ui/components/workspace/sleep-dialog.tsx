"use client";

import { useId, useState, type FormEvent } from "react";
import { toast } from "sonner";

import { FormError } from "@/components/common/error-state";
import { Field } from "@/components/common/field";
import { Button } from "@/components/ui/button";
import { Checkbox } from "@/components/ui/checkbox";
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
import { Label } from "@/components/ui/label";
import { NativeSelect } from "@/components/ui/native-select";
import { useSetSleep } from "@/hooks/use-workspaces";
import { asApiError } from "@/lib/api/error";
import type { Workspace } from "@/lib/api/types";
import { ARCHIVE_TIMES, fromField, PAUSE_TIMES, STOP_TIMES, timesWith, toField, wholeSleep, type IdleTime } from "@/lib/sleep";

interface SleepDialogProps {
  workspace: Workspace;
  isOpen: boolean;
  onOpenChange(isOpen: boolean): void;
  /** Where the keyboard's place goes when the dialog closes. */
  returnFocus(): void;
}

/** Asks a workspace's owner when it sleeps. */
export function SleepDialog({ workspace, isOpen, onOpenChange, returnFocus }: SleepDialogProps) {
  return (
    <Dialog open={isOpen} onOpenChange={onOpenChange}>
      <DialogContent
        onCloseAutoFocus={(event) => {
          event.preventDefault();
          returnFocus();
        }}
      >
        <DialogHeader>
          <DialogTitle className="[overflow-wrap:anywhere]">When {workspace.name} sleeps</DialogTitle>
          <DialogDescription>Whatever is chosen, the site may set a shorter limit.</DialogDescription>
        </DialogHeader>
        <SleepForm workspace={workspace} onDone={() => onOpenChange(false)} />
      </DialogContent>
    </Dialog>
  );
}

function SleepForm({ workspace, onDone }: { workspace: Workspace; onDone(): void }) {
  const id = useId();
  const save = useSetSleep(workspace.id);
  // As it was when this was opened: what is heard meanwhile must not change what is being chosen.
  const [before] = useState(() => wholeSleep(workspace.sleep));
  const [staysAsleep, setStaysAsleep] = useState(before.stays_asleep);

  const submit = (event: FormEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    save.mutate(
      {
        pause_after_seconds: fromField(String(data.get("pause"))),
        stop_after_seconds: fromField(String(data.get("stop"))),
        archive_after_seconds: fromField(String(data.get("archive"))),
        stays_asleep: staysAsleep,
      },
      {
        onSuccess: ({ name }) => {
          toast.success(`Sleep of ${name} changed`);
          onDone();
        },
      },
    );
  };

  return (
    <>
      <DialogBody>
        <form id={id} noValidate onSubmit={submit} className="flex flex-col">
          <TimeField
            name="pause"
            label="Put to sleep when nobody is there and nothing is at work for"
            present={before.pause_after_seconds}
            times={PAUSE_TIMES}
          />
          <TimeField
            name="stop"
            label="Stop it, which frees its memory, after it has slept for"
            present={before.stop_after_seconds}
            times={STOP_TIMES}
          />
          <TimeField
            name="archive"
            label="Archive it, which frees its disk space, after it was stopped for"
            present={before.archive_after_seconds}
            times={ARCHIVE_TIMES}
          />
          <div className="flex items-start gap-3">
            <Checkbox
              id={`${id}-stays`}
              checked={staysAsleep}
              onCheckedChange={(checked) => setStaysAsleep(checked === true)}
              aria-describedby={`${id}-woken`}
              className="mt-1"
            />
            <div>
              <Label htmlFor={`${id}-stays`} className="font-normal">
                Stay asleep when somebody visits
              </Label>
              <p id={`${id}-woken`} className="text-[0.8125rem] leading-5 text-muted-foreground">
                It then wakes only when you press Wake or start it from the command line.
              </p>
            </div>
          </div>
          {save.error !== null && (
            <div className="mt-4">
              <FormError error={asApiError(save.error)} />
            </div>
          )}
        </form>
      </DialogBody>
      <DialogFooter>
        <DialogClose asChild>
          <Button variant="outline">Cancel</Button>
        </DialogClose>
        <Button type="submit" form={id} isBusy={save.isPending}>
          Save
        </Button>
      </DialogFooter>
    </>
  );
}

interface TimeFieldProps {
  name: string;
  label: string;
  present: number | null;
  times: readonly IdleTime[];
}

function TimeField({ name, label, present, times }: TimeFieldProps) {
  return (
    <Field label={label}>
      {(control) => (
        <NativeSelect {...control} name={name} defaultValue={toField(present)}>
          {timesWith(present, times).map(({ seconds, label }) => (
            <option key={toField(seconds)} value={toField(seconds)}>
              {label}
            </option>
          ))}
        </NativeSelect>
      )}
    </Field>
  );
}
