import Link from "next/link";
import type { ReactNode } from "react";

import { Logo } from "@/components/shell/logo";
import { ThemeMenu } from "@/components/shell/theme-menu";

/** The frame of pages with one thing to do: sign in, set up, turn back. */
export function CenteredPage({ children }: { children: ReactNode }) {
  return (
    <div className="flex min-h-dvh flex-col">
      <header className="flex h-14 items-center justify-between px-4 sm:px-6">
        <Link
          href="/"
          aria-label="Kalpana, front page"
          className="flex items-center rounded-md outline-none focus-visible:ring-2 focus-visible:ring-ring focus-visible:ring-offset-4 focus-visible:ring-offset-background"
        >
          <Logo />
        </Link>
        <ThemeMenu />
      </header>
      <main id="content" className="mx-auto w-full max-w-sm flex-1 px-4 pt-[8vh] pb-16 sm:pt-[13vh]">
        {children}
      </main>
    </div>
  );
}
