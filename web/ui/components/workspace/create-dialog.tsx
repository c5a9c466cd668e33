"use client";

import { Plus } from "lucide-react";
import { useId, useRef, useState, type FormEvent } from "react";

import { FormError } from "@/components/common/error-state";
import { Field } from "@/components/common/field";
import { SizeChoice } from "@/components/workspace/size-choice";
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
import { useSite } from "@/hooks/use-site";
import { useCreateWorkspace } from "@/hooks/use-workspaces";
import { asApiError } from "@/lib/api/error";
import type { NewWorkspace } from "@/lib/api/workspaces";
import { placeError, validate, type FieldErrors, type FormProblem } from "@/lib/form-errors";
import { branchName, nameFromRepository, repositoryUrl, workspaceName } from "@/lib/validation";

type Name = keyof NewWorkspace;

const VALIDATORS = { repository: repositoryUrl, name: workspaceName, branch: branchName };

/** Which field a refusal belongs to, by the API's stable codes. */
export const CREATE_CODES: Readonly<Record<string, Name>> = {
  invalid_name: "name",
  invalid_repository: "repository",
  invalid_branch: "branch",
  invalid_size: "size",
};

interface CreateDialogProps {
  isOpen: boolean;
  onOpenChange(isOpen: boolean): void;
}

/** The button "New workspace" and what it opens. */
export function CreateDialog({ isOpen, onOpenChange }: CreateDialogProps) {
  return (
    <Dialog open={isOpen} onOpenChange={onOpenChange}>
      <DialogTrigger asChild>
        <Button>
          <Plus aria-hidden="true" />
          New workspace
        </Button>
      </DialogTrigger>
      <DialogContent>
        <DialogHeader>
          <DialogTitle>New workspace</DialogTitle>
          <DialogDescription>
            A container of its own, with VS Code in the browser.
          </DialogDescription>
        </DialogHeader>
        <CreateForm />
      </DialogContent>
    </Dialog>
  );
}

/** The form itself. Exported for its tests. */
export function CreateForm() {
  const site = useSite();
  const create = useCreateWorkspace();
  const formId = useId();
  const form = useRef<HTMLFormElement>(null);
  const [values, setValues] = useState<NewWorkspace>({ name: "", repository: "", branch: "", size: "small" });
  const [isNameOwn, setIsNameOwn] = useState(false);
  // A field complains once it was left, and from then on while it is typed in.
  const [touched, setTouched] = useState<ReadonlySet<Name>>(new Set());
  const [refusal, setRefusal] = useState<FormProblem<Name>>({ fields: {} });
  // The same wish, sent again after a failure, must not make a second workspace.
  const sent = useRef<{ body: string; key: string }>({ body: "", key: "" });

  const wrong = validate(values, VALIDATORS);
  if (values.branch !== "" && values.repository === "") wrong.branch ??= "A branch needs a repository.";
  const shown: FieldErrors<Name> = { ...refusal.fields };
  for (const name of touched) if (wrong[name] !== undefined) shown[name] = wrong[name];

  const change = (name: Name, value: string): void => {
    setValues((known) => {
      const changed = { ...known, [name]: value };
      if (name === "repository" && !isNameOwn) changed.name = nameFromRepository(value.trim());
      return changed;
    });
    if (name === "name") setIsNameOwn(value !== "");
    setRefusal((known) => ({ ...known, fields: { ...known.fields, [name]: undefined } }));
  };
  const leave = (name: Name): void => {
    if (values[name] !== "") setTouched((known) => new Set(known).add(name));
  };
  const focusFirst = (fields: FieldErrors<Name>): void => {
    const first = (["repository", "name", "branch", "size"] as const).find((name) => fields[name] !== undefined);
    if (first !== undefined) (form.current?.elements.namedItem(first) as HTMLElement | null)?.focus();
  };

  const submit = (event: FormEvent): void => {
    event.preventDefault();
    setTouched(new Set(["name", "repository", "branch"]));
    setRefusal({ fields: {} });
    if (Object.keys(wrong).length > 0) {
      focusFirst(wrong);
      return;
    }
    const body = JSON.stringify(values);
    if (sent.current.body !== body) sent.current = { body, key: crypto.randomUUID() };
    create.mutate(
      { wish: values, idempotencyKey: sent.current.key },
      {
        onError: (cause) => {
          const placed = placeError(asApiError(cause), CREATE_CODES);
          setRefusal(placed);
          focusFirst(placed.fields);
        },
      },
    );
  };

  const text = (name: "name" | "repository" | "branch") => ({
    name,
    value: values[name],
    onChange: (event: React.ChangeEvent<HTMLInputElement>) => change(name, event.target.value),
    onBlur: () => leave(name),
    autoComplete: "off",
    spellCheck: false,
    autoCapitalize: "none",
  });

  return (
    <>
      <DialogBody>
        <form id={formId} ref={form} noValidate onSubmit={submit} className="flex flex-col gap-2">
          <Field
            label="Git repository URL"
            note="Optional"
            hint="An https:// address. Without one the workspace starts empty."
            error={shown.repository}
          >
            {(control) => (
              <Input
                {...control}
                {...text("repository")}
                inputMode="url"
                placeholder="https://git.example.com/team/project.git"
              />
            )}
          </Field>
          <div className="grid gap-x-4 gap-y-2 sm:grid-cols-2">
            <Field label="Name" error={shown.name} hint="Only for you to know it by.">
              {(control) => <Input {...control} {...text("name")} required placeholder="project" />}
            </Field>
            <Field label="Branch" note="Optional" error={shown.branch} hint="The default one if empty.">
              {(control) => <Input {...control} {...text("branch")} placeholder="main" />}
            </Field>
          </div>
          <SizeChoice
            sizes={site.data?.sizes}
            value={values.size}
            onChange={(size) => change("size", size)}
            error={shown.size}
          />
          {refusal.form !== undefined && <FormError error={refusal.form} />}
        </form>
      </DialogBody>
      <DialogFooter>
        <DialogClose asChild>
          <Button variant="outline">Cancel</Button>
        </DialogClose>
        <Button type="submit" form={formId} isBusy={create.isPending || create.isSuccess}>
          Create workspace
        </Button>
      </DialogFooter>
    </>
  );
}
