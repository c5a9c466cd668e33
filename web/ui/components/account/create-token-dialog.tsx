"use client";

import { Plus, TriangleAlert } from "lucide-react";
import { useId, useRef, useState, type FormEvent } from "react";

import { LIFETIMES, SCOPES } from "@/components/account/scopes";
import { CopyButton } from "@/components/common/copy-button";
import { FormError } from "@/components/common/error-state";
import { Field } from "@/components/common/field";
import { Alert } from "@/components/ui/alert";
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
  DialogTrigger,
} from "@/components/ui/dialog";
import { Input } from "@/components/ui/input";
import { Label } from "@/components/ui/label";
import { NativeSelect } from "@/components/ui/native-select";
import { useCreateToken } from "@/hooks/use-tokens";
import { asApiError } from "@/lib/api/error";
import type { CreatedToken, Scope, User } from "@/lib/api/types";
import { placeError, type FormProblem } from "@/lib/form-errors";
import { tokenName } from "@/lib/validation";

type Name = "name" | "scopes" | "expires";

const CODES: Readonly<Record<string, Name>> = {
  invalid_token_name: "name",
  invalid_token_scopes: "scopes",
  invalid_token_lifetime: "expires",
};

/** The button "New token" and what it opens: first the wish, then the secret, once. */
export function CreateTokenDialog({ user }: { user: User }) {
  const [isOpen, setIsOpen] = useState(false);
  const [created, setCreated] = useState<CreatedToken>();
  const change = (open: boolean): void => {
    setIsOpen(open);
    if (open) setCreated(undefined);
  };
  return (
    <Dialog open={isOpen} onOpenChange={change}>
      <DialogTrigger asChild>
        <Button variant="outline">
          <Plus aria-hidden="true" />
          New token
        </Button>
      </DialogTrigger>
      <DialogContent
        // The secret is shown once: a stray click beside it must not be the end of it.
        onInteractOutside={(event) => created !== undefined && event.preventDefault()}
      >
        {created === undefined ? <TokenForm user={user} onCreated={setCreated} /> : <TokenSecret token={created} />}
      </DialogContent>
    </Dialog>
  );
}

function TokenForm({ user, onCreated }: { user: User; onCreated(token: CreatedToken): void }) {
  const create = useCreateToken();
  const formId = useId();
  const form = useRef<HTMLFormElement>(null);
  const [scopes, setScopes] = useState<ReadonlySet<Scope>>(new Set<Scope>(["workspace:read", "workspace:write"]));
  const [problem, setProblem] = useState<FormProblem<Name>>({ fields: {} });

  const toggle = (scope: Scope, isOn: boolean): void => {
    const changed = new Set(scopes);
    if (isOn) changed.add(scope);
    else changed.delete(scope);
    setScopes(changed);
    setProblem((known) => ({ ...known, fields: { ...known.fields, scopes: undefined } }));
  };

  const submit = (event: FormEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const name = String(data.get("name")).trim();
    const wrongName = tokenName(name);
    const wrongScopes = scopes.size === 0 ? "Choose at least one." : undefined;
    setProblem({ fields: { name: wrongName, scopes: wrongScopes } });
    if (wrongName !== undefined) {
      (form.current?.elements.namedItem("name") as HTMLElement | null)?.focus();
      return;
    }
    if (wrongScopes !== undefined) return;
    create.mutate(
      { name, scopes: [...scopes], expires_in_days: Number(data.get("expires")) },
      {
        onSuccess: onCreated,
        onError: (cause) => setProblem(placeError(asApiError(cause), CODES)),
      },
    );
  };

  return (
    <>
      <DialogHeader>
        <DialogTitle>New API token</DialogTitle>
        <DialogDescription>Give it no more than it needs, for no longer than it is needed.</DialogDescription>
      </DialogHeader>
      <DialogBody>
        <form id={formId} ref={form} noValidate onSubmit={submit} className="flex flex-col gap-2">
          <Field label="Name" error={problem.fields.name} hint="What it is for, e.g. the machine or the script.">
            {(control) => <Input {...control} name="name" autoComplete="off" required placeholder="laptop" />}
          </Field>
          <fieldset aria-describedby={`${formId}-scopes`} className="flex flex-col gap-1">
            <legend className="mb-1.5 text-sm leading-5 font-medium">Scopes</legend>
            {SCOPES.filter((entry) => !entry.isForAdministrators || user.role === "administrator").map(
              ({ scope, label }) => (
                <div key={scope} className="flex min-h-8 items-center gap-3">
                  <Checkbox
                    id={`${formId}-${scope}`}
                    checked={scopes.has(scope)}
                    onCheckedChange={(checked) => toggle(scope, checked === true)}
                  />
                  <Label htmlFor={`${formId}-${scope}`} className="flex flex-1 flex-wrap items-baseline gap-x-2.5 py-1 font-normal">
                    {label}
                    <span className="font-mono text-xs text-muted-foreground">{scope}</span>
                  </Label>
                </div>
              ),
            )}
            <p id={`${formId}-scopes`} aria-live="polite" className="min-h-5 text-[0.8125rem] leading-5 text-destructive">
              {problem.fields.scopes}
            </p>
          </fieldset>
          <Field label="Expires after" error={problem.fields.expires} className="sm:max-w-48">
            {(control) => (
              <NativeSelect {...control} name="expires" defaultValue={90}>
                {LIFETIMES.map(({ days, label }) => (
                  <option key={days} value={days}>
                    {label}
                  </option>
                ))}
              </NativeSelect>
            )}
          </Field>
          {problem.form !== undefined && <FormError error={problem.form} />}
        </form>
      </DialogBody>
      <DialogFooter>
        <DialogClose asChild>
          <Button variant="outline">Cancel</Button>
        </DialogClose>
        <Button type="submit" form={formId} isBusy={create.isPending}>
          Create token
        </Button>
      </DialogFooter>
    </>
  );
}

function TokenSecret({ token }: { token: CreatedToken }) {
  const id = useId();
  return (
    <>
      <DialogHeader>
        <DialogTitle>Token {token.name} created</DialogTitle>
        <DialogDescription>Copy it now. It is not shown again.</DialogDescription>
      </DialogHeader>
      <DialogBody className="flex flex-col gap-4">
        <div className="flex flex-col gap-1.5">
          <Label htmlFor={id}>Token</Label>
          <div className="flex gap-2">
            <Input
              id={id}
              readOnly
              value={token.token}
              autoFocus
              onFocus={({ currentTarget }) => {
                currentTarget.select();
                // The beginning tells tokens apart; the browser would show the end.
                currentTarget.scrollLeft = 0;
              }}
              className="font-mono text-[0.8125rem] sm:text-[0.8125rem]"
            />
            <CopyButton text={token.token} />
          </div>
        </div>
        <Alert variant="warning">
          <TriangleAlert aria-hidden="true" />
          <p>
            Whoever has it can act as you. Keep it where you keep passwords, not in a repository.
          </p>
        </Alert>
      </DialogBody>
      <DialogFooter>
        <DialogClose asChild>
          <Button>Done</Button>
        </DialogClose>
      </DialogFooter>
    </>
  );
}
