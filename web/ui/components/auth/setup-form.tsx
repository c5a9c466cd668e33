"use client";

import { useMutation } from "@tanstack/react-query";
import { KeyRound } from "lucide-react";
import { useRef, useState, useSyncExternalStore, type FormEvent } from "react";

import { FormError } from "@/components/common/error-state";
import { Field } from "@/components/common/field";
import { PasswordInput } from "@/components/common/password-input";
import { PasswordRules } from "@/components/common/password-rules";
import { Button } from "@/components/ui/button";
import { Input } from "@/components/ui/input";
import { Skeleton } from "@/components/ui/skeleton";
import { useSite } from "@/hooks/use-site";
import { api, unwrap } from "@/lib/api/client";
import { asApiError } from "@/lib/api/error";
import { placeError, validate, type FormProblem } from "@/lib/form-errors";
import { navigate } from "@/lib/navigate";
import { takeSetupToken } from "@/lib/setup-token";
import { PERSON_CODES } from "@/lib/user-form";
import { emailAddress, newPassword, personName } from "@/lib/validation";

type Name = "name" | "email" | "password";

const VALIDATORS = { name: personName, email: emailAddress, password: newPassword };
const never = (): (() => void) => () => undefined;

/** Creates the first administrator, with the one-time link that the server printed. */
export function SetupForm() {
  const token = useSyncExternalStore<string | null | undefined>(never, takeSetupToken, () => undefined);
  const site = useSite();

  // One and the same secret opens the door once; what follows depends on what became of it.
  if (token === undefined) return <SetupSkeleton />;
  if (site.data?.setup_required === false) return <Used />;
  if (token === null) return <NoToken />;
  return <AdministratorForm token={token} />;
}

function AdministratorForm({ token }: { token: string }) {
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState<FormProblem<Name>>({ fields: {} });
  const form = useRef<HTMLFormElement>(null);

  const focus = (name: Name): void => {
    (form.current?.elements.namedItem(name) as HTMLElement | null)?.focus();
  };
  const setup = useMutation({
    mutationFn: (values: Record<Name, string>) =>
      unwrap(api.POST("/api/setup", { body: { token, ...values } })),
    onSuccess: () => navigate.replace("/dashboard"),
    onError: (cause) => {
      const placed = placeError(asApiError(cause), PERSON_CODES);
      setProblem(placed);
      const first = (Object.keys(placed.fields) as Name[])[0];
      if (first !== undefined) focus(first);
    },
  });

  const submit = (event: FormEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const values = {
      name: String(data.get("name")).trim(),
      email: String(data.get("email")).trim(),
      password: String(data.get("password")),
    };
    const fields = validate(values, VALIDATORS);
    setProblem({ fields });
    const first = (Object.keys(VALIDATORS) as Name[]).find((name) => fields[name] !== undefined);
    if (first === undefined) setup.mutate(values);
    else focus(first);
  };

  if (problem.form?.code === "setup_done") return <Used />;
  if (problem.form?.code === "setup_token_invalid") return <WrongToken />;
  return (
    <>
      <h1 className="text-2xl font-semibold tracking-tight text-balance">Create the first administrator</h1>
      <p className="mt-2 text-[0.9375rem] leading-relaxed text-pretty text-muted-foreground">
        This account manages people on this Kalpana. The setup link works once.
      </p>
      <form
        ref={form}
        noValidate
        onSubmit={submit}
        aria-label="Create the first administrator"
        className="mt-7 flex flex-col gap-2"
      >
        <Field label="Name" error={problem.fields.name}>
          {(control) => <Input {...control} name="name" autoComplete="name" autoFocus required />}
        </Field>
        <Field label="E-mail" error={problem.fields.email}>
          {(control) => (
            <Input {...control} name="email" type="email" autoComplete="username" inputMode="email" required />
          )}
        </Field>
        <Field
          label="Password"
          error={problem.fields.password}
          hint={<>A few unrelated words make a good one.</>}
        >
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
        <Button type="submit" size="lg" className="mt-4 w-full" isBusy={setup.isPending || setup.isSuccess}>
          Create administrator
        </Button>
      </form>
    </>
  );
}

function Used() {
  return (
    <Notice title="Setup is done already">
      <p>This Kalpana has its first administrator, and the setup link has lost its power.</p>
      <Button asChild className="mt-6">
        <a href="/login">Sign in</a>
      </Button>
    </Notice>
  );
}

function WrongToken() {
  return (
    <Notice title="This setup link is not valid">
      <p>
        Each start of a server without accounts prints a new link and makes the older ones void. Open
        the newest one in the server&rsquo;s log.
      </p>
      <p className="mt-3">
        <code className="font-mono text-xs">setup_token_invalid</code>
      </p>
    </Notice>
  );
}

function NoToken() {
  return (
    <Notice title="Open the setup link">
      <p>
        This page needs the one-time link that the server printed in its log when it started. If you
        reloaded the page, open the link again.
      </p>
    </Notice>
  );
}

function Notice({ title, children }: { title: string; children: React.ReactNode }) {
  return (
    <div role="status">
      <span className="grid size-10 place-items-center rounded-full bg-warning-surface text-warning">
        <KeyRound aria-hidden="true" className="size-5" />
      </span>
      <h1 className="mt-5 text-2xl font-semibold tracking-tight text-balance">{title}</h1>
      <div className="mt-2 text-[0.9375rem] leading-relaxed text-pretty text-muted-foreground">{children}</div>
    </div>
  );
}

function SetupSkeleton() {
  return (
    <>
      <h1 className="sr-only">Set up Kalpana</h1>
      <Skeleton className="h-8 w-4/5" />
      <Skeleton className="mt-3 h-12 w-full" />
      <Skeleton className="mt-8 h-64 w-full" />
      <noscript>
        <p className="mt-4 text-sm">Setting up needs JavaScript.</p>
      </noscript>
    </>
  );
}
