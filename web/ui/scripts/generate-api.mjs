// Writes lib/api/schema.d.ts from the API's one description, ../openapi.json.
//
// The description's operation ids are left out: the client goes by paths, and ids that two calls
// share (they are named after functions) would give both of them the types of one.
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import openapiTS, { astToString } from "openapi-typescript";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

const description = JSON.parse(await readFile(here("../../openapi.json"), "utf8"));
for (const path of Object.values(description.paths)) {
  for (const method of METHODS) delete path[method]?.operationId;
}

const target = here("../lib/api/schema.d.ts");
const head = "// Generated from web/openapi.json by `npm run api:generate`; not edited by hand.\n\n";
await writeFile(target, head + astToString(await openapiTS(description)));
