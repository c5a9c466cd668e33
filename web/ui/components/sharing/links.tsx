"use client";

import { Link2 } from "lucide-react";
import { useId, useState, type FormEvent } from "react";

import { CopyButton } from "@/components/common/copy-button";
import { FormError } from "@/components/common/error-state";
import { Field } from "@/components/common/field";
import { TimeAgo } from "@/components/common/time-ago";
import { LINK_TIMES } from "@/components/sharing/levels";
import { Button } from "@/components/ui/button";
import { Checkbox } from "@/components/ui/checkbox";
import { Input } from "@/components/ui/input";
import { Label } from "@/components/ui/label";
import { NativeSelect } from "@/components/ui/native-select";
import { useCreateLink, useRevokeLink } from "@/hooks/use-sharing";
import { asApiError } from "@/lib/api/error";
import type { CreatedLink, PortShare, ShareLink } from "@/lib/api/types";

/** A port's links: those there are, and the way to make another. */
export function Links({ workspace, share }: { workspace: string; share: PortShare }) {
  const [isMaking, setIsMaking] = useState(false);
  const [created, setCreated] = useState<CreatedLink>();
  return (
    <div className="mt-3 border-t pt-3">
      <div className="flex flex-wrap items-center justify-between gap-2">
        <h4 className="text-sm font-medium">Links</h4>
        {!isMaking && (
          <Button
            variant="outline"
            size="sm"
            onClick={() => {
              setCreated(undefined);
              setIsMaking(true);
            }}
          >
            <Link2 aria-hidden="true" />
            New link<span className="sr-only"> to port {share.port}</span>
          </Button>
        )}
      </div>
      {isMaking && (
        <LinkForm
          workspace={workspace}
          port={share.port}
          onCancel={() => setIsMaking(false)}
          onCreated={(link) => {
            setIsMaking(false);
            setCreated(link);
          }}
        />
      )}
      {created !== undefined && <Created link={created} onDone={() => setCreated(undefined)} />}
      {share.links.length === 0 ? (
        !isMaking && (
          <p className="mt-1 text-sm text-muted-foreground">
            {share.level === "public"
              ? "None. None is needed either: the port is open to everybody."
              : "None yet, so nobody without an account can open this port."}
          </p>
        )
      ) : (
        <ul className="mt-2 flex flex-col gap-2">
          {share.links.map((link) => (
            <LinkRow key={link.id} workspace={workspace} port={share.port} link={link} />
          ))}
        </ul>
      )}
    </div>
  );
}

interface LinkFormProps {
  workspace: string;
  port: number;
  onCreated(link: CreatedLink): void;
  onCancel(): void;
}

function LinkForm({ workspace, port, onCreated, onCancel }: LinkFormProps) {
  const id = useId();
  const create = useCreateLink(workspace, port);
  const [isOnce, setIsOnce] = useState(false);
  const submit = (event: FormEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const path = String(data.get("path")).trim();
    create.mutate(
      {
        expires_in_seconds: Number(data.get("expires")),
        one_use: isOnce,
        ...(path === "" ? {} : { path }),
      },
      { onSuccess: onCreated },
    );
  };
  return (
    <form noValidate onSubmit={submit} aria-label={`New link to port ${port}`} className="mt-2 flex flex-col gap-2">
      <div className="grid gap-x-4 gap-y-2 sm:grid-cols-2">
        <Field label="Good for">
          {(control) => (
            <NativeSelect {...control} name="expires" defaultValue={86_400} autoFocus>
              {LINK_TIMES.map(({ seconds, label }) => (
                <option key={seconds} value={seconds}>
                  {label}
                </option>
              ))}
            </NativeSelect>
          )}
        </Field>
        <Field label="Only below a path" note="optional">
          {(control) => <Input {...control} name="path" autoComplete="off" placeholder="/docs" />}
        </Field>
      </div>
      <div className="flex items-center gap-3">
        <Checkbox id={`${id}-once`} checked={isOnce} onCheckedChange={(checked) => setIsOnce(checked === true)} />
        <Label htmlFor={`${id}-once`} className="font-normal">
          Works once: for the first browser that opens it
        </Label>
      </div>
      {create.error !== null && <FormError error={asApiError(create.error)} />}
      <div className="flex flex-wrap gap-2">
        <Button type="submit" size="sm" isBusy={create.isPending}>
          Make link
        </Button>
        <Button type="button" size="sm" variant="outline" onClick={onCancel}>
          Cancel
        </Button>
      </div>
    </form>
  );
}

function Created({ link, onDone }: { link: CreatedLink; onDone(): void }) {
  const id = useId();
  return (
    <div role="status" className="mt-2 rounded-lg border bg-muted/50 p-3">
      <Label htmlFor={id}>Copy this link now. It is not shown again.</Label>
      <div className="mt-2 flex flex-wrap gap-2">
        <Input
          id={id}
          readOnly
          value={link.url}
          autoFocus
          onFocus={({ currentTarget }) => currentTarget.select()}
          className="min-w-0 flex-1 font-mono text-[0.8125rem] sm:text-[0.8125rem]"
        />
        <CopyButton text={link.url} label="Copy link" />
        <Button variant="outline" onClick={onDone}>
          Done
        </Button>
      </div>
    </div>
  );
}

function LinkRow({ workspace, port, link }: { workspace: string; port: number; link: ShareLink }) {
  const revoke = useRevokeLink(workspace, port);
  const uses = link.one_use ? (link.used_at ? "used up" : "works once") : undefined;
  const what = [link.path === "/" ? "All of it" : link.path, uses].filter(Boolean).join(" · ");
  return (
    <li className="flex flex-wrap items-center justify-between gap-2 text-sm">
      <p className="min-w-0">
        <span className="break-all">{what}</span>{" "}
        <span className="text-muted-foreground">
          ends <TimeAgo at={link.expires_at} />
        </span>
      </p>
      <Button
        variant="outline"
        size="sm"
        isBusy={revoke.isPending}
        onClick={() => revoke.mutate(link.id)}
        aria-label={`Revoke the link to ${link.path === "/" ? `port ${port}` : link.path}`}
      >
        Revoke
      </Button>
      {revoke.error !== null && <FormError error={asApiError(revoke.error)} />}
    </li>
  );
}
