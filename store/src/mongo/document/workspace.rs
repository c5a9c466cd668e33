//! Workspaces and the keys that make their creation repeatable.

use kalpana_domain::id::Generation;
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::repository::{BranchName, RepositoryUrl};
use kalpana_domain::sleep::SleepPolicy;
use kalpana_domain::workspace::{Desired, Egress, Size, Spec, Workspace, WorkspaceName};
use mongodb::bson::{Binary, Bson, DateTime};
use serde::{Deserialize, Serialize};

use super::{
    corrupt, date, hash, number, parsed, read_hash, read_number, read_value, time, write_value,
};
use crate::error::{StoreError, StoreResult};
use crate::transfer::{IdempotencyKeyRecord, WorkspaceRecord};

/// Returns a state's name as `status` has it: `STOPPED`, `RUNNING`, ...
fn status(lifecycle: &Lifecycle) -> String {
    lifecycle.name().to_ascii_uppercase()
}

/// A workspace. `status` is the state's name, for people and their queries; `lifecycle` is the
/// state with its data, which is what counts. `githubRepo` may be at any Git host.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkspaceDocument {
    #[serde(rename = "_id")]
    id: String,
    name: String,
    user_id: String,
    organization_id: String,
    github_repo: Option<String>,
    github_branch: Option<String>,
    size: Size,
    egress: Egress,
    status: String,
    /// How it sleeps; absent in what was written before workspaces slept.
    #[serde(default)]
    sleep: Option<Bson>,
    /// The snapshot that its volumes are to be filled from before it starts.
    #[serde(default)]
    filled_from: Option<Bson>,
    desired: String,
    lifecycle: Bson,
    generation: i64,
    version: i64,
    created_at: DateTime,
    updated_at: DateTime,
    #[serde(default)]
    deleted_at: Option<DateTime>,
    /// When its files were given up. Apart from `desired`, whose words older processes know.
    #[serde(default)]
    purged_at: Option<DateTime>,
}

impl TryFrom<&WorkspaceRecord> for WorkspaceDocument {
    type Error = StoreError;
    fn try_from(record: &WorkspaceRecord) -> StoreResult<Self> {
        let workspace = &record.workspace;
        let spec = &workspace.spec;
        let (desired, purged_at) = match workspace.desired {
            Desired::Purged => (Desired::Deleted, Some(date(workspace.updated_at))),
            desired => (desired, None),
        };
        Ok(Self {
            id: workspace.id.to_string(),
            name: spec.name.as_str().to_owned(),
            user_id: workspace.owner.to_string(),
            organization_id: workspace.organization.to_string(),
            github_repo: spec.repository.as_ref().map(|url| url.as_str().to_owned()),
            github_branch: spec.branch.as_ref().map(|name| name.as_str().to_owned()),
            size: spec.size,
            egress: spec.egress,
            status: status(&workspace.lifecycle),
            sleep: Some(write_value(&workspace.sleep)?),
            filled_from: workspace
                .filled_from
                .as_ref()
                .map(write_value)
                .transpose()?,
            desired: desired.as_str().to_owned(),
            lifecycle: write_value(&workspace.lifecycle)?,
            generation: number(workspace.generation.0, "generation")?,
            version: number(workspace.version, "version")?,
            created_at: date(workspace.created_at),
            updated_at: date(workspace.updated_at),
            deleted_at: record.deleted_at.map(date),
            purged_at,
        })
    }
}

impl TryFrom<WorkspaceDocument> for WorkspaceRecord {
    type Error = StoreError;
    fn try_from(document: WorkspaceDocument) -> StoreResult<Self> {
        let spec = Spec {
            name: WorkspaceName::try_from(document.name).map_err(corrupt("name"))?,
            repository: document
                .github_repo
                .map(RepositoryUrl::try_from)
                .transpose()
                .map_err(corrupt("githubRepo"))?,
            branch: document
                .github_branch
                .map(BranchName::try_from)
                .transpose()
                .map_err(corrupt("githubBranch"))?,
            size: document.size,
            egress: document.egress,
        };
        let workspace = Workspace {
            id: parsed(&document.id, "_id")?,
            organization: parsed(&document.organization_id, "organizationId")?,
            owner: parsed(&document.user_id, "userId")?,
            spec,
            sleep: match document.sleep {
                None | Some(Bson::Null) => SleepPolicy::default(),
                Some(sleep) => read_value(sleep, "sleep")?,
            },
            filled_from: match document.filled_from {
                None | Some(Bson::Null) => None,
                Some(snapshot) => Some(read_value(snapshot, "filledFrom")?),
            },
            desired: match document.purged_at {
                Some(_) => Desired::Purged,
                None => parsed(&document.desired, "desired")?,
            },
            lifecycle: read_value(document.lifecycle, "lifecycle")?,
            generation: Generation(read_number(document.generation, "generation")?),
            version: read_number(document.version, "version")?,
            created_at: time(document.created_at, "createdAt")?,
            updated_at: time(document.updated_at, "updatedAt")?,
        };
        let deleted_at = document
            .deleted_at
            .map(|date| time(date, "deletedAt"))
            .transpose()?;
        Ok(Self {
            workspace,
            deleted_at,
        })
    }
}

/// What a repeated request is answered with. The id is the user's and the client's key, which may
/// hold any text, with a slash between them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IdempotencyKeyDocument {
    #[serde(rename = "_id")]
    pub(crate) id: String,
    user_id: String,
    key: String,
    request_hash: Binary,
    workspace_id: String,
    expires_at: DateTime,
}

impl From<&IdempotencyKeyRecord> for IdempotencyKeyDocument {
    fn from(record: &IdempotencyKeyRecord) -> Self {
        let user = record.user.to_string();
        Self {
            id: format!("{user}/{}", record.key),
            user_id: user,
            key: record.key.clone(),
            request_hash: hash(&record.request_hash),
            workspace_id: record.workspace.to_string(),
            expires_at: date(record.expires_at),
        }
    }
}

impl TryFrom<IdempotencyKeyDocument> for IdempotencyKeyRecord {
    type Error = StoreError;
    fn try_from(document: IdempotencyKeyDocument) -> StoreResult<Self> {
        Ok(Self {
            user: parsed(&document.user_id, "userId")?,
            key: document.key,
            request_hash: read_hash(&document.request_hash, "requestHash")?,
            workspace: parsed(&document.workspace_id, "workspaceId")?,
            expires_at: time(document.expires_at, "expiresAt")?,
        })
    }
}
