import type { Metadata } from "next";

import { CenteredPage } from "@/components/common/centered-page";
import { OpenLink } from "@/components/sharing/open-link";

export const metadata: Metadata = { title: "Open a link", referrer: "no-referrer" };

export default function SharePage() {
  return (
    <CenteredPage>
      <OpenLink />
    </CenteredPage>
  );
}
