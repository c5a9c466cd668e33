//! How ports are shared.

use async_trait::async_trait;
use futures_util::{FutureExt, TryStreamExt};
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::sharing::PortShare;
use mongodb::bson::{Document, doc};

use super::document::{self, PortShareDocument};
use super::failure::Failure;
use super::{Attempt, MongoStore, audit, name};
use crate::error::{StoreError, StoreResult};
use crate::records::{SecretHash, first_version};
use crate::repository::Sharing;
use crate::transfer::port_key;

pub(super) fn read(document: Document) -> StoreResult<PortShare> {
    document::read::<PortShareDocument>(document, name::PORT_SHARES)?.try_into()
}

pub(super) fn write(share: &PortShare) -> StoreResult<Document> {
    document::write(&PortShareDocument::try_from(share)?)
}

/// Makes transactions about how one workspace's ports are shared run one after the other: each
/// writes this document. Two of them could otherwise each find room for one port more, or remember
/// a port of a workspace that goes away beside them.
pub(super) async fn lock(attempt: &mut Attempt<'_>, workspace: WorkspaceId) -> Result<(), Failure> {
    attempt
        .collection(name::LOCKS)
        .update_one(
            doc! { "_id": format!("ports of {workspace}") },
            doc! { "$inc": { "turns": 1_i64 } },
        )
        .upsert(true)
        .session(&mut *attempt.session)
        .await?;
    Ok(())
}

/// Forgets all ports of a workspace.
pub(super) async fn remove_all_of(
    attempt: &mut Attempt<'_>,
    workspace: WorkspaceId,
) -> Result<(), Failure> {
    lock(attempt, workspace).await?;
    attempt
        .collection(name::PORT_SHARES)
        .delete_many(doc! { "workspaceId": workspace.as_str() })
        .session(&mut *attempt.session)
        .await?;
    Ok(())
}

async fn put(attempt: &mut Attempt<'_>, share: &PortShare) -> Result<PortShare, Failure> {
    lock(attempt, share.workspace).await?;
    let living = attempt
        .collection(name::WORKSPACES)
        .find_one(doc! { "_id": share.workspace.as_str(), "deletedAt": null })
        .session(&mut *attempt.session)
        .await?;
    if living.is_none() {
        return Err(StoreError::NotFound { what: "workspace" }.into());
    }
    let id = doc! { "_id": port_key(share.workspace, share.port) };
    let ports = attempt.collection(name::PORT_SHARES);
    let known = ports
        .find_one(id.clone())
        .session(&mut *attempt.session)
        .await?;
    let known = known.map(read).transpose()?;
    if known.as_ref().map_or(0, |known| known.version) != share.version {
        return Err(StoreError::Conflict { what: "version" }.into());
    }
    if share.is_blank() {
        ports.delete_one(id).session(&mut *attempt.session).await?;
        return Ok(PortShare {
            version: 0,
            ..share.clone()
        });
    }
    let version = match &known {
        Some(known) => known.version + 1,
        None => {
            let count = ports
                .count_documents(doc! { "workspaceId": share.workspace.as_str() })
                .session(&mut *attempt.session)
                .await?;
            if count >= PortShare::PORT_LIMIT as u64 {
                return Err(StoreError::Conflict { what: "ports" }.into());
            }
            first_version(share.updated_at)
        }
    };
    let document = write(&PortShare {
        version,
        ..share.clone()
    })?;
    ports
        .replace_one(id, &document)
        .upsert(true)
        .session(&mut *attempt.session)
        .await?;
    Ok(read(document)?)
}

impl MongoStore {
    async fn ports(&self, filter: Document) -> StoreResult<Vec<PortShare>> {
        let documents: Vec<Document> = self
            .collection(name::PORT_SHARES)
            .find(filter)
            .sort(doc! { "_id": 1 })
            .await?
            .try_collect()
            .await?;
        documents.into_iter().map(read).collect()
    }

    /// Returns numbers that differ after any change of how ports are shared.
    pub(super) async fn sharing_mark(&self) -> StoreResult<(usize, u64, i64)> {
        let ports = self.ports(doc! {}).await?;
        let versions = ports.iter().map(|share| share.version);
        let latest = ports.iter().map(|share| share.updated_at.as_millisecond());
        Ok((
            ports.len(),
            versions.fold(0, u64::wrapping_add),
            latest.max().unwrap_or(0),
        ))
    }
}

#[async_trait]
impl Sharing for MongoStore {
    async fn port_share(
        &self,
        workspace: WorkspaceId,
        port: u16,
    ) -> StoreResult<Option<PortShare>> {
        let found = self
            .collection(name::PORT_SHARES)
            .find_one(doc! { "_id": port_key(workspace, port) })
            .await?;
        found.map(read).transpose()
    }

    async fn port_shares_of(&self, workspace: WorkspaceId) -> StoreResult<Vec<PortShare>> {
        self.ports(doc! { "workspaceId": workspace.as_str() }).await
    }

    async fn port_share_by_link(&self, secret: SecretHash) -> StoreResult<Option<PortShare>> {
        let found = self
            .collection(name::PORT_SHARES)
            .find_one(doc! { "linkHashes": document::hash(&secret) })
            .sort(doc! { "_id": 1 })
            .await?;
        found.map(read).transpose()
    }

    async fn all_port_shares(&self) -> StoreResult<Vec<PortShare>> {
        self.ports(doc! {}).await
    }

    async fn put_port_share(&self, share: &PortShare, event: AuditEvent) -> StoreResult<PortShare> {
        let context = (share.clone(), self.entry(event).await?);
        self.transact(context, |attempt, (share, entry)| {
            async move {
                let kept = put(attempt, share).await?;
                audit::append(attempt, entry).await?;
                Ok(kept)
            }
            .boxed()
        })
        .await
    }
}
