import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, describe, expect, it, vi } from "vitest";

import { AskAccess } from "@/components/sharing/ask-access";
import { OpenLink } from "@/components/sharing/open-link";
import { levelsUpTo, standing } from "@/components/sharing/levels";
import { SharingDialog, SharingPanel } from "@/components/sharing/sharing-dialog";
import type { Person, PortShare, Sharing, SharingLevel } from "@/lib/api/types";
import { navigate } from "@/lib/navigate";
import { portLabel, portProblem } from "@/lib/port-label";

import { ada, json, refusal, renderWith, serve, workspace } from "./fixtures";

const ID = "kx3v9qm2w7ta";
const grace: Person = { id: "018f0000-0000-7000-8000-000000000002", name: "Grace Hopper", email: "grace@example.com" };

function port(changes: Partial<PortShare> = {}): PortShare {
  return {
    port: 3000,
    url: `https://3000-${ID}.kalpana.localhost:8443`,
    level: "organization",
    is_in_force: true,
    level_in_force: "organization",
    members: [],
    expires_at: null,
    keep_after_restart: false,
    links: [],
    ...changes,
  };
}

function sharing(changes: Partial<Sharing> = {}): Sharing {
  return { maximum: "public", ports: [], requests: [], ...changes };
}

/** The sent body of the one request of this method. */
async function sent(fetched: ReturnType<typeof serve>, method: string): Promise<unknown> {
  const requests = fetched.mock.calls.flatMap(([input]) => (input instanceof Request ? [input] : []));
  const found = requests.filter((request) => request.method === method);
  expect(found).toHaveLength(1);
  return found[0]!.clone().json();
}

describe("levels", () => {
  it("offers no more than the site allows", () => {
    const names = (maximum: SharingLevel) => levelsUpTo(maximum).map(({ level }) => level);
    expect(names("owner")).toEqual(["owner"]);
    expect(names("organization")).toEqual(["owner", "members", "organization"]);
    expect(names("public")).toHaveLength(5);
  });

  it("says why a port is not shared as its owner wanted", () => {
    expect(standing(port())).toBeUndefined();
    expect(standing(port({ is_in_force: false, level_in_force: "owner" }))).toContain("started anew");
    const over = port({ is_in_force: false, level_in_force: "owner", expires_at: "2020-01-01T00:00:00Z" });
    expect(standing(over)).toContain("time is over");
    expect(standing(port({ level: "public", level_in_force: "members" }))).toContain("People I name");
  });
});

describe("port labels", () => {
  it.each(["3000-abcdefghij01", "65535-abcdefghij01", "1024-abcdefghij01"])("reads %s", (text) => {
    expect(portLabel(text)).toEqual({ label: text, port: Number(text.split("-")[0]) });
  });
  it.each([null, "", "abcdefghij01", "80-abcdefghij01", "03000-abcdefghij01", "65536-abcdefghij01", "3000-ABCDEFGHIJ01", "3000-abcdefghij01.evil"])(
    "does not take %s for one",
    (text) => {
      expect(portLabel(text)).toBeUndefined();
    },
  );
  it("says what is wrong with a port", () => {
    expect(portProblem("3000")).toBeUndefined();
    for (const text of ["", "80", "65536", "x", "3000 ", "-1"]) expect(portProblem(text)).toBeDefined();
  });
});

