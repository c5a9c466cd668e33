//! Deleted workspaces: the tombstones whose volumes are kept.

use async_trait::async_trait;
use futures_util::{FutureExt, TryStreamExt};
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_domain::id::{UserId, WorkspaceId};
use kalpana_domain::quota::Quota;
use kalpana_domain::workspace::Workspace;
use mongodb::bson::{Bson, DateTime, Document, doc};

use super::document::date;
use super::workspaces::{change_where, held_by, lock_owner, read, written_fields};
use super::{MongoStore, audit, name};
use crate::error::{StoreError, StoreResult};
use crate::page::{Page, PageRequest, Position};
use crate::records::DeletedWorkspace;
use crate::repository::Trash;

/// Begins the time of what was deleted before there was a trash: that was promised to stay.
pub(super) async fn begin(store: &MongoStore) -> StoreResult<()> {
    let deleted = doc! { "deletedAt": { "$ne": Bson::Null } };
    store
        .collection(name::WORKSPACES)
        .update_many(
            deleted,
            doc! { "$set": { "deletedAt": date(SystemClock.now()) } },
        )
        .await?;
    Ok(())
}

fn not_purged() -> Document {
    doc! { "purgedAt": Bson::Null }
}

fn in_trash() -> Document {
    let mut filter = not_purged();
    filter.insert("deletedAt", doc! { "$ne": Bson::Null });
    filter
}

/// Reads a tombstone. A document of a living workspace is none.
fn read_deleted(document: Document) -> StoreResult<Option<DeletedWorkspace>> {
    let record = read(document)?;
    Ok(record.deleted_at.map(|deleted_at| DeletedWorkspace {
        workspace: record.workspace,
        deleted_at,
    }))
}

#[async_trait]
impl Trash for MongoStore {
    async fn deleted_workspace(&self, id: WorkspaceId) -> StoreResult<Option<DeletedWorkspace>> {
        let found = self
            .collection(name::WORKSPACES)
            .find_one(doc! { "_id": id.as_str() })
            .await?;
        Ok(found.map(read_deleted).transpose()?.flatten())
    }

    async fn deleted_workspaces_of(
        &self,
        owner: UserId,
        page: PageRequest,
    ) -> StoreResult<Page<DeletedWorkspace>> {
        let (before, size) = (page.position()?, page.size());
        let mut filter = in_trash();
        filter.insert("userId", owner.to_string());
        if let Some(before) = before {
            let at = DateTime::from_millis(before.rank);
            let earlier = doc! { "deletedAt": { "$lt": at } };
            let beside = doc! { "deletedAt": at, "_id": { "$lt": &before.id } };
            filter.insert("$or", vec![earlier, beside]);
        }
        let documents: Vec<Document> = self
            .collection(name::WORKSPACES)
            .find(filter)
            .sort(doc! { "deletedAt": -1, "_id": -1 })
            .limit(size as i64 + 1)
            .await?
            .try_collect()
            .await?;
        let mut rows = Vec::with_capacity(documents.len());
        for document in documents {
            rows.extend(read_deleted(document)?);
        }
        Ok(Page::cut(rows, size, |deleted| Position {
            rank: deleted.deleted_at.as_millisecond(),
            id: deleted.workspace.id.to_string(),
        }))
    }

    async fn restore_workspace(
        &self,
        workspace: &Workspace,
        quota: Quota,
        event: AuditEvent,
    ) -> StoreResult<Workspace> {
        let context = (workspace.clone(), quota, self.entry(event).await?);
        self.transact(context, |attempt, (workspace, quota, entry)| {
            async move {
                lock_owner(attempt, workspace.owner).await?;
                let mut fields = written_fields(workspace)?;
                fields.insert("deletedAt", Bson::Null);
                let place = (workspace.id, workspace.version);
                let restored = change_where(attempt, place, not_purged(), fields).await?;
                let others = held_by(attempt, workspace.owner, Some(workspace.id)).await?;
                quota.admit(others).map_err(StoreError::from)?;
                audit::append(attempt, entry).await?;
                Ok(restored)
            }
            .boxed()
        })
        .await
    }

    async fn purge_workspace(&self, workspace: &Workspace, event: AuditEvent) -> StoreResult<()> {
        let context = (
            (workspace.id, workspace.version),
            workspace.updated_at,
            self.entry(event).await?,
        );
        self.transact(context, |attempt, (place, now, entry)| {
            async move {
                let fields = doc! { "purgedAt": date(*now), "updatedAt": date(*now) };
                change_where(attempt, *place, in_trash(), fields).await?;
                audit::append(attempt, entry).await
            }
            .boxed()
        })
        .await
    }
}
