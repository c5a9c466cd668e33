"use client";

import { KeyRound } from "lucide-react";
import { useRouter } from "next/navigation";
import { useEffect } from "react";

import { Alert } from "@/components/ui/alert";
import { useSession } from "@/hooks/use-session";
import { useSite } from "@/hooks/use-site";

/** Takes people who are signed in straight to their workspaces. */
export function GoToDashboard() {
  const router = useRouter();
  const isSignedIn = useSession().isSuccess;
  useEffect(() => {
    if (isSignedIn) router.replace("/dashboard");
  }, [isSignedIn, router]);
  return null;
}

/** Says how to begin on an installation that has no account yet. */
export function SetupNotice() {
  const site = useSite();
  if (site.data?.setup_required !== true) return null;
  return (
    <Alert variant="warning" role="status" className="mt-6">
      <KeyRound aria-hidden="true" />
      <div>
        <p className="font-medium">This Kalpana has no account yet</p>
        <p className="text-muted-foreground">
          Open the one-time setup link that the server printed in its log when it started.
        </p>
      </div>
    </Alert>
  );
}

/** The installation's version, once known. */
export function SiteVersion() {
  const version = useSite().data?.version;
  return <span className="font-mono text-xs">{version === undefined ? "\u00a0" : `v${version.replace(/^v/, "")}`}</span>;
}
