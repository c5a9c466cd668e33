import type { Metadata } from "next";

import { SignInForm } from "@/components/auth/sign-in-form";
import { CenteredPage } from "@/components/common/centered-page";

export const metadata: Metadata = { title: "Sign in" };

export default function LoginPage() {
  return (
    <CenteredPage>
      <SignInForm />
      <noscript>
        <p className="mt-4 text-sm">Signing in needs JavaScript.</p>
      </noscript>
    </CenteredPage>
  );
}
