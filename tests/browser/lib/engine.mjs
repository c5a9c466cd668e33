// Asks the container engine itself, by label, what there is. Nothing here trusts Kalpana's answers.

import { lines, run } from "./program.mjs";

const docker = (...parameters) => run("docker", parameters);

/** Returns the containers of a site, running or not, by name. */
export function containers(instance) {
  return lines("docker", ["ps", "--all", ...labelled(instance), "--format", "{{.Names}}"]);
}

/** Returns the volumes of a workspace, by name. */
export function volumes(workspace) {
  const filter = `label=kalpana.workspace=${workspace}`;
  return lines("docker", ["volume", "ls", "--quiet", "--filter", filter]);
}

/** Runs a shell command in a workspace's one container, as the person whose workspace it is. */
export async function runInside(workspace, script) {
  const filter = `label=kalpana.workspace=${workspace}`;
  const names = await lines("docker", ["ps", "--filter", filter, "--format", "{{.Names}}"]);
  if (names.length !== 1) throw new Error(`workspace ${workspace} has ${names.length} running containers`);
  return docker("exec", "--user", "64000:64000", names[0], "sh", "-c", script);
}

/** Returns what a workspace's one container does, as the engine calls it: `running`, `paused`. */
export async function stateOf(workspace) {
  const filter = `label=kalpana.workspace=${workspace}`;
  const states = await lines("docker", ["ps", "--all", "--filter", filter, "--format", "{{.State}}"]);
  if (states.length !== 1) throw new Error(`workspace ${workspace} has ${states.length} containers`);
  return states[0];
}

/** Tells whether a file is in a workspace, by its absolute path. */
export async function isInside(workspace, path) {
  return (await runInside(workspace, `test -e '${path}' && echo yes || echo no`)) === "yes";
}

/** Returns the networks that a site's workspaces are on now, as in `10.1.2.16/28`. */
export async function subnets(instance) {
  const ids = await lines("docker", ["network", "ls", "--quiet", ...labelled(instance)]);
  const format = "{{range .IPAM.Config}}{{.Subnet}}{{end}}";
  return Promise.all(ids.map((id) => docker("network", "inspect", "--format", format, id)));
}

/** Removes all that a site left on the engine. */
export async function cleanUp(instance) {
  const steps = [
    [["ps", "--all", "--quiet"], ["rm", "--force"]],
    [["network", "ls", "--quiet"], ["network", "rm"]],
    [["volume", "ls", "--quiet"], ["volume", "rm", "--force"]],
  ];
  for (const [list, remove] of steps) {
    for (const one of await lines("docker", [...list, ...labelled(instance)])) await docker(...remove, one);
  }
}

function labelled(instance) {
  return ["--filter", `label=kalpana.instance=${instance}`];
}
