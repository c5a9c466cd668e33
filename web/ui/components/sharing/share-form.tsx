"use client";

import { TriangleAlert } from "lucide-react";
import { useId, useState, type FormEvent } from "react";

import { FormError } from "@/components/common/error-state";
import { Field } from "@/components/common/field";
import { isOpenToStrangers, levelsUpTo, SHARE_TIMES } from "@/components/sharing/levels";
import { MembersField } from "@/components/sharing/members-field";
import { Alert } from "@/components/ui/alert";
import { Button } from "@/components/ui/button";
import { Checkbox } from "@/components/ui/checkbox";
import { Input } from "@/components/ui/input";
import { Label } from "@/components/ui/label";
import { NativeSelect } from "@/components/ui/native-select";
import { RadioGroup, RadioGroupCard } from "@/components/ui/radio-group";
import { useShare } from "@/hooks/use-sharing";
import { asApiError } from "@/lib/api/error";
import type { Person, PortShare, SharingLevel } from "@/lib/api/types";
import { placeError, type FormProblem } from "@/lib/form-errors";
import { portProblem } from "@/lib/port-label";

type Name = "port" | "members" | "expires";

const CODES: Readonly<Record<string, Name>> = {
  invalid_port: "port",
  no_members: "members",
  unknown_member: "members",
  too_many_members: "members",
  invalid_expiry: "expires",
};

interface ShareFormProps {
  workspace: string;
  maximum: SharingLevel;
  /** The port to share in another way; a new one without. */
  share?: PortShare;
  onDone(): void;
  onCancel(): void;
}

/** Shares a port, or shares it in another way. */
export function ShareForm({ workspace, maximum, share, onDone, onCancel }: ShareFormProps) {
  const id = useId();
  const save = useShare(workspace);
  const levels = levelsUpTo(maximum).filter(({ level }) => level !== "owner");
  const known = share !== undefined && share.level !== "owner" ? share.level : undefined;
  const [level, setLevel] = useState<SharingLevel>(
    levels.some((entry) => entry.level === known) ? (known as SharingLevel) : (levels[0]?.level ?? "members"),
  );
  const [members, setMembers] = useState<readonly Person[]>(share?.members ?? []);
  // What is left of the present time, so that saving something else does not change it.
  const [secondsLeft] = useState(() => {
    const end = share?.is_in_force === true ? Date.parse(share.expires_at ?? "") : Number.NaN;
    return Number.isNaN(end) ? 0 : Math.max(60, Math.ceil((end - Date.now()) / 1000));
  });
  const [isKept, setIsKept] = useState(share?.keep_after_restart ?? false);
  const [problem, setProblem] = useState<FormProblem<Name>>({ fields: {} });

  const submit = (event: FormEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const form = event.currentTarget;
    const data = new FormData(form);
    const text = share === undefined ? String(data.get("port")).trim() : String(share.port);
    const wrongPort = portProblem(text);
    const wrongMembers =
      level === "members" && members.length === 0 ? "Name the people who may open it." : undefined;
    setProblem({ fields: { port: wrongPort, members: wrongMembers } });
    if (wrongPort !== undefined) {
      (form.elements.namedItem("port") as HTMLElement | null)?.focus();
      return;
    }
    if (wrongMembers !== undefined) return;
    const seconds = Number(data.get("expires"));
    save.mutate(
      {
        port: Number(text),
        wish: {
          level,
          members: members.map((member) => member.id),
          keep_after_restart: isKept,
          ...(seconds > 0 ? { expires_in_seconds: seconds } : {}),
        },
      },
      { onSuccess: onDone, onError: (cause) => setProblem(placeError(asApiError(cause), CODES)) },
    );
  };

  return (
    <form noValidate onSubmit={submit} aria-label={share === undefined ? "Share a port" : `Share port ${share.port}`}>
      <div className="flex flex-col gap-3">
        {share === undefined && (
          <Field label="Port" error={problem.fields.port} hint="The one that your program listens on." className="sm:max-w-64">
            {(control) => (
              <Input {...control} name="port" inputMode="numeric" autoComplete="off" autoFocus required placeholder="3000" />
            )}
          </Field>
        )}
        <div>
          <p id={`${id}-level`} className="mb-1.5 text-sm leading-5 font-medium">
            Who can open it
          </p>
          <RadioGroup
            aria-labelledby={`${id}-level`}
            value={level}
            onValueChange={(value) => setLevel(value as SharingLevel)}
          >
            {levels.map((entry) => (
              <RadioGroupCard key={entry.level} value={entry.level} aria-describedby={`${id}-${entry.level}`}>
                <span className="text-sm font-medium">{entry.label}</span>
                <span id={`${id}-${entry.level}`} className="text-[0.8125rem] leading-5 text-muted-foreground">
                  {entry.text}
                </span>
              </RadioGroupCard>
            ))}
          </RadioGroup>
        </div>
        {isOpenToStrangers(level) && (
          <Alert variant="warning" role="alert">
            <TriangleAlert aria-hidden="true" />
            <p>
              {level === "public"
                ? "Anybody on the internet can then use what runs on this port, and Kalpana does not ask who they are. Do not show data there that is not public."
                : "Whoever gets hold of a link can use what runs on this port, and Kalpana does not know who they are. Give links only to people you mean, and for as long as they need it."}
            </p>
          </Alert>
        )}
        {level !== "public" && (
          <MembersField members={members} onChange={setMembers} error={problem.fields.members} />
        )}
        <Field label="For how long" error={problem.fields.expires} className="sm:max-w-64">
          {(control) => (
            <NativeSelect {...control} name="expires" defaultValue={secondsLeft}>
              {secondsLeft > 0 && <option value={secondsLeft}>As before</option>}
              {SHARE_TIMES.map(({ seconds, label }) => (
                <option key={seconds} value={seconds}>
                  {label}
                </option>
              ))}
            </NativeSelect>
          )}
        </Field>
        <div className="flex items-start gap-3">
          <Checkbox
            id={`${id}-keep`}
            checked={isKept}
            onCheckedChange={(checked) => setIsKept(checked === true)}
            aria-describedby={`${id}-kept`}
            className="mt-0.5"
          />
          <div>
            <Label htmlFor={`${id}-keep`} className="font-normal">
              Keep sharing after the workspace is started anew
            </Label>
            <p id={`${id}-kept`} className="text-[0.8125rem] leading-5 text-muted-foreground">
              Otherwise only you can open the port after the next start.
            </p>
          </div>
        </div>
        {problem.form !== undefined && <FormError error={problem.form} />}
        <div className="flex flex-col-reverse gap-2 sm:flex-row sm:justify-end">
          <Button type="button" variant="outline" onClick={onCancel}>
            Cancel
          </Button>
          <Button type="submit" isBusy={save.isPending}>
            {share === undefined ? "Share port" : "Save"}
          </Button>
        </div>
      </div>
    </form>
  );
}
