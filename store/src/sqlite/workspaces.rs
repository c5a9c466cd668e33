//! Workspaces, the keys that make their creation repeatable, and tombstones.

use async_trait::async_trait;
use kalpana_domain::Timestamp;
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::id::{Generation, OrganizationId, UserId, WorkspaceId};
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::quota::Quota;
use kalpana_domain::snapshot::SnapshotRef;
use kalpana_domain::workspace::{Desired, Spec, Workspace};
use rusqlite::{Connection, Row};

use super::row::{
    all, change, converted, count, exists, json, one, optional_converted, optional_json,
    optional_timestamp, parsed, plain, secret_hash, timestamp, to_column, to_json,
};
use super::{SqliteStore, audit, sharing, users};
use crate::error::{StoreError, StoreResult};
use crate::page::{Page, PageRequest, Position};
use crate::records::{Idempotency, NewWorkspace};
use crate::repository::Workspaces;
use crate::transfer::WorkspaceRecord;

pub(super) fn read(row: &Row<'_>) -> StoreResult<Workspace> {
    Ok(Workspace {
        id: parsed(row, "id")?,
        organization: parsed(row, "organization_id")?,
        owner: parsed(row, "owner_id")?,
        spec: Spec {
            name: converted(row, "name")?,
            repository: optional_converted(row, "repository")?,
            branch: optional_converted(row, "branch")?,
            size: parsed(row, "size")?,
            egress: parsed(row, "egress")?,
        },
        sleep: optional_json(row, "sleep")?.unwrap_or_default(),
        filled_from: optional_json(row, "filled_from")?,
        desired: match optional_timestamp(row, "purged_at")? {
            Some(_) => Desired::Purged,
            None => parsed(row, "desired")?,
        },
        lifecycle: json(row, "lifecycle")?,
        generation: Generation(count(row, "generation")?),
        version: count(row, "version")?,
        created_at: timestamp(row, "created_at")?,
        updated_at: timestamp(row, "updated_at")?,
    })
}

/// Returns a workspace whether or not it is a tombstone.
pub(super) fn by_id(connection: &Connection, id: &str) -> StoreResult<Option<Workspace>> {
    one(
        connection,
        "SELECT * FROM workspaces WHERE id = ?1",
        [id],
        read,
    )
}

/// Returns the workspace that `idempotency` stands for, when it has been used before.
fn repeated(
    connection: &Connection,
    owner: &str,
    idempotency: &Idempotency,
    now: Timestamp,
) -> StoreResult<Option<Workspace>> {
    let found = one(
        connection,
        "SELECT request_hash, workspace_id FROM idempotency_keys
         WHERE user_id = ?1 AND key = ?2 AND expires_at > ?3",
        (owner, &idempotency.key, now.as_millisecond()),
        |row| {
            Ok((
                secret_hash(row, "request_hash")?,
                plain::<String>(row, "workspace_id")?,
            ))
        },
    )?;
    match found {
        None => Ok(None),
        Some((hash, _)) if hash != idempotency.request_hash => Err(StoreError::Conflict {
            what: "idempotency",
        }),
        Some((_, workspace)) => by_id(connection, &workspace),
    }
}

fn remember(
    connection: &Connection,
    owner: &str,
    workspace: &str,
    idempotency: &Idempotency,
    now: Timestamp,
) -> StoreResult<()> {
    change(
        connection,
        "DELETE FROM idempotency_keys WHERE expires_at <= ?1",
        [now.as_millisecond()],
    )?;
    change(
        connection,
        "INSERT INTO idempotency_keys (user_id, key, request_hash, workspace_id, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        (
            owner,
            &idempotency.key,
            idempotency.request_hash,
            workspace,
            idempotency.expires_at.as_millisecond(),
        ),
    )?;
    Ok(())
}

/// Counts the workspaces that somebody holds, besides one, as [`Quota::counts`] does.
pub(super) fn held_by(
    connection: &Connection,
    owner: &str,
    besides: Option<&str>,
) -> StoreResult<u32> {
    let held = one(
        connection,
        "SELECT count(*) AS held FROM workspaces
         WHERE owner_id = ?1 AND deleted_at IS NULL AND desired <> ?2 AND id IS NOT ?3
               AND json_extract(lifecycle, '$.state') <> 'failed'",
        (owner, Desired::Deleted.as_str(), besides),
        |row| count(row, "held"),
    )?;
    Ok(u32::try_from(held.unwrap_or(0)).unwrap_or(u32::MAX))
}

