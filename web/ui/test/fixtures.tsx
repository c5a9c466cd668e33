import { QueryClientProvider, type QueryClient } from "@tanstack/react-query";
import { render, type RenderResult } from "@testing-library/react";
import type { ReactNode } from "react";
import { vi, type Mock } from "vitest";

import type { DeletedWorkspace, RepositoryWork, Site, User, Workspace, WorkspaceWork } from "@/lib/api/types";
import { makeQueryClient } from "@/lib/query";

export const ada: User = {
  id: "018f0000-0000-7000-8000-000000000001",
  email: "ada@example.com",
  name: "Ada Lovelace",
  role: "member",
  created_at: "2026-01-01T00:00:00Z",
};

export const site: Site = {
  version: "0.1.0",
  base_url: "https://kalpana.localhost:8443",
  workspace_url: "https://{label}.kalpana.localhost:8443",
  setup_required: false,
  sizes: [
    { name: "small", cpus: 1, memory_bytes: 2 * 1024 ** 3 },
    { name: "medium", cpus: 2, memory_bytes: 4 * 1024 ** 3 },
    { name: "large", cpus: 4, memory_bytes: 8 * 1024 ** 3 },
  ],
  egress_default: "open",
  notices: [],
};

export function workspace(changes: Partial<Workspace> = {}): Workspace {
  return {
    id: "kx3v9qm2w7ta",
    name: "atlas",
    repository: "https://git.example.com/team/atlas.git",
    branch: "main",
    size: "small",
    egress: "open",
    sleep: { pause_after_seconds: null, stop_after_seconds: null, archive_after_seconds: null, stays_asleep: false },
    state: "running",
    is_archived: false,
    failure: null,
    progress: null,
    url: "https://kx3v9qm2w7ta.kalpana.localhost:8443",
    owner: { id: ada.id, name: ada.name },
    created_at: "2026-01-01T10:00:00Z",
    updated_at: "2026-01-01T10:05:00Z",
    since: "2026-01-01T10:05:00Z",
    generation: 1,
    ...changes,
  };
}

export function deletedWorkspace(changes: Partial<DeletedWorkspace> = {}): DeletedWorkspace {
  const { id, name, repository, branch, size, created_at } = workspace();
  return {
    id,
    name,
    repository,
    branch,
    size,
    created_at,
    deleted_at: "2026-01-02T10:00:00Z",
    kept_until: "2026-02-01T10:00:00Z",
    ...changes,
  };
}

/** What is asked for whenever it is asked whether to delete. */
export const WORK = "GET /api/workspaces/kx3v9qm2w7ta/work";

/** A repository with nothing in it that is not elsewhere. */
export function repository(changes: Partial<RepositoryWork> = {}): RepositoryWork {
  return {
    path: "demo",
    branch: "main",
    uncommitted: 0,
    examples: [],
    unpushed: 0,
    stashes: 0,
    has_remote: true,
    problem: null,
    ...changes,
  };
}

export function work(repositories: RepositoryWork[], changes: Partial<WorkspaceWork> = {}): WorkspaceWork {
  return { is_known: true, is_cut: false, repositories, ...changes };
}

/** Answers requests by `METHOD /path`; whatever is not listed fails the test that asked for it. */
export function serve(
  routes: Record<string, (request: Request) => Response | Promise<Response>>,
): Mock<(input: Request | string, init?: RequestInit) => Promise<Response>> {
  const answer = vi.fn(async (input: Request | string, init?: RequestInit) => {
    const request = input instanceof Request ? input : new Request(new URL(input, window.location.href), init);
    const route = routes[`${request.method} ${new URL(request.url).pathname}`];
    if (route === undefined) throw new Error(`unexpected ${request.method} ${request.url}`);
    return route(request);
  });
  vi.stubGlobal("fetch", answer);
  return answer;
}

export function json(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return Response.json(body, { status, headers });
}

export function refusal(status: number, code: string, message: string, hint?: string): Response {
  return json(status, { error: { code, message, hint, request_id: "req_1" } });
}

/** Renders inside a fresh cache, and returns the cache as well. */
export function renderWith(node: ReactNode): RenderResult & { client: QueryClient } {
  const client = makeQueryClient();
  const wrapper = ({ children }: { children: ReactNode }) => (
    <QueryClientProvider client={client}>{children}</QueryClientProvider>
  );
  return Object.assign(render(node, { wrapper }), { client });
}