describe("the panel", () => {
  const show = (state: Sharing) => renderWith(<SharingPanel workspace={ID} sharing={state} />);

  it("has an empty state, and leads to the form and back with the keyboard alone", async () => {
    serve({});
    const user = userEvent.setup();
    show(sharing());
    expect(screen.getByText("No port is shared")).toBeInTheDocument();
    await user.tab();
    expect(screen.getByRole("button", { name: "Share a port" })).toHaveFocus();
    await user.keyboard("{Enter}");
    expect(screen.getByLabelText("Port")).toHaveFocus();
    await user.click(screen.getByRole("button", { name: "Cancel" }));
    expect(screen.getByText("No port is shared")).toBeInTheDocument();
  });

  it("says so where the site does not allow sharing", () => {
    show(sharing({ maximum: "owner" }));
    expect(screen.getByText(/does not allow ports to be shared/)).toBeInTheDocument();
    expect(screen.queryByRole("button", { name: "Share a port" })).not.toBeInTheDocument();
  });

  it("shares a port with somebody who was looked for by name", async () => {
    const user = userEvent.setup();
    const fetched = serve({
      "GET /api/people": () => json(200, { people: [grace] }),
      [`PUT /api/workspaces/${ID}/ports/4000/share`]: () => json(200, port({ port: 4000 })),
    });
    show(sharing());
    await user.click(screen.getByRole("button", { name: "Share a port" }));
    await user.click(screen.getByRole("button", { name: "Share port" }));
    expect(screen.getByLabelText("Port")).toBeInvalid();
    await user.type(screen.getByLabelText("Port"), "4000");
    await user.click(screen.getByRole("button", { name: "Share port" }));
    expect(screen.getByLabelText("People")).toHaveAccessibleDescription("Name the people who may open it.");

    await user.type(screen.getByLabelText("People"), "grace");
    await screen.findByRole("button", { name: /Grace Hopper/ });
    await user.type(screen.getByLabelText("People"), "{Enter}");
    const named = screen.getByRole("list", { name: "People who can open it" });
    expect(within(named).getByText("Grace Hopper")).toBeInTheDocument();
    await user.selectOptions(screen.getByLabelText("For how long"), "8 hours");
    await user.click(screen.getByRole("button", { name: "Share port" }));
    await screen.findByText("No port is shared");
    expect(await sent(fetched, "PUT")).toEqual({
      level: "members",
      members: [grace.id],
      keep_after_restart: false,
      expires_in_seconds: 28_800,
    });
  });

  it("warns before a port is opened to strangers, and keeps what is set already", async () => {
    const user = userEvent.setup();
    const fetched = serve({
      [`PUT /api/workspaces/${ID}/ports/3000/share`]: () => json(200, port({ level: "public" })),
    });
    show(sharing({ ports: [port({ keep_after_restart: true, members: [grace] })] }));
    await user.click(screen.getByRole("button", { name: "Change who can open port 3000" }));
    expect(screen.queryByRole("alert")).not.toBeInTheDocument();
    const choice = screen.getByRole("radio", { name: /Everybody on the internet/ });
    expect(choice).toHaveAccessibleDescription(/without signing in/);
    await user.click(choice);
    expect(screen.getByRole("alert")).toHaveTextContent("Anybody on the internet");
    await user.click(screen.getByRole("button", { name: "Save" }));
    await screen.findByText("Port 3000");
    expect(await sent(fetched, "PUT")).toEqual({ level: "public", members: [grace.id], keep_after_restart: true });
  });

  it("puts the server's refusal at its field", async () => {
    const user = userEvent.setup();
    serve({
      [`PUT /api/workspaces/${ID}/ports/3000/share`]: () =>
        refusal(403, "sharing_not_allowed", "This site does not allow that.", "Ask whoever runs it."),
    });
    show(sharing({ ports: [port()] }));
    await user.click(screen.getByRole("button", { name: "Change who can open port 3000" }));
    await user.click(screen.getByRole("button", { name: "Save" }));
    expect(await screen.findByText("This site does not allow that.")).toBeInTheDocument();
    expect(screen.getByText(/sharing_not_allowed/)).toBeInTheDocument();
  });

  it("asks before it stops sharing", async () => {
    const user = userEvent.setup();
    const fetched = serve({
      [`DELETE /api/workspaces/${ID}/ports/3000/share`]: () => new Response(null, { status: 204 }),
    });
    show(sharing({ ports: [port()] }));
    await user.click(screen.getByRole("button", { name: "Stop sharing port 3000" }));
    const dialog = await screen.findByRole("alertdialog", { name: "Stop sharing port 3000?" });
    expect(fetched).not.toHaveBeenCalled();
    await user.click(within(dialog).getByRole("button", { name: "Stop sharing" }));
    await waitFor(() => expect(dialog).not.toBeInTheDocument());
    expect(fetched).toHaveBeenCalledOnce();
  });

  it("makes a link, shows it once, and revokes one", async () => {
    const user = userEvent.setup();
    const link = {
      id: "018f0000-0000-7000-8000-00000000000a",
      path: "/docs",
      one_use: true,
      created_at: "2026-01-01T00:00:00Z",
      expires_at: "2126-01-01T00:00:00Z",
      used_at: null,
    };
    const url = "https://kalpana.localhost:8443/share#ksl_secret";
    const fetched = serve({
      [`POST /api/workspaces/${ID}/ports/3000/links`]: () => json(201, { ...link, url }),
      [`DELETE /api/workspaces/${ID}/ports/3000/links/${link.id}`]: () => new Response(null, { status: 204 }),
    });
    show(sharing({ ports: [port({ level: "link", level_in_force: "link", links: [link] })] }));
    await user.click(screen.getByRole("button", { name: /New link/ }));
    await user.type(screen.getByLabelText("Only below a path"), "/docs");
    await user.click(screen.getByRole("checkbox", { name: /Works once/ }));
    await user.click(screen.getByRole("button", { name: "Make link" }));
    expect(await screen.findByLabelText(/Copy this link now/)).toHaveValue(url);
    expect(await sent(fetched, "POST")).toEqual({ expires_in_seconds: 86_400, one_use: true, path: "/docs" });
    await user.click(screen.getByRole("button", { name: "Done" }));
    expect(screen.queryByDisplayValue(url)).not.toBeInTheDocument();
    await user.click(screen.getByRole("button", { name: "Revoke the link to /docs" }));
    await waitFor(() => expect(fetched).toHaveBeenCalledTimes(2));
  });

  it("lets somebody in who asks, or does not", async () => {
    const user = userEvent.setup();
    const path = `/api/workspaces/${ID}/ports/3000/requests/${grace.id}`;
    const fetched = serve({
      [`POST ${path}`]: () => new Response(null, { status: 204 }),
      [`DELETE ${path}`]: () => new Response(null, { status: 204 }),
    });
    show(sharing({ requests: [{ port: 3000, user: grace, asked_at: "2026-01-01T00:00:00Z" }] }));
    const region = screen.getByRole("region", { name: "People asking for access" });
    expect(region).toHaveTextContent("Grace Hopper (grace@example.com) would like to open port 3000.");
    await user.click(screen.getByRole("button", { name: "Approve Grace Hopper for port 3000" }));
    await user.click(screen.getByRole("button", { name: "Decline Grace Hopper for port 3000" }));
    await waitFor(() => expect(fetched).toHaveBeenCalledTimes(2));
  });
});

