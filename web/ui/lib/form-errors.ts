import { ApiError } from "@/lib/api/error";

/** What is wrong, per field. */
export type FieldErrors<Field extends string> = Partial<Record<Field, string>>;

/** A refusal sorted out for a form: what belongs at a field, and what concerns the whole. */
export interface FormProblem<Field extends string> {
  fields: FieldErrors<Field>;
  /** Shown above the buttons, when no field is to blame. */
  form?: ApiError;
}

/**
 * Puts a server's refusal where it belongs. `codes` maps the API's stable codes to the form's
 * fields; whatever is not in it concerns the whole form.
 */
export function placeError<Field extends string>(
  error: ApiError,
  codes: Readonly<Record<string, Field>>,
): FormProblem<Field> {
  const field = Object.hasOwn(codes, error.code) ? codes[error.code] : undefined;
  if (field === undefined) return { fields: {}, form: error };
  const text = error.hint === undefined ? error.message : `${error.message} ${error.hint}`;
  return { fields: { [field]: text } as FieldErrors<Field> };
}

/** Runs every field's validator and returns what is wrong; empty when all is well. */
export function validate<Field extends string>(
  values: Readonly<Record<Field, string>>,
  validators: Readonly<Partial<Record<Field, (value: string) => string | undefined>>>,
): FieldErrors<Field> {
  const errors: FieldErrors<Field> = {};
  for (const name of Object.keys(validators) as Field[]) {
    const problem = validators[name]?.(values[name]);
    if (problem !== undefined) errors[name] = problem;
  }
  return errors;
}
