import { beforeEach, expect, it, vi } from "vitest";

beforeEach(() => {
  vi.resetModules();
});

it("takes the token out of the address and keeps it for the page", async () => {
  window.history.replaceState(null, "", "/setup?a=1#token=s3cret");
  const { takeSetupToken } = await import("@/lib/setup-token");
  expect(takeSetupToken()).toBe("s3cret");
  expect(window.location.pathname + window.location.search + window.location.hash).toBe("/setup?a=1");
  expect(takeSetupToken()).toBe("s3cret");
});

it.each(["/setup", "/setup#token=", "/setup?token=s3cret"])("knows that %s has none", async (path) => {
  window.history.replaceState(null, "", path);
  const { takeSetupToken } = await import("@/lib/setup-token");
  expect(takeSetupToken()).toBeNull();
});
