/** Which field of a person's form a refusal belongs to, by the API's stable codes. */
export const PERSON_CODES: Readonly<Record<string, "name" | "email" | "password">> = {
  invalid_name: "name",
  invalid_email: "email",
  email_taken: "email",
  password_too_short: "password",
  password_too_long: "password",
  password_too_weak: "password",
};