fn insert(connection: &Connection, new: &NewWorkspace) -> StoreResult<()> {
    let id = new.id.as_str();
    users::require(connection, new.owner)?;
    let organization = new.organization.to_string();
    if !exists(
        connection,
        "SELECT 1 FROM organizations WHERE id = ?1",
        [&organization],
    )? {
        return Err(StoreError::NotFound { what: "reference" });
    }
    if exists(connection, "SELECT 1 FROM workspaces WHERE id = ?1", [id])? {
        return Err(StoreError::Conflict { what: "id" });
    }
    let created_at = new.created_at.as_millisecond();
    let lifecycle = Lifecycle::Starting {
        since: milliseconds(new.created_at),
    };
    change(
        connection,
        "INSERT INTO workspaces (id, organization_id, owner_id, name, repository, branch, size,
                                 egress, desired, lifecycle, generation, version, created_at,
                                 updated_at, filled_from)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 1, 1, ?11, ?11, ?12)",
        (
            id,
            organization,
            new.owner.to_string(),
            new.spec.name.as_str(),
            new.spec
                .repository
                .as_ref()
                .map(|repository| repository.as_str()),
            new.spec.branch.as_ref().map(|branch| branch.as_str()),
            new.spec.size.as_str(),
            new.spec.egress.as_str(),
            Desired::Running.as_str(),
            to_json(&lifecycle, "lifecycle")?,
            created_at,
            filled_from(new.filled_from)?,
        ),
    )?;
    Ok(())
}

/// Writes a workspace as another store has it.
pub(super) fn replace(connection: &Connection, record: &WorkspaceRecord) -> StoreResult<usize> {
    let workspace = &record.workspace;
    let spec = &workspace.spec;
    let (desired, purged_at) = match workspace.desired {
        Desired::Purged => (Desired::Deleted, Some(workspace.updated_at)),
        desired => (desired, None),
    };
    change(
        connection,
        "INSERT INTO workspaces (id, organization_id, owner_id, name, repository, branch, size,
                                 egress, desired, lifecycle, generation, version, created_at,
                                 updated_at, deleted_at, purged_at, sleep, filled_from)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                 ?18)
         ON CONFLICT (id) DO UPDATE
         SET desired = excluded.desired, lifecycle = excluded.lifecycle,
             generation = excluded.generation, version = excluded.version,
             updated_at = excluded.updated_at, deleted_at = excluded.deleted_at,
             purged_at = excluded.purged_at, sleep = excluded.sleep,
             filled_from = excluded.filled_from",
        rusqlite::params![
            workspace.id.as_str(),
            workspace.organization.to_string(),
            workspace.owner.to_string(),
            spec.name.as_str(),
            spec.repository
                .as_ref()
                .map(|repository| repository.as_str()),
            spec.branch.as_ref().map(|branch| branch.as_str()),
            spec.size.as_str(),
            spec.egress.as_str(),
            desired.as_str(),
            to_json(&workspace.lifecycle, "lifecycle")?,
            to_column(workspace.generation.0, "generation")?,
            to_column(workspace.version, "version")?,
            workspace.created_at.as_millisecond(),
            workspace.updated_at.as_millisecond(),
            record.deleted_at.map(Timestamp::as_millisecond),
            purged_at.map(Timestamp::as_millisecond),
            to_json(&workspace.sleep, "sleep")?,
            filled_from(workspace.filled_from)?,
        ],
    )
}

/// Returns a snapshot as its column holds it: NULL for none.
pub(super) fn filled_from(snapshot: Option<SnapshotRef>) -> StoreResult<Option<String>> {
    snapshot
        .map(|snapshot| to_json(&snapshot, "filled_from"))
        .transpose()
}

/// Cuts a time to what a column holds, so that a state in JSON agrees with its row.
fn milliseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

/// Writes what may change of a living workspace, if it still has the version that was seen.
fn write_row(connection: &Connection, workspace: &Workspace) -> StoreResult<Workspace> {
    let id = workspace.id.as_str();
    let changed = change(
        connection,
        "UPDATE workspaces
         SET desired = ?3, lifecycle = ?4, generation = ?5, updated_at = ?6, sleep = ?7,
             filled_from = ?8, version = version + 1
         WHERE id = ?1 AND version = ?2 AND deleted_at IS NULL",
        (
            id,
            to_column(workspace.version, "version")?,
            workspace.desired.as_str(),
            to_json(&workspace.lifecycle, "lifecycle")?,
            to_column(workspace.generation.0, "generation")?,
            workspace.updated_at.as_millisecond(),
            to_json(&workspace.sleep, "sleep")?,
            filled_from(workspace.filled_from)?,
        ),
    )?;
    if changed == 0 {
        return Err(refusal(connection, id)?);
    }
    by_id(connection, id)?.ok_or(StoreError::NotFound { what: "workspace" })
}

/// Says why a write to a row that must have `version` changed nothing.
fn refusal(connection: &Connection, id: &str) -> StoreResult<StoreError> {
    let is_there = exists(
        connection,
        "SELECT 1 FROM workspaces WHERE id = ?1 AND deleted_at IS NULL",
        [id],
    )?;
    Ok(if is_there {
        StoreError::Conflict { what: "version" }
    } else {
        StoreError::NotFound { what: "workspace" }
    })
}

