import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { useSignOut } from "@/hooks/use-session";
import { ApiError } from "@/lib/api/error";
import { navigate } from "@/lib/navigate";
import { onApiFailure, signingOut } from "@/lib/query";

import { refusal, renderWith, serve } from "./fixtures";

const SIGNED_OUT = new ApiError("unauthenticated", "You are not signed in.", 401);

function Leave() {
  const signOut = useSignOut();
  return <button onClick={() => signOut.mutate()}>Sign out</button>;
}

let replace: ReturnType<typeof spyOnReplace>;
const spyOnReplace = () => vi.spyOn(navigate, "replace").mockReturnValue();

beforeEach(() => {
  window.history.replaceState(null, "", "/dashboard");
  replace = spyOnReplace();
});
afterEach(() => signingOut(false));

it("leads to the front page, whatever the page asked for meanwhile is refused with", async () => {
  serve({
    "DELETE /api/session": () => {
      // The session is over, and this page does not know yet.
      onApiFailure(SIGNED_OUT);
      return new Response(null, { status: 204 });
    },
  });
  renderWith(<Leave />);
  await userEvent.click(screen.getByRole("button", { name: "Sign out" }));
  await waitFor(() => expect(replace).toHaveBeenCalled());
  onApiFailure(SIGNED_OUT);
  expect(replace.mock.calls).toEqual([["/"]]);
});

it("leads to the front page and nowhere else when the session was over before", async () => {
  serve({ "DELETE /api/session": () => refusal(401, "unauthenticated", "You are not signed in.") });
  renderWith(<Leave />);
  await userEvent.click(screen.getByRole("button", { name: "Sign out" }));
  await waitFor(() => expect(replace).toHaveBeenCalled());
  expect(replace.mock.calls).toEqual([["/"]]);
});

it("that failed leaves the page as it was: an end of the session leads to sign-in again", async () => {
  const answered = vi.fn(() => refusal(500, "internal", "Something went wrong."));
  serve({ "DELETE /api/session": answered });
  renderWith(<Leave />);
  await userEvent.click(screen.getByRole("button", { name: "Sign out" }));
  await waitFor(() => expect(answered).toHaveBeenCalled());
  await waitFor(() => {
    onApiFailure(SIGNED_OUT);
    expect(replace).toHaveBeenCalledWith("/login?next=%2Fdashboard");
  });
  expect(replace).not.toHaveBeenCalledWith("/");
});
