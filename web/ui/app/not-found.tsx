import type { Metadata } from "next";
import Link from "next/link";

import { CenteredPage } from "@/components/common/centered-page";
import { Button } from "@/components/ui/button";

export const metadata: Metadata = { title: "Not found" };

export default function NotFound() {
  return (
    <CenteredPage>
      <p className="font-mono text-sm text-muted-foreground">404</p>
      <h1 className="mt-2 text-2xl font-semibold tracking-tight text-balance">There is nothing at this address</h1>
      <p className="mt-2 text-[0.9375rem] leading-relaxed text-pretty text-muted-foreground">
        The page does not exist, or it belongs to somebody else. Both look the same from here.
      </p>
      <Button asChild className="mt-6">
        <Link href="/dashboard">To my workspaces</Link>
      </Button>
    </CenteredPage>
  );
}
