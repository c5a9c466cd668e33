import { describe, expect, it } from "vitest";

import { isPublicPath, workspaceIdFromPath } from "@/lib/navigate";
import { destinationAfterSignIn, HOME, safeNext, signInPath } from "@/lib/next-path";

const ORIGIN = "https://kalpana.localhost:8443";

describe("safeNext", () => {
  it.each([
    "/",
    "/dashboard",
    "/workspace/kx3v9qm2w7ta?tab=log",
    "/auth/workspace?host=kx3v9qm2w7ta&rid=abc&to=%2F%3Fx%3D1",
    "/account#tokens",
    "/a//b",
  ])("keeps the path %j of this origin", (path) => {
    expect(safeNext(path, ORIGIN)).toBe(path);
  });

  it.each([
    null,
    undefined,
    "",
    "dashboard",
    "https://evil.example/",
    "//evil.example/",
    "///evil.example/",
    "/\\evil.example/",
    "\\/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "\t//evil.example",
    " /dashboard",
    "javascript:alert(1)",
    "data:text/html,x",
    "https:evil.example",
    "/dashboard\u0000",
  ])("sends %j to the dashboard", (path) => {
    expect(safeNext(path, ORIGIN)).toBe(HOME);
  });

  it.each(["/login", "/login?next=%2Flogin", "/login/", "/x/../login"])("does not go round by %j", (path) => {
    expect(safeNext(path, ORIGIN)).toBe(HOME);
  });
});

describe("the way to sign-in and back", () => {
  it("ends where it began, query and fragment included", () => {
    const here = { pathname: "/workspace/kx3v9qm2w7ta", search: "?a=1&b=%26", hash: "#L3" };
    const signIn = new URL(signInPath(here), ORIGIN);
    expect(signIn.pathname).toBe("/login");
    expect(destinationAfterSignIn(signIn)).toBe("/workspace/kx3v9qm2w7ta?a=1&b=%26#L3");
  });

  it("prefers the fragment that is part of the wanted path", () => {
    const signIn = new URL("/login?next=%2Faccount%23tokens#other", ORIGIN);
    expect(destinationAfterSignIn(signIn)).toBe("/account#tokens");
  });
});

describe("workspaceIdFromPath", () => {
  it("reads the id out of the address", () => {
    expect(workspaceIdFromPath("/workspace/kx3v9qm2w7ta")).toBe("kx3v9qm2w7ta");
    expect(workspaceIdFromPath("/workspace/kx3v9qm2w7ta/")).toBe("kx3v9qm2w7ta");
  });

  it.each(["/workspace", "/workspace/", "/workspace/a/b", "/dashboard", "/workspace/%E0%A4%A"])(
    "finds none in %j",
    (path) => {
      expect(workspaceIdFromPath(path)).toBeUndefined();
    },
  );
});

it("knows which pages need nobody signed in", () => {
  expect(["/", "/login", "/setup", "/login/"].map(isPublicPath)).toEqual([true, true, true, true]);
  expect(["/dashboard", "/workspace/x", "/loginx"].map(isPublicPath)).toEqual([false, false, false]);
});