fn page_of(
    connection: &Connection,
    column: &'static str,
    id: &str,
    before: Option<Position>,
    size: usize,
) -> StoreResult<Page<Workspace>> {
    // "~" sorts after every id.
    let before = before.unwrap_or(Position {
        rank: i64::MAX,
        id: "~".to_owned(),
    });
    let sql = format!(
        "SELECT * FROM workspaces
         WHERE {column} = ?1 AND deleted_at IS NULL AND (created_at, id) < (?2, ?3)
         ORDER BY created_at DESC, id DESC LIMIT ?4"
    );
    let rows = all(
        connection,
        &sql,
        (id, before.rank, before.id, size as i64 + 1),
        read,
    )?;
    Ok(Page::cut(rows, size, |workspace| Position {
        rank: workspace.created_at.as_millisecond(),
        id: workspace.id.to_string(),
    }))
}

#[async_trait]
impl Workspaces for SqliteStore {
    async fn create_workspace(
        &self,
        workspace: NewWorkspace,
        quota: Quota,
        idempotency: Option<Idempotency>,
        event: AuditEvent,
    ) -> StoreResult<Workspace> {
        self.write(move |transaction| {
            let (owner, id) = (workspace.owner.to_string(), workspace.id.as_str());
            let now = workspace.created_at;
            if let Some(idempotency) = &idempotency
                && let Some(made) = repeated(transaction, &owner, idempotency, now)?
            {
                return Ok(made);
            }
            quota.admit(held_by(transaction, &owner, None)?)?;
            insert(transaction, &workspace)?;
            if let Some(idempotency) = &idempotency {
                remember(transaction, &owner, id, idempotency, now)?;
            }
            audit::append(transaction, &event)?;
            by_id(transaction, id)?.ok_or(StoreError::NotFound { what: "workspace" })
        })
        .await
    }

    async fn workspace(&self, id: WorkspaceId) -> StoreResult<Option<Workspace>> {
        self.read(move |connection| {
            one(
                connection,
                "SELECT * FROM workspaces WHERE id = ?1 AND deleted_at IS NULL",
                [id.as_str()],
                read,
            )
        })
        .await
    }

    async fn workspaces_of(
        &self,
        owner: UserId,
        page: PageRequest,
    ) -> StoreResult<Page<Workspace>> {
        let (before, size) = (page.position()?, page.size());
        self.read(move |connection| {
            page_of(connection, "owner_id", &owner.to_string(), before, size)
        })
        .await
    }

    async fn workspaces_in(
        &self,
        organization: OrganizationId,
        page: PageRequest,
    ) -> StoreResult<Page<Workspace>> {
        let (before, size) = (page.position()?, page.size());
        self.read(move |connection| {
            page_of(
                connection,
                "organization_id",
                &organization.to_string(),
                before,
                size,
            )
        })
        .await
    }

    async fn all_workspaces(&self) -> StoreResult<Vec<Workspace>> {
        self.read(|connection| {
            let sql = "SELECT * FROM workspaces WHERE deleted_at IS NULL ORDER BY created_at, id";
            all(connection, sql, [], read)
        })
        .await
    }

    async fn update_workspace(
        &self,
        workspace: &Workspace,
        event: Option<AuditEvent>,
    ) -> StoreResult<Workspace> {
        let workspace = workspace.clone();
        self.write(move |transaction| {
            let written = write_row(transaction, &workspace)?;
            if let Some(event) = &event {
                audit::append(transaction, event)?;
            }
            Ok(written)
        })
        .await
    }

    async fn admit_workspace(
        &self,
        workspace: &Workspace,
        quota: Quota,
        event: AuditEvent,
    ) -> StoreResult<Workspace> {
        let workspace = workspace.clone();
        self.write(move |transaction| {
            let written = write_row(transaction, &workspace)?;
            let (owner, id) = (written.owner.to_string(), written.id.as_str());
            quota.admit(held_by(transaction, &owner, Some(id))?)?;
            audit::append(transaction, &event)?;
            Ok(written)
        })
        .await
    }

    async fn finish_deletion(&self, workspace: &Workspace, now: Timestamp) -> StoreResult<()> {
        let (id, version) = (workspace.id, workspace.version);
        self.write(move |transaction| {
            let id = id.as_str();
            let changed = change(
                transaction,
                "UPDATE workspaces SET deleted_at = ?3, updated_at = ?3, version = version + 1
                 WHERE id = ?1 AND version = ?2 AND deleted_at IS NULL",
                (id, to_column(version, "version")?, now.as_millisecond()),
            )?;
            if changed == 1 {
                sharing::remove_all_of(transaction, id)
            } else {
                Err(refusal(transaction, id)?)
            }
        })
        .await
    }
}
