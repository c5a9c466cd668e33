import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { toast } from "sonner";
import { beforeEach, describe, expect, it, vi } from "vitest";

import { PasswordForm } from "@/components/account/password-form";
import { PlaceList, SignOutElsewhere } from "@/components/account/place-list";
import type { Place } from "@/lib/api/types";
import { browserName } from "@/lib/format";
import { navigate } from "@/lib/navigate";

import { ada, json, refusal, renderWith, serve } from "./fixtures";

const CURRENT = "correct horse battery staple 42";
const NEW = "another horse battery staple 43";

function place(changes: Partial<Place> = {}): Place {
  return {
    id: "018f0000-0000-7000-8000-00000000000a",
    is_current: false,
    user_agent: "Phone/1.0",
    address: "192.0.2.7",
    created_at: "2026-01-01T10:00:00Z",
    last_used_at: "2026-01-02T10:00:00Z",
    expires_at: "2026-02-01T10:00:00Z",
    ...changes,
  };
}

const here = place({ id: "018f0000-0000-7000-8000-00000000000b", is_current: true, user_agent: "Laptop/2.0" });
const gone = () => new Response(null, { status: 204 });

/** What the page's one polite region is told. */
const spyOnToasts = () => ({
  success: vi.spyOn(toast, "success").mockReturnValue(""),
  error: vi.spyOn(toast, "error").mockReturnValue(""),
});
let told: ReturnType<typeof spyOnToasts>;
beforeEach(() => {
  told = spyOnToasts();
});

/** The requests that were made, as `METHOD /path`. */
function asked(fetched: ReturnType<typeof serve>): string[] {
  return fetched.mock.calls.map(([input]) =>
    input instanceof Request ? `${input.method} ${new URL(input.url).pathname}` : String(input),
  );
}

describe("names of browsers", () => {
  it("leaves out what every one of them says, and what is too long", () => {
    const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
    expect(browserName(chrome)).toBe("(X11; Linux x86_64) Chrome/140.0.0.0 Safari/537.36");
    expect(browserName("curl/8.0")).toBe("curl/8.0");
    expect([...browserName("🦀".repeat(200))]).toHaveLength(100);
    for (const nothing of [null, undefined, "", "Mozilla/5.0 "]) {
      expect(browserName(nothing)).toBe("A browser without a name");
    }
  });
});

describe("where one is signed in", () => {
  const show = () =>
    renderWith(
      <>
        <SignOutElsewhere />
        <PlaceList />
      </>,
    );

  it("names each place, this one first, and ends another", async () => {
    let places = [place(), here];
    const fetched = serve({
      "GET /api/sessions": () => json(200, { sessions: places }),
      [`DELETE /api/sessions/${place().id}`]: () => {
        places = [here];
        return gone();
      },
    });
    const user = userEvent.setup();
    show();
    const list = await screen.findByRole("list", { name: "Where you are signed in" });
    const rows = within(list).getAllByRole("listitem");
    expect(rows.map((row) => row.textContent)).toEqual([
      expect.stringContaining("Laptop/2.0This session"),
      expect.stringContaining("Phone/1.0"),
    ]);
    expect(rows[1]).toHaveTextContent("192.0.2.7");
    expect(within(rows[0]!).queryByRole("button")).toBeNull();
    await user.click(screen.getByRole("button", { name: "Sign out Phone/1.0" }));
    await waitFor(() => expect(within(list).getAllByRole("listitem")).toHaveLength(1));
    expect(list).toHaveFocus();
    expect(told.success).toHaveBeenCalledExactlyOnceWith("Signed out there", { description: "Phone/1.0" });
    expect(asked(fetched)).toContain(`DELETE /api/sessions/${place().id}`);
    expect(screen.queryByRole("button", { name: "Sign out everywhere else" })).toBeNull();
  });

  it("asks before it signs out everywhere else", async () => {
    let places = [here, place()];
    const fetched = serve({
      "GET /api/sessions": () => json(200, { sessions: places }),
      "DELETE /api/sessions": () => {
        places = [here];
        return gone();
      },
    });
    const user = userEvent.setup();
    show();
    await user.click(await screen.findByRole("button", { name: "Sign out everywhere else" }));
    const question = screen.getByRole("alertdialog", { name: "Sign out everywhere else?" });
    await user.click(within(question).getByRole("button", { name: "Cancel" }));
    expect(asked(fetched)).not.toContain("DELETE /api/sessions");
    await user.click(screen.getByRole("button", { name: "Sign out everywhere else" }));
    await user.click(within(screen.getByRole("alertdialog")).getByRole("button", { name: "Sign out" }));
    await waitFor(() => expect(screen.queryByText("Phone/1.0")).toBeNull());
    expect(screen.queryByRole("alertdialog")).toBeNull();
    expect(told.success).toHaveBeenCalledExactlyOnceWith("Signed out everywhere else");
  });

  it("says why it cannot be shown, and why somebody was not signed out", async () => {
    let isAway = true;
    serve({
      "GET /api/sessions": () =>
        isAway ? refusal(400, "odd", "That is odd.") : json(200, { sessions: [here, place()] }),
      [`DELETE /api/sessions/${place().id}`]: () => refusal(404, "session_not_found", "You have no such session."),
    });
    const user = userEvent.setup();
    show();
    expect(await screen.findByRole("alert")).toHaveTextContent("That is odd.");
    isAway = false;
    await user.click(screen.getByRole("button", { name: "Try again" }));
    await user.click(await screen.findByRole("button", { name: "Sign out Phone/1.0" }));
    const description = "You have no such session.";
    await waitFor(() => expect(told.error).toHaveBeenCalledExactlyOnceWith("Not signed out", { description }));
  });

  it("leads to sign-in when this session was ended elsewhere", async () => {
    const replace = vi.spyOn(navigate, "replace").mockReturnValue(undefined);
    window.history.replaceState(null, "", "/account");
    serve({ "GET /api/sessions": () => refusal(401, "unauthenticated", "Sign in first.") });
    show();
    await waitFor(() => expect(replace).toHaveBeenCalledWith(expect.stringContaining("/login")));
    replace.mockRestore();
  });
});

