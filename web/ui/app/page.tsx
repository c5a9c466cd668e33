import { ArrowRight, Box, HardDrive, ShieldCheck } from "lucide-react";
import Link from "next/link";

import { EditorSketch } from "@/components/landing/editor-sketch";
import { GoToDashboard, SetupNotice, SiteVersion } from "@/components/landing/arrival";
import { Logo } from "@/components/shell/logo";
import { ThemeMenu } from "@/components/shell/theme-menu";
import { Button } from "@/components/ui/button";

const FACTS = [
  {
    Icon: Box,
    title: "An environment for each project",
    text: "Give a Git repository and open it in VS Code, in the browser. Extensions, terminal and Git work as they do on your own machine.",
  },
  {
    Icon: ShieldCheck,
    title: "Kept apart",
    text: "Every workspace is a container with its own network and its own address. Each request to it is checked before it gets there.",
  },
  {
    Icon: HardDrive,
    title: "Your files stay",
    text: "Stop a workspace when you are done. What is in it is on your server when you start it again.",
  },
];

export default function LandingPage() {
  return (
    <div className="flex min-h-dvh flex-col overflow-x-clip">
      <GoToDashboard />
      <header className="mx-auto flex h-16 w-full max-w-6xl items-center justify-between px-5 sm:px-8">
        <Logo />
        <div className="flex items-center gap-1">
          <ThemeMenu />
          <Button asChild variant="ghost" size="sm">
            <Link href="/login">Sign in</Link>
          </Button>
        </div>
      </header>
      <main className="flex-1">
        <section className="relative mx-auto grid w-full max-w-6xl items-center gap-12 px-5 pt-10 pb-20 sm:px-8 lg:grid-cols-[minmax(0,1fr)_minmax(0,1.15fr)] lg:gap-16 lg:pt-20 lg:pb-28">
          <div>
            <h1 className="text-[2.5rem] leading-[1.06] font-semibold tracking-[-0.035em] text-balance sm:text-[3.25rem]">
              Your development environment, on your own server
            </h1>
            <p className="mt-5 max-w-[34rem] text-[1.0625rem] leading-relaxed text-pretty text-muted-foreground">
              Kalpana turns a Git repository into a running workspace: an isolated container with VS
              Code at its own address. Nothing to install but a browser.
            </p>
            <div className="mt-8 flex flex-wrap items-center gap-3">
              <Button asChild size="lg">
                <Link href="/login">
                  Sign in
                  <ArrowRight aria-hidden="true" />
                </Link>
              </Button>
            </div>
            <SetupNotice />
          </div>
          <div className="relative">
            <Horizon className="absolute -top-24 -right-40 -z-10 w-[46rem] max-w-none text-brand/25 dark:text-brand/20" />
            <EditorSketch />
          </div>
        </section>
        <section aria-label="What it does" className="border-t bg-card">
          <ul className="mx-auto grid w-full max-w-6xl gap-10 px-5 py-14 sm:px-8 md:grid-cols-3 md:gap-12 md:py-16">
            {FACTS.map(({ Icon, title, text }) => (
              <li key={title}>
                <Icon aria-hidden="true" className="size-5 text-brand" strokeWidth={1.75} />
                <h2 className="mt-3.5 font-semibold">{title}</h2>
                <p className="mt-1.5 text-[0.9375rem] leading-relaxed text-pretty text-muted-foreground">{text}</p>
              </li>
            ))}
          </ul>
        </section>
      </main>
      <footer className="border-t bg-background">
        <div className="mx-auto flex w-full max-w-6xl items-center justify-between px-5 py-6 text-sm text-muted-foreground sm:px-8">
          <span>Kalpana is open source, under Apache-2.0.</span>
          <SiteVersion />
        </div>
      </footer>
    </div>
  );
}

/** Rings rising behind the window, like a thought taking shape. */
function Horizon({ className }: { className?: string }) {
  return (
    <svg aria-hidden="true" viewBox="0 0 600 600" fill="none" className={className}>
      {[60, 110, 160, 210, 260].map((radius, index) => (
        <circle key={radius} cx="300" cy="300" r={radius} stroke="currentColor" strokeOpacity={1 - index * 0.18} />
      ))}
    </svg>
  );
}
