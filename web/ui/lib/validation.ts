/**
 * The server's own rules, mirrored so that a mistake shows while it is typed. The server decides;
 * whatever it refuses is shown at the field as well (see `lib/form-errors.ts`).
 */

/** Returns what is wrong with a value, or nothing. */
export type Validator = (value: string) => string | undefined;

export const PASSWORD_MINIMUM = 12;
const PASSWORD_LIMIT_BYTES = 256;
export const WORKSPACE_NAME_LIMIT = 64;
const PERSON_NAME_LIMIT = 100;
const REPOSITORY_LIMIT_BYTES = 2048;
const SNAPSHOT_NOTE_LIMIT = 200;

const byteLength = (value: string): number => new TextEncoder().encode(value).length;

/** 1 to 64 of letters, digits, space, `-`, `_`, `.`; a letter or digit first and last. */
export const workspaceName: Validator = (value) => {
  if (value === "") return "Give the workspace a name.";
  if (value.length > WORKSPACE_NAME_LIMIT) return `Use at most ${WORKSPACE_NAME_LIMIT} characters.`;
  if (!/^[A-Za-z0-9 ._-]+$/.test(value)) {
    return "Use letters, digits, spaces and the signs - _ . only.";
  }
  if (!/^[A-Za-z0-9]/.test(value) || !/[A-Za-z0-9]$/.test(value)) {
    return "Begin and end with a letter or a digit.";
  }
  return undefined;
};

/** An http(s) URL with a repository in it and no credentials; empty means an empty workspace. */
export const repositoryUrl: Validator = (value) => {
  if (value === "") return undefined;
  const example = "Something like https://git.example.com/team/project.git is expected.";
  if (byteLength(value) > REPOSITORY_LIMIT_BYTES) return "This address is too long.";
  if (/[\u0000-\u0020\u007f\\]/.test(value)) return `Leave out spaces and backslashes. ${example}`;
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(value)?.[1]?.toLowerCase();
  if (scheme === undefined) {
    return /^[^/@\s]+@[^/:\s]+:/.test(value)
      ? "Use the repository's https:// address; SSH addresses cannot be cloned."
      : example;
  }
  if ((scheme !== "https" && scheme !== "http") || /^[A-Za-z0-9]+::/.test(value)) {
    return "Only https:// and http:// repositories can be cloned.";
  }
  let url: URL;
  try {
    url = new URL(value);
  } catch {
    return example;
  }
  if (url.username !== "" || url.password !== "") {
    return "Leave out the user name and password; they would be stored in the clone.";
  }
  if (value.includes("#")) return "Leave out the part after #.";
  if (repositoryDirectory(url) === "") return "This names a host but no repository.";
  return undefined;
};

/** What `git check-ref-format --branch` accepts; empty means the repository's default branch. */
export const branchName: Validator = (value) => {
  if (value === "") return undefined;
  const parts = value.split("/");
  const legal =
    byteLength(value) <= 255 &&
    !value.startsWith("-") &&
    !value.endsWith(".") &&
    !value.includes("..") &&
    !value.includes("@{") &&
    value !== "@" &&
    !/[\u0000-\u0020\u007f~^:?*[\\]/.test(value) &&
    parts.every((part) => part !== "" && !part.startsWith(".") && !part.endsWith(".lock"));
  return legal ? undefined : "Git refuses this name.";
};

/** One `@`, something on each side, plain ASCII. */
export const emailAddress: Validator = (value) => {
  const trimmed = value.trim();
  if (trimmed === "") return "Enter an e-mail address.";
  const [local = "", domain = "", ...more] = trimmed.split("@");
  const legal =
    trimmed.length <= 254 &&
    more.length === 0 &&
    local !== "" &&
    local.length <= 64 &&
    domain.split(".").every((label) => label !== "") &&
    /^[!-~]+$/.test(trimmed) &&
    !/["(),:;<>[\]\\]/.test(trimmed);
  return legal ? undefined : "This is not an e-mail address.";
};

/** 1 to 100 characters, none of them a control character. */
export const personName: Validator = (value) => {
  const trimmed = value.trim();
  if (trimmed === "") return "Enter a name.";
  if ([...trimmed].length > PERSON_NAME_LIMIT) return `Use at most ${PERSON_NAME_LIMIT} characters.`;
  if (/[\u0000-\u001f\u007f-\u009f]/.test(trimmed)) return "Leave out control characters.";
  return undefined;
};

/** A token's name follows the rule of a person's. */
export const tokenName: Validator = (value) =>
  value.trim() === "" ? "Give the token a name, so that you know it again." : personName(value);

/** Up to 200 characters, none of them a control character; empty means none. */
export const snapshotNote: Validator = (value) => {
  const trimmed = value.trim();
  if ([...trimmed].length > SNAPSHOT_NOTE_LIMIT) return `Use at most ${SNAPSHOT_NOTE_LIMIT} characters.`;
  if (/[\u0000-\u001f\u007f-\u009f]/.test(trimmed)) return "Leave out control characters.";
  return undefined;
};

/** One rule of a new password, and whether it is kept. */
export interface PasswordRule {
  id: string;
  label: string;
  isMet: boolean;
}

/** Returns every rule of a new password with its present state, for showing while typing. */
export function passwordRules(value: string): PasswordRule[] {
  return [
    {
      id: "length",
      label: `At least ${PASSWORD_MINIMUM} characters`,
      isMet: [...value.normalize("NFKC")].length >= PASSWORD_MINIMUM,
    },
    { id: "limit", label: `At most ${PASSWORD_LIMIT_BYTES} bytes`, isMet: byteLength(value) <= PASSWORD_LIMIT_BYTES },
  ];
}

/** All of {@link passwordRules}. */
export const newPassword: Validator = (value) => {
  if (value === "") return "Choose a password.";
  const broken = passwordRules(value).find((rule) => !rule.isMet);
  if (broken === undefined) return undefined;
  return broken.id === "length"
    ? `Use at least ${PASSWORD_MINIMUM} characters.`
    : `Use at most ${PASSWORD_LIMIT_BYTES} bytes.`;
};

/** Proposes a workspace's name from its repository's URL, as the server names the clone. */
export function nameFromRepository(value: string): string {
  if (repositoryUrl(value) !== undefined || value === "") return "";
  const proposed = repositoryDirectory(new URL(value))
    .slice(0, WORKSPACE_NAME_LIMIT)
    .replace(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, "");
  return workspaceName(proposed) === undefined ? proposed : "";
}

/** The last path segment without `.git`, reduced to safe characters: what the clone is called. */
function repositoryDirectory(url: URL): string {
  const last = url.pathname.split("/").findLast((segment) => segment !== "") ?? "";
  return last
    .replace(/\.git$/, "")
    .replace(/[^A-Za-z0-9._-]/g, "-")
    .slice(0, 100)
    .replace(/^[.-]+|[.-]+$/g, "");
}
