import { Check, Circle } from "lucide-react";

import { passwordRules } from "@/lib/validation";
import { cn } from "@/lib/utils";

/** The rules of a new password, each ticked as soon as it is kept. */
export function PasswordRules({ value }: { value: string }) {
  const shown = passwordRules(value).filter((rule) => rule.id === "length" || !rule.isMet);
  return (
    <ul aria-label="Password rules" className="flex flex-col gap-1">
      {shown.map(({ id, label, isMet }) => {
        const Icon = isMet ? Check : Circle;
        return (
          <li
            key={id}
            className={cn(
              "flex items-center gap-2 text-[0.8125rem] leading-5 transition-colors",
              isMet ? "text-success" : "text-muted-foreground",
            )}
          >
            <Icon aria-hidden="true" className={isMet ? "size-3.5" : "mx-0.5 size-2.5"} strokeWidth={3} />
            {label}
            <span className="sr-only">{isMet ? "(met)" : "(not met yet)"}</span>
          </li>
        );
      })}
    </ul>
  );
}
