import type { Metadata } from "next";

import { CenteredPage } from "@/components/common/centered-page";
import { AskAccess } from "@/components/sharing/ask-access";

export const metadata: Metadata = { title: "Request access" };

export default function RequestAccessPage() {
  return (
    <CenteredPage>
      <AskAccess />
    </CenteredPage>
  );
}
