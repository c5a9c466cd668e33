/** A port of a workspace, as the first label of its host name says it. */
export interface PortLabel {
  label: string;
  port: number;
}

/** Reads `3000-abcdefghij01`; nothing else is the address of a port. */
export function portLabel(text: string | null): PortLabel | undefined {
  const match = /^([1-9][0-9]{3,4})-[a-z][a-z0-9]{11}$/.exec(text ?? "");
  const port = Number(match?.[1]);
  return match === null || port < 1024 || port > 65_535 ? undefined : { label: match[0], port };
}

/** Returns what is wrong with a port that somebody typed, or nothing. */
export function portProblem(text: string): string | undefined {
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (text === "") return "Give the port that your program listens on.";
  return port >= 1024 && port <= 65_535 ? undefined : "Ports are numbers from 1024 to 65535.";
}
