//! Deleted workspaces: the tombstones whose volumes are kept.

use async_trait::async_trait;
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::id::{UserId, WorkspaceId};
use kalpana_domain::quota::Quota;
use kalpana_domain::workspace::Workspace;
use rusqlite::{Connection, Row};

use super::row::{all, change, exists, one, timestamp, to_column, to_json};
use super::workspaces::{by_id, filled_from, held_by, read};
use super::{SqliteStore, audit};
use crate::error::{StoreError, StoreResult};
use crate::page::{Page, PageRequest, Position};
use crate::records::DeletedWorkspace;
use crate::repository::Trash;

fn read_deleted(row: &Row<'_>) -> StoreResult<DeletedWorkspace> {
    Ok(DeletedWorkspace {
        workspace: read(row)?,
        deleted_at: timestamp(row, "deleted_at")?,
    })
}

/// Says why a write to a row that must have `version`, and must meet `condition`, changed nothing.
fn refusal(connection: &Connection, id: &str, condition: &str) -> StoreResult<StoreError> {
    let sql = format!("SELECT 1 FROM workspaces WHERE id = ?1 AND {condition}");
    Ok(if exists(connection, &sql, [id])? {
        StoreError::Conflict { what: "version" }
    } else {
        StoreError::NotFound { what: "workspace" }
    })
}

#[async_trait]
impl Trash for SqliteStore {
    async fn deleted_workspace(&self, id: WorkspaceId) -> StoreResult<Option<DeletedWorkspace>> {
        self.read(move |connection| {
            one(
                connection,
                "SELECT * FROM workspaces WHERE id = ?1 AND deleted_at IS NOT NULL",
                [id.as_str()],
                read_deleted,
            )
        })
        .await
    }

    async fn deleted_workspaces_of(
        &self,
        owner: UserId,
        page: PageRequest,
    ) -> StoreResult<Page<DeletedWorkspace>> {
        let (before, size) = (page.position()?, page.size());
        // "~" sorts after every id.
        let before = before.unwrap_or(Position {
            rank: i64::MAX,
            id: "~".to_owned(),
        });
        self.read(move |connection| {
            let rows = all(
                connection,
                "SELECT * FROM workspaces
                 WHERE owner_id = ?1 AND deleted_at IS NOT NULL AND purged_at IS NULL
                       AND (deleted_at, id) < (?2, ?3)
                 ORDER BY deleted_at DESC, id DESC LIMIT ?4",
                (owner.to_string(), before.rank, before.id, size as i64 + 1),
                read_deleted,
            )?;
            Ok(Page::cut(rows, size, |deleted| Position {
                rank: deleted.deleted_at.as_millisecond(),
                id: deleted.workspace.id.to_string(),
            }))
        })
        .await
    }

    async fn restore_workspace(
        &self,
        workspace: &Workspace,
        quota: Quota,
        event: AuditEvent,
    ) -> StoreResult<Workspace> {
        let workspace = workspace.clone();
        self.write(move |transaction| {
            let id = workspace.id.as_str();
            let changed = change(
                transaction,
                "UPDATE workspaces
                 SET desired = ?3, lifecycle = ?4, generation = ?5, updated_at = ?6, sleep = ?7,
                     filled_from = ?8, deleted_at = NULL, version = version + 1
                 WHERE id = ?1 AND version = ?2 AND purged_at IS NULL",
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
                return Err(refusal(transaction, id, "purged_at IS NULL")?);
            }
            let owner = workspace.owner.to_string();
            quota.admit(held_by(transaction, &owner, Some(id))?)?;
            audit::append(transaction, &event)?;
            by_id(transaction, id)?.ok_or(StoreError::NotFound { what: "workspace" })
        })
        .await
    }

    async fn purge_workspace(&self, workspace: &Workspace, event: AuditEvent) -> StoreResult<()> {
        let (id, version, now) = (workspace.id, workspace.version, workspace.updated_at);
        self.write(move |transaction| {
            let id = id.as_str();
            let changed = change(
                transaction,
                "UPDATE workspaces SET purged_at = ?3, updated_at = ?3, version = version + 1
                 WHERE id = ?1 AND version = ?2
                       AND deleted_at IS NOT NULL AND purged_at IS NULL",
                (id, to_column(version, "version")?, now.as_millisecond()),
            )?;
            if changed == 0 {
                let condition = "deleted_at IS NOT NULL AND purged_at IS NULL";
                return Err(refusal(transaction, id, condition)?);
            }
            audit::append(transaction, &event)
        })
        .await
    }
}
