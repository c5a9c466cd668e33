"use client";

import { useMutation } from "@tanstack/react-query";
import { useEffect, useRef, useState, type FormEvent } from "react";

import { FormError } from "@/components/common/error-state";
import { Field } from "@/components/common/field";
import { PasswordInput } from "@/components/common/password-input";
import { SetupNotice } from "@/components/landing/arrival";
import { Button } from "@/components/ui/button";
import { Input } from "@/components/ui/input";
import { useNow } from "@/hooks/use-now";
import { useSession } from "@/hooks/use-session";
import { api, unwrap } from "@/lib/api/client";
import { ApiError, asApiError } from "@/lib/api/error";
import { validate, type FieldErrors } from "@/lib/form-errors";
import { duration } from "@/lib/format";
import { navigate } from "@/lib/navigate";
import { destinationAfterSignIn } from "@/lib/next-path";
import { emailAddress } from "@/lib/validation";

type Name = "email" | "password";

const VALIDATORS = {
  email: emailAddress,
  password: (value: string) => (value === "" ? "Enter your password." : undefined),
};

/** Goes where the person wanted to go: anywhere on this origin, the server's own paths included. */
function leave(): void {
  navigate.replace(destinationAfterSignIn(window.location));
}

/** E-mail and password. */
export function SignInForm() {
  const [errors, setErrors] = useState<FieldErrors<Name>>({});
  const form = useRef<HTMLFormElement>(null);
  const isSignedIn = useSession().isSuccess;
  useEffect(() => {
    if (isSignedIn) leave();
  }, [isSignedIn]);

  const signIn = useMutation({
    mutationFn: (body: { email: string; password: string }) =>
      unwrap(api.POST("/api/session", { body })),
    onSuccess: leave,
    onError: () => {
      const field = form.current?.elements.namedItem("password");
      if (field instanceof HTMLInputElement) field.select();
    },
  });

  const submit = (event: FormEvent<HTMLFormElement>): void => {
    event.preventDefault();
    // Read from the form itself: password managers fill it without telling anyone.
    const data = new FormData(event.currentTarget);
    const values = { email: String(data.get("email")).trim(), password: String(data.get("password")) };
    const found = validate(values, VALIDATORS);
    setErrors(found);
    const first = (Object.keys(found) as Name[])[0];
    if (first !== undefined) {
      (event.currentTarget.elements.namedItem(first) as HTMLElement | null)?.focus();
      return;
    }
    signIn.mutate(values);
  };

  return (
    <>
      <h1 className="text-2xl font-semibold tracking-tight">Sign in to Kalpana</h1>
      <SetupNotice />
      <form ref={form} noValidate onSubmit={submit} aria-label="Sign in" className="mt-7 flex flex-col gap-2">
        <Field label="E-mail" error={errors.email}>
          {(control) => (
            <Input {...control} name="email" type="email" autoComplete="username" autoFocus required inputMode="email" />
          )}
        </Field>
        <Field label="Password" error={errors.password}>
          {(control) => (
            <PasswordInput {...control} name="password" autoComplete="current-password" required />
          )}
        </Field>
        {signIn.error !== null && <SignInError key={signIn.submittedAt} error={asApiError(signIn.error)} />}
        <Button type="submit" size="lg" className="mt-2 w-full" isBusy={signIn.isPending || signIn.isSuccess}>
          Sign in
        </Button>
      </form>
    </>
  );
}

/** A refused sign-in. Too many attempts count down to the next one. */
function SignInError({ error }: { error: ApiError }) {
  const [since] = useState(() => Date.now());
  const wait = error.retryAfterSeconds;
  const now = useNow(1_000, wait !== undefined);
  if (error.code === "wrong_credentials") {
    return (
      <FormError
        error={new ApiError(error.code, "This e-mail and password do not belong together.", 401, error.hint ?? "Check both and try again.")}
      />
    );
  }
  if (wait === undefined) return <FormError error={error} />;
  const left = Math.max(0, wait * 1000 - (now - since));
  const next = left === 0 ? "You can try again now." : `Try again in ${duration(Math.ceil(left / 1000) * 1000)}.`;
  return (
    <FormError
      error={
        new ApiError(
          error.code,
          error.message,
          error.status,
          // What goes on meanwhile is worth knowing.
          error.isDatabaseAway && error.hint !== undefined ? `${error.hint} ${next}` : next,
          error.requestId,
        )
      }
    />
  );
}
