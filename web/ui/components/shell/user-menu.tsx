"use client";

import { LogOut, ShieldCheck, UserRound } from "lucide-react";
import Link from "next/link";
import { toast } from "sonner";

import { ThemeChoices } from "@/components/shell/theme-menu";
import { Button } from "@/components/ui/button";
import {
  DropdownMenu,
  DropdownMenuContent,
  DropdownMenuItem,
  DropdownMenuLabel,
  DropdownMenuSeparator,
  DropdownMenuTrigger,
} from "@/components/ui/dropdown-menu";
import { useSignOut } from "@/hooks/use-session";
import { asApiError } from "@/lib/api/error";
import type { User } from "@/lib/api/types";
import { initials } from "@/lib/format";

/** Who is signed in, with what concerns them: account, theme, sign-out. */
export function UserMenu({ user }: { user: User }) {
  const signOut = useSignOut();
  const leave = (): void =>
    signOut.mutate(undefined, {
      onError: (cause) => {
        const error = asApiError(cause);
        if (!error.isSignedOut) toast.error("Not signed out", { description: error.message });
      },
    });
  return (
    <DropdownMenu>
      <DropdownMenuTrigger asChild>
        <Button
          variant="ghost"
          size="icon-sm"
          className="rounded-full"
          // What is seen is part of the name, for people who speak to their browser.
          aria-label={`Account menu of ${user.name}, ${initials(user.name)}`}
        >
          <span
            aria-hidden="true"
            className="grid size-7 place-items-center rounded-full bg-brand/10 text-[0.6875rem] font-semibold text-brand"
          >
            {initials(user.name)}
          </span>
        </Button>
      </DropdownMenuTrigger>
      <DropdownMenuContent align="end" className="w-60">
        <div className="px-2.5 py-2">
          <p className="truncate text-sm font-medium">{user.name}</p>
          <p className="truncate text-xs text-muted-foreground">{user.email}</p>
        </div>
        <DropdownMenuSeparator />
        <DropdownMenuItem asChild>
          <Link href="/account">
            <UserRound aria-hidden="true" />
            Account
          </Link>
        </DropdownMenuItem>
        {user.role === "administrator" && (
          <DropdownMenuItem asChild>
            <Link href="/admin">
              <ShieldCheck aria-hidden="true" />
              Administration
            </Link>
          </DropdownMenuItem>
        )}
        <DropdownMenuSeparator />
        <DropdownMenuLabel>Theme</DropdownMenuLabel>
        <ThemeChoices />
        <DropdownMenuSeparator />
        <DropdownMenuItem onSelect={leave}>
          <LogOut aria-hidden="true" />
          Sign out
        </DropdownMenuItem>
      </DropdownMenuContent>
    </DropdownMenu>
  );
}
