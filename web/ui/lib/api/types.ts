/**
 * Short names for what the API speaks of. The shapes are generated from the API's own OpenAPI
 * description; only the names are chosen here.
 */
import type { components } from "@/lib/api/schema";

type Schemas = components["schemas"];

export type Workspace = Schemas["Workspace"];
export type Sleep = Schemas["Sleep"];
export type WorkspaceActivity = Schemas["WorkspaceActivity"];
export type DeletedWorkspace = Schemas["DeletedWorkspace"];
export type WorkspaceWork = Schemas["WorkspaceWork"];
export type RepositoryWork = WorkspaceWork["repositories"][number];
export type Snapshot = Schemas["Snapshot"];
export type Figures = Schemas["Figures"];
export type FiguresNow = Schemas["FiguresNow"];
export type FiguresLimits = Schemas["FiguresLimits"];
export type FiguresSample = Schemas["FiguresSample"];
export type Snapshots = Schemas["Snapshots"];
export type WorkspaceState = Workspace["state"];
export type Phase = NonNullable<Workspace["progress"]>["phases"][number];
export type PhaseStatus = Phase["status"];
export type Failure = NonNullable<Workspace["failure"]>;
export type User = Schemas["User"];
export type Role = User["role"];
export type Site = Schemas["Site"];
export type SizeOption = Site["sizes"][number];
export type ApiToken = Schemas["Token"];
export type CreatedToken = Schemas["CreatedToken"];
export type Place = Schemas["Place"];
export type Certificate = Schemas["Certificate"];
export type Scope = ApiToken["scopes"][number];
export type LogLine = Schemas["LogLine"];
export type Sharing = Schemas["Sharing"];
export type SharingLevel = Sharing["maximum"];
export type PortShare = Schemas["PortShare"];
export type ShareWish = Schemas["ShareRequest"];
export type ShareLink = Schemas["ShareLink"];
export type CreatedLink = Schemas["CreatedLink"];
export type AccessRequest = Schemas["AccessRequest"];
export type Person = Schemas["Person"];
