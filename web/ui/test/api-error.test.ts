import { QueryObserver } from "@tanstack/react-query";
import { describe, expect, it, vi } from "vitest";

import { api, unwrap } from "@/lib/api/client";
import { everyPage } from "@/lib/api/pages";
import { ApiError, asApiError, retryAfterSeconds } from "@/lib/api/error";
import { navigate } from "@/lib/navigate";
import { askAgainAfter, keys, makeQueryClient, onApiFailure } from "@/lib/query";
import { json, refusal, serve } from "./fixtures";

describe("unwrap", () => {
  it("returns the body of a success", async () => {
    serve({ "GET /api/workspaces": () => json(200, { workspaces: [] }) });
    await expect(unwrap(api.GET("/api/workspaces"))).resolves.toEqual({ workspaces: [] });
  });

  it("throws what the server says", async () => {
    serve({
      "POST /api/session": () =>
        json(429, { error: { code: "too_many_attempts", message: "too many attempts", request_id: "r1" } }, { "retry-after": "30" }),
    });
    const body = { email: "a@b", password: "x" };
    await expect(unwrap(api.POST("/api/session", { body }))).rejects.toMatchObject({
      code: "too_many_attempts",
      message: "Too many attempts.",
      status: 429,
      requestId: "r1",
      retryAfterSeconds: 30,
      isTransient: false,
    });
  });

  it("makes a sentence of a gateway's own page", async () => {
    serve({ "GET /api/session": () => new Response("<h1>Bad Gateway</h1>", { status: 502, headers: { "content-type": "text/html" } }) });
    await expect(unwrap(api.GET("/api/session"))).rejects.toMatchObject({ code: "http_502", isTransient: true });
  });

  it("says when there was no answer at all", async () => {
    serve({
      "GET /api/session": () => {
        throw new TypeError("Failed to fetch");
      },
    });
    await expect(unwrap(api.GET("/api/session"))).rejects.toMatchObject({ code: "server_unreachable", isTransient: true });
  });

  it("takes an empty answer for the success it is", async () => {
    serve({ "DELETE /api/session": () => new Response(null, { status: 204 }) });
    await expect(unwrap(api.DELETE("/api/session"))).resolves.toBeUndefined();
  });
});

describe("being signed out", () => {
  it("leads to sign-in and back, from any query", async () => {
    window.history.replaceState(null, "", "/workspace/kx3v9qm2w7ta?a=1#x");
    const replace = vi.spyOn(navigate, "replace").mockReturnValue();
    serve({ "GET /api/workspaces": () => refusal(401, "unauthenticated", "You are not signed in.") });
    const client = makeQueryClient();
    await client
      .fetchQuery({ queryKey: keys.workspaces, queryFn: () => unwrap(api.GET("/api/workspaces")) })
      .catch(() => undefined);
    expect(replace).toHaveBeenCalledWith("/login?next=%2Fworkspace%2Fkx3v9qm2w7ta%3Fa%3D1#x");
  });

  it("is no reason to leave a page that needs nobody", () => {
    window.history.replaceState(null, "", "/login");
    const replace = vi.spyOn(navigate, "replace").mockReturnValue();
    onApiFailure(new ApiError("unauthenticated", "You are not signed in.", 401));
    expect(replace).not.toHaveBeenCalled();
  });

  it("is not what a wrong password means, nor any other refusal", () => {
    window.history.replaceState(null, "", "/dashboard");
    const replace = vi.spyOn(navigate, "replace").mockReturnValue();
    onApiFailure(new ApiError("wrong_credentials", "No.", 401));
    onApiFailure(new ApiError("forbidden", "No.", 403));
    onApiFailure(new TypeError("broken"));
    expect(replace).not.toHaveBeenCalled();
  });
});

describe("everyPage", () => {
  it("follows the cursors to the end", async () => {
    const pages: Record<string, { items: number[]; next?: string | null }> = {
      "": { items: [1, 2], next: "b" },
      b: { items: [3], next: "c" },
      c: { items: [4], next: null },
    };
    await expect(everyPage(async ({ cursor = "" }) => pages[cursor] ?? { items: [] })).resolves.toEqual([1, 2, 3, 4]);
  });

  it("stops at a server that goes round", async () => {
    const read = vi.fn(async () => ({ items: [1], next: "again" }));
    await expect(everyPage(read)).resolves.toEqual([1, 1]);
    expect(read).toHaveBeenCalledTimes(2);
  });
});

it("reads Retry-After as seconds or as a date", () => {
  expect(retryAfterSeconds("42")).toBe(42);
  expect(retryAfterSeconds("Thu, 01 Jan 2026 00:00:30 GMT", Date.parse("2026-01-01T00:00:00Z"))).toBe(30);
  expect(retryAfterSeconds("soon")).toBeUndefined();
  expect(retryAfterSeconds(null)).toBeUndefined();
});

it("has a shape for whatever was thrown", () => {
  expect(asApiError(new TypeError("x"))).toMatchObject({ code: "unexpected" });
});

describe("while the database is away", () => {
  const away = (wait?: number) => new ApiError("store_unavailable", "The database does not answer.", 503, undefined, undefined, wait);

  it("asks again when the server said to, within reason", () => {
    expect(askAgainAfter(away(2))).toBe(2_000);
    expect(askAgainAfter(away())).toBe(3_000);
    expect(askAgainAfter(away(0))).toBe(1_000);
    expect(askAgainAfter(away(600))).toBe(30_000);
    expect(askAgainAfter(new ApiError("workspace_not_found", "There is no such workspace.", 404))).toBe(false);
  });

  it("tells it from other failures, and signs nobody out", () => {
    expect(away().isDatabaseAway).toBe(true);
    expect(away().isSignedOut).toBe(false);
    expect(new ApiError("orchestrator_unavailable", "X.", 503).isDatabaseAway).toBe(false);
  });

  it("goes on by itself when it is back", async () => {
    vi.useFakeTimers();
    try {
      let isAway = true;
      const asked = vi.fn(() => (isAway ? Promise.reject(away(2)) : Promise.resolve("here")));
      const client = makeQueryClient();
      const observer = new QueryObserver(client, { queryKey: ["x"], queryFn: asked, retry: false });
      const stop = observer.subscribe(() => undefined);
      await vi.advanceTimersByTimeAsync(5_000);
      expect(observer.getCurrentResult().status).toBe("error");
      isAway = false;
      await vi.advanceTimersByTimeAsync(2_500);
      expect(observer.getCurrentResult().data).toBe("here");
      const count = asked.mock.calls.length;
      await vi.advanceTimersByTimeAsync(30_000);
      expect(asked).toHaveBeenCalledTimes(count);
      stop();
    } finally {
      vi.useRealTimers();
    }
  });
});
