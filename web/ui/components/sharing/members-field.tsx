"use client";

import { X } from "lucide-react";
import { useId, useState, type KeyboardEvent } from "react";

import { Field } from "@/components/common/field";
import { Button } from "@/components/ui/button";
import { Input } from "@/components/ui/input";
import { usePeople } from "@/hooks/use-sharing";
import type { Person } from "@/lib/api/types";

interface MembersFieldProps {
  members: readonly Person[];
  onChange(members: readonly Person[]): void;
  error?: string;
}

/** Names people: type part of a name or an e-mail address, choose with a click or with Enter. */
export function MembersField({ members, onChange, error }: MembersFieldProps) {
  const [search, setSearch] = useState("");
  const listId = useId();
  const people = usePeople(search);
  const isKnown = (person: Person) => members.some((member) => member.id === person.id);
  const found = (people.data ?? []).filter((person) => !isKnown(person));
  const isSearching = search.trim().length >= 2;

  const add = (person: Person): void => {
    onChange([...members, person]);
    setSearch("");
  };
  const onKeyDown = (event: KeyboardEvent<HTMLInputElement>): void => {
    if (event.key !== "Enter" || search === "") return;
    // Enter chooses here; the form is sent with its button, or with Enter in an empty field.
    event.preventDefault();
    const first = found[0];
    if (first !== undefined) add(first);
  };

  return (
    <div>
      <Field
        label="People"
        error={error}
        hint={
          isSearching && people.isSuccess && found.length === 0
            ? "Nobody else of that name is here."
            : "Type a name or an e-mail address."
        }
      >
        {(control) => (
          <Input
            {...control}
            role="combobox"
            aria-expanded={isSearching && found.length > 0}
            aria-controls={listId}
            aria-autocomplete="list"
            autoComplete="off"
            value={search}
            onChange={(event) => setSearch(event.target.value)}
            onKeyDown={onKeyDown}
          />
        )}
      </Field>
      <ul id={listId} aria-label="People found" className="mt-1 flex flex-col gap-1 empty:hidden">
        {isSearching &&
          found.map((person) => (
            <li key={person.id}>
              <button
                type="button"
                onClick={() => add(person)}
                className="flex w-full flex-wrap items-baseline gap-x-2 rounded-md border bg-card px-3 py-2 text-left text-sm outline-none hover:bg-accent focus-visible:ring-2 focus-visible:ring-ring"
              >
                {person.name}
                <span className="min-w-0 text-xs break-all text-muted-foreground">{person.email}</span>
              </button>
            </li>
          ))}
      </ul>
      <ul aria-label="People who can open it" className="mt-2 flex flex-wrap gap-2 empty:hidden">
        {members.map((member) => (
          <li
            key={member.id}
            className="flex max-w-full items-center gap-1 rounded-full bg-muted py-0.5 pr-1 pl-3 text-sm"
          >
            <span className="truncate" title={member.email}>
              {member.name}
            </span>
            <Button
              type="button"
              variant="ghost"
              size="icon-sm"
              className="size-6 rounded-full"
              aria-label={`Remove ${member.name}`}
              onClick={() => onChange(members.filter((other) => other.id !== member.id))}
            >
              <X aria-hidden="true" />
            </Button>
          </li>
        ))}
      </ul>
    </div>
  );
}
