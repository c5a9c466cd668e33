"use client";

import { useId, useRef, useState, type FormEvent } from "react";
import { toast } from "sonner";

import { FormError } from "@/components/common/error-state";
import { Field } from "@/components/common/field";
import { PasswordInput } from "@/components/common/password-input";
import { PasswordRules } from "@/components/common/password-rules";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { Checkbox } from "@/components/ui/checkbox";
import { Label } from "@/components/ui/label";
import { useChangePassword } from "@/hooks/use-places";
import { asApiError } from "@/lib/api/error";
import type { User } from "@/lib/api/types";
import { placeError, validate, type FormProblem } from "@/lib/form-errors";
import { newPassword } from "@/lib/validation";

type Name = "current" | "new";

const NAMES: readonly Name[] = ["current", "new"];

const VALIDATORS = {
  current: (value: string) => (value === "" ? "Enter your current password." : undefined),
  new: newPassword,
};

const CODES: Readonly<Record<string, Name>> = {
  wrong_password: "current",
  password_unchanged: "new",
  password_too_short: "new",
  password_too_long: "new",
  password_too_weak: "new",
};

/** Changes my password, for who knows the current one. */
export function PasswordForm({ user }: { user: User }) {
  const change = useChangePassword();
  const form = useRef<HTMLFormElement>(null);
  const id = useId();
  const [password, setPassword] = useState("");
  const [isRevoking, setIsRevoking] = useState(false);
  const [problem, setProblem] = useState<FormProblem<Name>>({ fields: {} });

  const show = (found: FormProblem<Name>): void => {
    setProblem(found);
    const first = NAMES.find((name) => found.fields[name] !== undefined);
    if (first !== undefined) (form.current?.elements.namedItem(first) as HTMLElement | null)?.focus();
  };

  const submit = (event: FormEvent<HTMLFormElement>): void => {
    event.preventDefault();
    // Read from the form itself: password managers fill it without telling anyone.
    const data = new FormData(event.currentTarget);
    const values = { current: String(data.get("current")), new: String(data.get("new")) };
    const fields = validate(values, VALIDATORS);
    show({ fields });
    if (Object.keys(fields).length > 0) return;
    change.mutate(
      { ...values, revoke_tokens: isRevoking },
      {
        onSuccess: () => {
          form.current?.reset();
          setPassword("");
          setIsRevoking(false);
          toast.success("Password changed", {
            description: isRevoking
              ? "You are signed out everywhere else, and your API tokens are revoked."
              : "You are signed out everywhere else. Your API tokens stay.",
          });
        },
        onError: (cause) => show(placeError(asApiError(cause), CODES)),
      },
    );
  };

  return (
    <Card className="p-4 sm:p-5">
      <form
        ref={form}
        noValidate
        onSubmit={submit}
        aria-label="Change password"
        className="flex max-w-sm flex-col gap-2"
      >
        {/* Tells password managers whose password it is. */}
        <input type="email" name="username" autoComplete="username" value={user.email} readOnly hidden />
        <Field label="Current password" error={problem.fields.current}>
          {(control) => <PasswordInput {...control} name="current" autoComplete="current-password" required />}
        </Field>
        <Field label="New password" error={problem.fields.new} hint="A few unrelated words make a good one.">
          {(control) => (
            <PasswordInput
              {...control}
              name="new"
              autoComplete="new-password"
              required
              value={password}
              onChange={(event) => setPassword(event.target.value)}
            />
          )}
        </Field>
        <PasswordRules value={password} />
        <div className="flex min-h-8 items-center gap-3">
          <Checkbox
            id={`${id}-tokens`}
            checked={isRevoking}
            onCheckedChange={(checked) => setIsRevoking(checked === true)}
          />
          <Label htmlFor={`${id}-tokens`} className="flex-1 py-1 font-normal">
            Revoke my API tokens as well
          </Label>
        </div>
        {problem.form !== undefined && <FormError error={problem.form} />}
        <div className="mt-2">
          <Button type="submit" isBusy={change.isPending}>
            Change password
          </Button>
        </div>
      </form>
    </Card>
  );
}
