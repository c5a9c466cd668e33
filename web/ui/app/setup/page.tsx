import type { Metadata } from "next";

import { SetupForm } from "@/components/auth/setup-form";
import { CenteredPage } from "@/components/common/centered-page";

export const metadata: Metadata = { title: "Set up", referrer: "no-referrer" };

export default function SetupPage() {
  return (
    <CenteredPage>
      <SetupForm />
    </CenteredPage>
  );
}
