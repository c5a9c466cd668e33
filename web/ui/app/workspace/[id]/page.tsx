import type { Metadata } from "next";

import { WorkspacePage } from "@/components/workspace/workspace-page";

export const metadata: Metadata = { title: "Workspace" };

/** One page for every workspace: the server answers `/workspace/<id>` with this one. */
export function generateStaticParams(): { id: string }[] {
  return [{ id: "_" }];
}

export default function Page() {
  return <WorkspacePage />;
}