describe("the button", () => {
  it("counts who asks, and shows what the server refuses", async () => {
    const user = userEvent.setup();
    serve({
      [`GET /api/workspaces/${ID}/sharing`]: () =>
        json(200, sharing({ requests: [{ port: 3000, user: grace, asked_at: "2026-01-01T00:00:00Z" }] })),
    });
    renderWith(<SharingDialog workspace={workspace()} />);
    await user.click(await screen.findByRole("button", { name: "Share ports, 1 asking for access" }));
    expect(await screen.findByRole("dialog", { name: "Sharing of atlas" })).toHaveAccessibleDescription(
      /The editor, the files and the terminal stay yours alone/,
    );
  });

  it("says what went wrong and offers to try again", async () => {
    const user = userEvent.setup();
    serve({ [`GET /api/workspaces/${ID}/sharing`]: () => refusal(403, "forbidden", "Only its owner may do that.") });
    renderWith(<SharingDialog workspace={workspace()} />);
    await user.click(screen.getByRole("button", { name: "Share ports" }));
    expect(await screen.findByRole("alert")).toHaveTextContent("Only its owner may do that.");
    expect(screen.getByRole("button", { name: "Try again" })).toBeInTheDocument();
  });
});

describe("asking for access", () => {
  const at = (query: string) => window.history.replaceState(null, "", `/request-access${query}`);
  const session = { "GET /api/session": () => json(200, { user: ada, expires_at: "2126-01-01T00:00:00Z" }) };

  beforeEach(() => {
    vi.stubGlobal("EventSource", class {
      addEventListener(): void {}
      close(): void {}
    });
  });

  it("asks once and says nothing of whether there is such a port", async () => {
    at(`?host=3000-${ID}&to=%2F`);
    const user = userEvent.setup();
    const fetched = serve({ ...session, "POST /api/access-requests": () => new Response(null, { status: 204 }) });
    renderWith(<AskAccess />);
    await user.click(await screen.findByRole("button", { name: "Request access" }));
    expect(await screen.findByRole("heading", { name: "Your request is on its way" })).toBeInTheDocument();
    expect(await sent(fetched, "POST")).toEqual({ host: `3000-${ID}` });
    expect(screen.getByRole("status")).toHaveTextContent("If there is something at this address");
  });

  it("asks for nothing that is no port", async () => {
    at("?host=https://evil.example");
    serve(session);
    renderWith(<AskAccess />);
    expect(await screen.findByRole("alert")).toHaveTextContent("This is not the address of a port");
    expect(screen.queryByRole("button")).not.toBeInTheDocument();
  });
});

describe("opening a link", () => {
  const open = (hash: string) => {
    window.history.replaceState(null, "", `/share${hash}`);
    const to = vi.spyOn(navigate, "replace").mockReturnValue();
    to.mockClear();
    renderWith(<OpenLink />);
    return to;
  };

  it("asks for the whole link when there is no secret", async () => {
    const fetched = serve({});
    open("");
    expect(await screen.findByRole("status")).toHaveTextContent("Open the link you were given");
    expect(fetched).not.toHaveBeenCalled();
  });

  it("takes the secret out of the address, redeems it and goes on", async () => {
    const url = `https://3000-${ID}.kalpana.localhost:8443/docs`;
    const fetched = serve({ "POST /api/share-links/redeem": () => json(200, { url }) });
    const to = open("#ksl_secret");
    expect(window.location.hash).toBe("");
    await waitFor(() => expect(to).toHaveBeenCalledWith(url));
    expect(await sent(fetched, "POST")).toEqual({ secret: "ksl_secret" });
  });

  it("says when a link does not lead anywhere any more", async () => {
    serve({ "POST /api/share-links/redeem": () => refusal(410, "link_gone", "This link does not lead anywhere.") });
    const to = open("#ksl_old");
    expect(await screen.findByRole("alert")).toHaveTextContent("This link does not lead anywhere");
    expect(to).not.toHaveBeenCalled();
  });
});
