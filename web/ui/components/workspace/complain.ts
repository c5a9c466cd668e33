import { toast } from "sonner";

import { asApiError } from "@/lib/api/error";

/** Returns what tells that the server refused, and why. */
export function complain(title: string): (cause: unknown) => void {
  return (cause) => {
    const error = asApiError(cause);
    if (error.isSignedOut) return;
    toast.error(title, {
      description: error.hint === undefined ? error.message : `${error.message} ${error.hint}`,
    });
  };
}
