import { act, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { toast } from "sonner";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { CertificateList } from "@/components/admin/certificate-list";
import type { Certificate } from "@/lib/api/types";

import { json, refusal, renderWith, serve } from "./fixtures";

const DAY = 86_400_000;
const at = (days: number): string => new Date(Date.now() + days * DAY + 3_600_000).toISOString();

function certificate(changes: Partial<Certificate> = {}): Certificate {
  return {
    id: "_.example.com",
    names: ["*.example.com"],
    source: "acme",
    state: "good",
    served: {
      issuer: "R11",
      serial: "0a",
      not_before: at(-60),
      not_after: at(30),
      fingerprint: "ff",
    },
    next_renewal: at(2),
    ...changes,
  };
}

const local = certificate({
  id: "kalpana.localhost",
  names: ["kalpana.localhost", "*.kalpana.localhost"],
  source: "local",
  served: { ...certificate().served!, issuer: "Kalpana local authority (kalpana.localhost)" },
});

const failing = certificate({
  state: "failing",
  problem: {
    code: "acme_caa",
    message: "a CAA record forbids this authority",
    next_step: "Add the authority to the CAA records.",
    at: at(-1),
    failures: 3,
    retry_at: at(1),
  },
});

const LIST = "GET /api/admin/certificates";
const RENEW = "POST /api/admin/certificates/_.example.com/renew";
const REVOKE = "POST /api/admin/certificates/_.example.com/revoke";

const list = (certificates: Certificate[], left?: number) => () =>
  json(200, { certificates, ...(left === undefined ? {} : { on_demand_left: left }) });

const rows = async (): Promise<HTMLElement[]> =>
  within(await screen.findByRole("list", { name: "Certificates" })).getAllByRole("listitem");

const spyOnToasts = () => ({
  success: vi.spyOn(toast, "success").mockReturnValue(""),
  error: vi.spyOn(toast, "error").mockReturnValue(""),
});
let told: ReturnType<typeof spyOnToasts>;
beforeEach(() => {
  told = spyOnToasts();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("the list of certificates", () => {
  it("says for which names, by whom, until when, and when the next is had", async () => {
    serve({ [LIST]: list([certificate(), local]) });
    renderWith(<CertificateList />);
    const [first, second] = await rows();
    expect(first).toHaveAccessibleName("*.example.com");
    expect(first).toHaveTextContent(/Good/);
    const year = at(30).slice(0, 4);
    expect(first).toHaveTextContent(new RegExp(`ends next month, on .*${year}.* by R11 · ordered by ACME · replaced in 2 days`));
    expect(second).toHaveAccessibleName("kalpana.localhost, *.kalpana.localhost");
    expect(second).toHaveTextContent("the site's own authority");
    // The site's own authority replaces its certificates by itself, and knows no revocation.
    expect(within(second!).queryByRole("button")).toBeNull();
    expect(screen.queryByText(/more can be ordered/)).toBeNull();
  });

  it("says why the next could not be had, what to do, and when it is tried again", async () => {
    serve({ [LIST]: list([failing]) });
    renderWith(<CertificateList />);
    const [row] = await rows();
    expect(row).toHaveTextContent("Renewal failing");
    expect(row).toHaveTextContent("A CAA record forbids this authority.");
    expect(row).toHaveTextContent("Add the authority to the CAA records. It is tried again tomorrow.");
    expect(row).toHaveTextContent("acme_caa, 3 in a row");
  });

  it("says what is wrong with one that an operator brought, which nobody tries again", async () => {
    const problem = {
      ...failing.problem!,
      code: "chain_incomplete",
      message: "the certificate is signed by R11, whose certificate is neither in the file nor known here",
      next_step: "Append its certificate to the file.",
      failures: 0,
      retry_at: null,
    };
    serve({ [LIST]: list([{ ...failing, source: "files", problem }]) });
    renderWith(<CertificateList />);
    const [row] = await rows();
    expect(row).toHaveTextContent("Not in order");
    expect(row).toHaveTextContent("files of the operator");
    expect(row).toHaveTextContent("Append its certificate to the file.");
    expect(row).not.toHaveTextContent(/tried again|in a row/);
    expect(within(row!).queryByRole("button")).toBeNull();
  });

  it("tells what ended from what is not there yet", async () => {
    const over = certificate({ state: "expired", served: { ...certificate().served!, not_after: at(-3) } });
    const missing = certificate({ id: "w.example.com", names: ["w.example.com"], state: "missing", served: null });
    serve({ [LIST]: list([over, missing], 44) });
    renderWith(<CertificateList />);
    const [first, second] = await rows();
    expect(first).toHaveTextContent(/Expired.*ended 2 days ago/);
    expect(second).toHaveTextContent(/Missing.*none yet; one that browsers do not trust stands in/);
    expect(within(second!).queryByRole("button", { name: /Revoke/ })).toBeNull();
    expect(screen.getByText(/44 more can be ordered this week/)).toBeInTheDocument();
  });

  it("says that there are none", async () => {
    serve({ [LIST]: list([]) });
    renderWith(<CertificateList />);
    expect(await screen.findByText("No certificates")).toBeInTheDocument();
  });

  it("says why it cannot be shown, and shows it when asked again", async () => {
    let isAway = true;
    serve({ [LIST]: () => (isAway ? refusal(400, "odd", "That is odd.") : list([local])()) });
    const user = userEvent.setup();
    renderWith(<CertificateList />);
    expect(await screen.findByRole("alert")).toHaveTextContent("That is odd.");
    isAway = false;
    await user.click(screen.getByRole("button", { name: "Try again" }));
    expect(await rows()).toHaveLength(1);
  });

  it("looks again every two seconds while something is being done, and then no more", async () => {
    vi.useFakeTimers({ shouldAdvanceTime: true });
    let step: string | undefined = "the authority looks for the record";
    const fetched = serve({ [LIST]: () => list([certificate({ step })])() });
    renderWith(<CertificateList />);
    expect(await screen.findByRole("status")).toHaveTextContent("Now: the authority looks for the record …");
    expect(screen.getByRole("button", { name: "Renew now: *.example.com" })).toHaveAttribute("aria-busy", "true");
    const before = fetched.mock.calls.length;
    step = undefined;
    await act(() => vi.advanceTimersByTimeAsync(2_100));
    await waitFor(() => expect(screen.queryByRole("status")).toBeNull());
    expect(fetched.mock.calls.length).toBe(before + 1);
    await act(() => vi.advanceTimersByTimeAsync(30_000));
    expect(fetched.mock.calls.length).toBe(before + 1);
  });
});

describe("renewing", () => {
  it("waits for the new certificate, says so, and shows it", async () => {
    let now = failing;
    serve({
      [LIST]: () => list([now])(),
      [RENEW]: () => {
        now = certificate();
        return json(200, now);
      },
    });
    const user = userEvent.setup();
    renderWith(<CertificateList />);
    await user.click(await screen.findByRole("button", { name: "Renew now: *.example.com" }));
    await waitFor(() =>
      expect(told.success).toHaveBeenCalledExactlyOnceWith("There is a new certificate", { description: "*.example.com" }),
    );
    await waitFor(() => expect(screen.queryByText(/CAA/)).toBeNull());
  });

  it("says why there is none", async () => {
    serve({
      [LIST]: list([failing]),
      [RENEW]: () => refusal(502, "certificate_refused", "A CAA record forbids this authority."),
    });
    const user = userEvent.setup();
    renderWith(<CertificateList />);
    await user.click(await screen.findByRole("button", { name: "Renew now: *.example.com" }));
    const description = "A CAA record forbids this authority.";
    await waitFor(() => expect(told.error).toHaveBeenCalledExactlyOnceWith("There is no new certificate", { description }));
  });
});

describe("revoking", () => {
  it("asks first, says what happens, and does nothing when it is called off", async () => {
    const fetched = serve({ [LIST]: list([certificate()]) });
    const user = userEvent.setup();
    renderWith(<CertificateList />);
    const button = await screen.findByRole("button", { name: "Revoke *.example.com" });
    await user.click(button);
    const question = screen.getByRole("alertdialog", { name: "Revoke this certificate?" });
    expect(question).toHaveAccessibleDescription(expect.stringContaining("*.example.com void, for good"));
    await user.keyboard("{Escape}");
    expect(screen.queryByRole("alertdialog")).toBeNull();
    expect(button).toHaveFocus();
    expect(fetched.mock.calls.some(([input]) => input instanceof Request && input.method === "POST")).toBe(false);
  });

  it("says that it is done", async () => {
    serve({ [LIST]: list([certificate()]), [REVOKE]: () => json(200, certificate()) });
    const user = userEvent.setup();
    renderWith(<CertificateList />);
    await user.click(await screen.findByRole("button", { name: "Revoke *.example.com" }));
    await user.click(within(screen.getByRole("alertdialog")).getByRole("button", { name: "Revoke" }));
    await waitFor(() =>
      expect(told.success).toHaveBeenCalledExactlyOnceWith("Revoked, and replaced", { description: "*.example.com" }),
    );
    expect(screen.queryByRole("alertdialog")).toBeNull();
  });

  it("stays open with the reason when it is refused", async () => {
    serve({
      [LIST]: list([certificate()]),
      [REVOKE]: () => refusal(409, "certificate_not_ordered", "Nothing was issued.", "There is nothing to revoke."),
    });
    const user = userEvent.setup();
    renderWith(<CertificateList />);
    await user.click(await screen.findByRole("button", { name: "Revoke *.example.com" }));
    const question = screen.getByRole("alertdialog");
    await user.click(within(question).getByRole("button", { name: "Revoke" }));
    expect(await within(question).findByRole("alert")).toHaveTextContent("Nothing was issued.There is nothing to revoke.");
  });
});
