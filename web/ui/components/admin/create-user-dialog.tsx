"use client";

import { Plus } from "lucide-react";
import { useId, useRef, useState, type FormEvent } from "react";
import { toast } from "sonner";

import { FormError } from "@/components/common/error-state";
import { Field } from "@/components/common/field";
import { PasswordInput } from "@/components/common/password-input";
import { PasswordRules } from "@/components/common/password-rules";
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
  DialogTrigger,
} from "@/components/ui/dialog";
import { Input } from "@/components/ui/input";
import { NativeSelect } from "@/components/ui/native-select";
import { useCreateUser } from "@/hooks/use-users";
import { asApiError } from "@/lib/api/error";
import type { Role } from "@/lib/api/types";
import { placeError, validate, type FormProblem } from "@/lib/form-errors";
import { PERSON_CODES } from "@/lib/user-form";
import { emailAddress, newPassword, personName } from "@/lib/validation";

type Name = "name" | "email" | "password";

const VALIDATORS = { name: personName, email: emailAddress, password: newPassword };

/** The button "New person" and what it opens. */
export function CreateUserDialog() {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <Dialog open={isOpen} onOpenChange={setIsOpen}>
      <DialogTrigger asChild>
        <Button>
          <Plus aria-hidden="true" />
          New person
        </Button>
      </DialogTrigger>
      <DialogContent>
        <DialogHeader>
          <DialogTitle>New person</DialogTitle>
          <DialogDescription>They sign in with this e-mail and password. Hand the password over safely.</DialogDescription>
        </DialogHeader>
        <UserForm onDone={() => setIsOpen(false)} />
      </DialogContent>
    </Dialog>
  );
}

function UserForm({ onDone }: { onDone(): void }) {
  const create = useCreateUser();
  const formId = useId();
  const form = useRef<HTMLFormElement>(null);
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState<FormProblem<Name>>({ fields: {} });

  const show = (found: FormProblem<Name>): void => {
    setProblem(found);
    const first = (Object.keys(VALIDATORS) as Name[]).find((name) => found.fields[name] !== undefined);
    if (first !== undefined) (form.current?.elements.namedItem(first) as HTMLElement | null)?.focus();
  };

  const submit = (event: FormEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const values = {
      name: String(data.get("name")).trim(),
      email: String(data.get("email")).trim(),
      password: String(data.get("password")),
    };
    const fields = validate(values, VALIDATORS);
    show({ fields });
    if (Object.keys(fields).length > 0) return;
    create.mutate(
      { ...values, role: data.get("role") as Role },
      {
        onSuccess: () => {
          toast.success(`${values.name} can sign in now`);
          onDone();
        },
        onError: (cause) => show(placeError(asApiError(cause), PERSON_CODES)),
      },
    );
  };

  return (
    <>
      <DialogBody>
        <form id={formId} ref={form} noValidate onSubmit={submit} className="flex flex-col gap-2">
          <div className="grid gap-x-4 gap-y-2 sm:grid-cols-2">
            <Field label="Name" error={problem.fields.name}>
              {(control) => <Input {...control} name="name" autoComplete="off" required />}
            </Field>
            <Field label="Role" hint="Administrators manage people.">
              {(control) => (
                <NativeSelect {...control} name="role" defaultValue="member">
                  <option value="member">Member</option>
                  <option value="administrator">Administrator</option>
                </NativeSelect>
              )}
            </Field>
          </div>
          <Field label="E-mail" error={problem.fields.email}>
            {(control) => <Input {...control} name="email" type="email" inputMode="email" autoComplete="off" required />}
          </Field>
          <Field label="Password" error={problem.fields.password}>
            {(control) => (
              <PasswordInput
                {...control}
                name="password"
                autoComplete="new-password"
                required
                value={password}
                onChange={(event) => setPassword(event.target.value)}
              />
            )}
          </Field>
          <PasswordRules value={password} />
          {problem.form !== undefined && <FormError error={problem.form} />}
        </form>
      </DialogBody>
      <DialogFooter>
        <DialogClose asChild>
          <Button variant="outline">Cancel</Button>
        </DialogClose>
        <Button type="submit" form={formId} isBusy={create.isPending}>
          Create person
        </Button>
      </DialogFooter>
    </>
  );
}