describe("changing the password", () => {
  const show = () =>
    renderWith(<PasswordForm user={ada} />);
  const fill = async (user: ReturnType<typeof userEvent.setup>, current: string, next: string): Promise<void> => {
    await user.type(screen.getByLabelText("Current password"), current);
    await user.type(screen.getByLabelText("New password"), next);
    await user.click(screen.getByRole("button", { name: "Change password" }));
  };

  it("sends both, says so, and forgets them", async () => {
    const fetched = serve({ "PUT /api/password": gone });
    const user = userEvent.setup();
    show();
    const [current, next] = [screen.getByLabelText("Current password"), screen.getByLabelText("New password")];
    expect(current).toHaveAttribute("autocomplete", "current-password");
    expect(next).toHaveAttribute("autocomplete", "new-password");
    await fill(user, CURRENT, NEW);
    const description = "You are signed out everywhere else. Your API tokens stay.";
    await waitFor(() => expect(told.success).toHaveBeenCalledExactlyOnceWith("Password changed", { description }));
    const request = fetched.mock.calls[0]![0] as Request;
    expect(await request.clone().json()).toEqual({ current: CURRENT, new: NEW, revoke_tokens: false });
    expect(current).toHaveValue("");
    expect(next).toHaveValue("");
  });

  it("revokes the tokens as well when asked", async () => {
    const fetched = serve({ "PUT /api/password": gone });
    const user = userEvent.setup();
    show();
    await user.click(screen.getByRole("checkbox", { name: "Revoke my API tokens as well" }));
    await fill(user, CURRENT, NEW);
    await waitFor(() => expect(fetched).toHaveBeenCalled());
    const request = fetched.mock.calls[0]![0] as Request;
    expect(await request.clone().json()).toMatchObject({ revoke_tokens: true });
    const description = expect.stringContaining("API tokens are revoked");
    await waitFor(() => expect(told.success).toHaveBeenCalledWith("Password changed", { description }));
  });

  it.each([
    ["wrong_password", 403, "Current password"],
    ["password_too_weak", 400, "New password"],
    ["password_unchanged", 400, "New password"],
  ])("shows %s at its field, and keeps what was typed", async (code, status, label) => {
    serve({ "PUT /api/password": () => refusal(status, code, "Not so.") });
    const user = userEvent.setup();
    show();
    await fill(user, CURRENT, NEW);
    const field = screen.getByLabelText(label);
    await waitFor(() => expect(field).toHaveAccessibleDescription(expect.stringContaining("Not so.")));
    expect(field).toBeInvalid();
    expect(field).toHaveFocus();
    expect(field).not.toHaveValue("");
  });

  it("asks nobody about what cannot be right", async () => {
    const fetched = serve({});
    const user = userEvent.setup();
    show();
    await user.click(screen.getByRole("button", { name: "Change password" }));
    expect(screen.getByLabelText("Current password")).toHaveFocus();
    expect(screen.getByText("Enter your current password.")).toBeInTheDocument();
    expect(screen.getByText("Choose a password.")).toBeInTheDocument();
    expect(fetched).not.toHaveBeenCalled();
  });

  it("says that there were too many attempts", async () => {
    serve({ "PUT /api/password": () => refusal(429, "too_many_attempts", "There were too many attempts.") });
    const user = userEvent.setup();
    show();
    await fill(user, CURRENT, NEW);
    expect(await screen.findByRole("alert")).toHaveTextContent("There were too many attempts.");
  });
});
