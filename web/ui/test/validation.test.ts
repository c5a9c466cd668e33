import { describe, expect, it } from "vitest";

import { ApiError } from "@/lib/api/error";
import { placeError, validate } from "@/lib/form-errors";
import {
  branchName,
  emailAddress,
  nameFromRepository,
  newPassword,
  passwordRules,
  personName,
  repositoryUrl,
  snapshotNote,
  workspaceName,
} from "@/lib/validation";

// The accepted and refused texts are those of the server's own tests, so that the two agree.
describe("repositoryUrl", () => {
  it.each([
    "",
    "https://github.com/rust-lang/rust.git",
    "https://git.example.com:8443/team/api",
    "http://10.0.0.7:3000/team/my%20tool.git/",
    "https://example.com/a/.hidden.git",
  ])("accepts %j", (url) => {
    expect(repositoryUrl(url)).toBeUndefined();
  });

  it.each([
    "ext::sh -c whoami",
    "ext::sh",
    "EXT::sh",
    "file:///etc/passwd",
    "/etc/passwd",
    "../secret",
    "ssh://-oProxyCommand=touch%20x/y",
    "ssh://git@example.com/a/b",
    "git@example.com:team/project.git",
    "git://example.com/a",
    "--upload-pack=touch x",
    "-u",
    "fd::7",
    "http::https://example.com/a",
    "javascript:alert(1)",
    "https://example.com/a\nb",
    "https://example.com/a b",
    "https://example.com\\@evil.example/a",
    "https://token@example.com/a/b",
    "https://user:secret@example.com/a/b",
    "https://example.com",
    "https://example.com/",
    "https://example.com/.git",
    "https://example.com/a#b",
    `https://example.com/${"a".repeat(2048)}`,
  ])("refuses %j", (url) => {
    expect(repositoryUrl(url)).toEqual(expect.any(String));
  });

  it("says what to use in place of an SSH address", () => {
    expect(repositoryUrl("git@example.com:team/project.git")).toContain("https://");
  });
});

describe("branchName", () => {
  it.each(["", "main", "feature/x", "v1.2.3", "über"])("accepts %j", (name) => {
    expect(branchName(name)).toBeUndefined();
  });

  it.each(["-b", "--upload-pack=x", "a..b", "a b", "a~1", "a.lock", ".a", "a/", "/a", "@", "a@{1}", "a\\b", "a."])(
    "refuses %j",
    (name) => {
      expect(branchName(name)).toEqual(expect.any(String));
    },
  );
});

describe("workspaceName", () => {
  it.each(["a", "My project 2", "a.b_c-d", "x".repeat(64)])("accepts %j", (name) => {
    expect(workspaceName(name)).toBeUndefined();
  });

  it.each(["", " a", "a ", "-a", "a.", "naïve", "🚀", "a/b", "x".repeat(65)])("refuses %j", (name) => {
    expect(workspaceName(name)).toEqual(expect.any(String));
  });
});

describe("emailAddress", () => {
  it.each(["ada@example.com", " Ada@Example.com ", "a@localhost"])("accepts %j", (address) => {
    expect(emailAddress(address)).toBeUndefined();
  });

  it.each(["", "ada", "@example.com", "ada@", "a@b@c", "a b@c", "a@b..c", "аda@b", `${"a".repeat(300)}@example.com`])(
    "refuses %j",
    (address) => {
      expect(emailAddress(address)).toEqual(expect.any(String));
    },
  );
});

describe("passwords and names", () => {
  it("counts characters, not bytes or code units", () => {
    expect(newPassword("🐘".repeat(11))).toBe("Use at least 12 characters.");
    expect(newPassword("🐘".repeat(12))).toBeUndefined();
    expect(newPassword("x".repeat(257))).toBe("Use at most 256 bytes.");
  });

  it("shows each rule as it stands", () => {
    expect(passwordRules("short").map(({ isMet }) => isMet)).toEqual([false, true]);
    expect(passwordRules("long enough now").map(({ isMet }) => isMet)).toEqual([true, true]);
  });

  it("wants a name without control characters", () => {
    expect(personName("Grace Hopper")).toBeUndefined();
    expect(personName("  ")).toEqual(expect.any(String));
    expect(personName("a\u0007b")).toEqual(expect.any(String));
    expect(personName("x".repeat(101))).toEqual(expect.any(String));
  });

  it("takes a short line, or none, for a snapshot's note", () => {
    for (const note of ["", " a b ", "ü".repeat(200), "🦚".repeat(200), ` ${"x".repeat(200)} `]) {
      expect(snapshotNote(note)).toBeUndefined();
    }
    expect(snapshotNote("ü".repeat(201))).toBe("Use at most 200 characters.");
    expect(snapshotNote("a\tb")).toBe("Leave out control characters.");
  });
});

describe("nameFromRepository", () => {
  it.each([
    ["https://git.example.com/team/hello-world.git", "hello-world"],
    ["https://git.example.com/team/my%20tool/", "my-20tool"],
    ["https://git.example.com", ""],
    ["nonsense", ""],
    ["", ""],
  ])("proposes for %j the name %j", (url, name) => {
    expect(nameFromRepository(url)).toBe(name);
  });
});

describe("placeError", () => {
  const codes = { invalid_branch: "branch" } as const;

  it("puts a refusal at the field it is about, with its hint", () => {
    const error = new ApiError("invalid_branch", "Not a branch.", 400, "Try main.");
    expect(placeError(error, codes)).toEqual({ fields: { branch: "Not a branch. Try main." } });
  });

  it("leaves all else to the form", () => {
    for (const code of ["quota_exceeded", "toString", "__proto__"]) {
      const error = new ApiError(code, "No.", 409);
      expect(placeError(error, codes)).toEqual({ fields: {}, form: error });
    }
  });
});

it("validate names only the fields that are wrong", () => {
  expect(validate({ name: "ok", branch: "-b" }, { name: workspaceName, branch: branchName })).toEqual({
    branch: expect.any(String) as string,
  });
});
