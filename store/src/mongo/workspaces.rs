//! Workspaces, the keys that make their creation repeatable, and tombstones.

use async_trait::async_trait;
use futures_util::{FutureExt, TryStreamExt};
use kalpana_domain::Timestamp;
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::id::{Generation, OrganizationId, UserId, WorkspaceId};
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::quota::Quota;
use kalpana_domain::sleep::SleepPolicy;
use kalpana_domain::workspace::{Desired, Workspace};
use mongodb::bson::{Document, doc};
use mongodb::options::ReturnDocument;

use super::audit::{self, Entry};
use super::document::{self, IdempotencyKeyDocument, WorkspaceDocument, date, number};
use super::failure::Failure;
use super::users::{self, after_position};
use super::{Attempt, MongoStore, name, sharing};
use crate::error::{StoreError, StoreResult};
use crate::page::{Page, PageRequest, Position};
use crate::records::{Idempotency, NewWorkspace};
use crate::repository::Workspaces;
use crate::transfer::{IdempotencyKeyRecord, WorkspaceRecord};

pub(super) fn read(document: Document) -> StoreResult<WorkspaceRecord> {
    document::read::<WorkspaceDocument>(document, name::WORKSPACES)?.try_into()
}

fn read_living(document: Document) -> StoreResult<Workspace> {
    read(document).map(|record| record.workspace)
}

/// Makes transactions about one person's number of workspaces run one after the other: each
/// writes this document.
pub(super) async fn lock_owner(attempt: &mut Attempt<'_>, owner: UserId) -> Result<(), Failure> {
    attempt
        .collection(name::LOCKS)
        .update_one(
            doc! { "_id": format!("workspaces of {owner}") },
            doc! { "$inc": { "turns": 1_i64 } },
        )
        .upsert(true)
        .session(&mut *attempt.session)
        .await?;
    Ok(())
}

/// Returns the workspace that `idempotency` stands for, when it has been used before.
async fn repeated(
    attempt: &mut Attempt<'_>,
    owner: UserId,
    idempotency: &Idempotency,
    now: Timestamp,
) -> Result<Option<Workspace>, Failure> {
    let found = attempt
        .collection(name::IDEMPOTENCY_KEYS)
        .find_one(doc! {
            "_id": format!("{owner}/{}", idempotency.key),
            "expiresAt": { "$gt": date(now) },
        })
        .session(&mut *attempt.session)
        .await?;
    let Some(found) = found else { return Ok(None) };
    let document: IdempotencyKeyDocument = document::read(found, name::IDEMPOTENCY_KEYS)?;
    let known = IdempotencyKeyRecord::try_from(document)?;
    if known.request_hash != idempotency.request_hash {
        let what = "idempotency";
        return Err(StoreError::Conflict { what }.into());
    }
    let made = attempt
        .collection(name::WORKSPACES)
        .find_one(doc! { "_id": known.workspace.as_str() })
        .session(&mut *attempt.session)
        .await?;
    Ok(made.map(read_living).transpose()?)
}

async fn remember(
    attempt: &mut Attempt<'_>,
    workspace: &NewWorkspace,
    idempotency: &Idempotency,
) -> Result<(), Failure> {
    let record = IdempotencyKeyRecord {
        user: workspace.owner,
        key: idempotency.key.clone(),
        request_hash: idempotency.request_hash,
        workspace: workspace.id,
        expires_at: idempotency.expires_at,
    };
    let document = IdempotencyKeyDocument::from(&record);
    // Over one that is past its end and not removed yet.
    attempt
        .collection(name::IDEMPOTENCY_KEYS)
        .replace_one(doc! { "_id": &document.id }, document::write(&document)?)
        .upsert(true)
        .session(&mut *attempt.session)
        .await?;
    Ok(())
}

/// Counts the workspaces that somebody holds, besides one, as [`Quota::counts`] does.
pub(super) async fn held_by(
    attempt: &mut Attempt<'_>,
    owner: UserId,
    besides: Option<WorkspaceId>,
) -> Result<u32, Failure> {
    let mut held = doc! {
        "userId": owner.to_string(),
        "deletedAt": null,
        "desired": { "$ne": Desired::Deleted.as_str() },
        "status": { "$ne": "FAILED" },
    };
    if let Some(besides) = besides {
        held.insert("_id", doc! { "$ne": besides.as_str() });
    }
    let held = attempt
        .collection(name::WORKSPACES)
        .count_documents(held)
        .session(&mut *attempt.session)
        .await?;
    Ok(u32::try_from(held).unwrap_or(u32::MAX))
}

async fn insert(attempt: &mut Attempt<'_>, new: &NewWorkspace) -> Result<Workspace, Failure> {
    let organization = attempt
        .collection(name::ORGANIZATIONS)
        .find_one(doc! { "_id": new.organization.to_string() })
        .session(&mut *attempt.session)
        .await?;
    if organization.is_none() {
        return Err(StoreError::NotFound { what: "reference" }.into());
    }
    let since = Timestamp::from_millisecond(new.created_at.as_millisecond());
    let record = WorkspaceRecord {
        workspace: Workspace {
            id: new.id,
            organization: new.organization,
            owner: new.owner,
            spec: new.spec.clone(),
            sleep: SleepPolicy::default(),
            filled_from: new.filled_from,
            desired: Desired::Running,
            lifecycle: Lifecycle::Starting {
                since: since.unwrap_or(new.created_at),
            },
            generation: Generation(1),
            version: 1,
            created_at: new.created_at,
            updated_at: new.created_at,
        },
        deleted_at: None,
    };
    let document = document::write(&WorkspaceDocument::try_from(&record)?)?;
    attempt
        .collection(name::WORKSPACES)
        .insert_one(&document)
        .session(&mut *attempt.session)
        .await
        .map_err(|error| Failure::collision(error, "id"))?;
    Ok(read_living(document)?)
}

async fn create(
    attempt: &mut Attempt<'_>,
    new: &NewWorkspace,
    quota: Quota,
    idempotency: Option<&Idempotency>,
    entry: &Entry,
) -> Result<Workspace, Failure> {
    lock_owner(attempt, new.owner).await?;
    if let Some(idempotency) = idempotency
        && let Some(made) = repeated(attempt, new.owner, idempotency, new.created_at).await?
    {
        return Ok(made);
    }
    let held = held_by(attempt, new.owner, None).await?;
    quota.admit(held).map_err(StoreError::from)?;
    users::require(attempt, new.owner).await?;
    let made = insert(attempt, new).await?;
    if let Some(idempotency) = idempotency {
        remember(attempt, new, idempotency).await?;
    }
    audit::append(attempt, entry).await?;
    Ok(made)
}

/// Changes the living workspace `id` if it still has `version`.
async fn change(
    attempt: &mut Attempt<'_>,
    id: WorkspaceId,
    version: u64,
    fields: Document,
) -> Result<Workspace, Failure> {
    change_where(attempt, (id, version), doc! { "deletedAt": null }, fields).await
}

/// Changes the workspace `id` that meets `condition`, if it still has `version`.
pub(super) async fn change_where(
    attempt: &mut Attempt<'_>,
    (id, version): (WorkspaceId, u64),
    condition: Document,
    fields: Document,
) -> Result<Workspace, Failure> {
    let workspaces = attempt.collection(name::WORKSPACES);
    let mut meant = condition;
    meant.insert("_id", id.as_str());
    let mut seen = meant.clone();
    seen.insert("version", number(version, "version")?);
    let changed = workspaces
        .find_one_and_update(seen, doc! { "$set": fields, "$inc": { "version": 1_i64 } })
        .return_document(ReturnDocument::After)
        .session(&mut *attempt.session)
        .await?;
    if let Some(changed) = changed {
        return Ok(read_living(changed)?);
    }
    let found = workspaces
        .find_one(meant)
        .session(&mut *attempt.session)
        .await?;
    Err(match found {
        Some(_) => StoreError::Conflict { what: "version" },
        None => StoreError::NotFound { what: "workspace" },
    }
    .into())
}

/// Returns the fields that a change of a workspace writes.
pub(super) fn written_fields(workspace: &Workspace) -> StoreResult<Document> {
    let record = WorkspaceRecord {
        workspace: workspace.clone(),
        deleted_at: None,
    };
    let mut whole = document::write(&WorkspaceDocument::try_from(&record)?)?;
    Ok([
        "sleep",
        "filledFrom",
        "desired",
        "lifecycle",
        "status",
        "generation",
        "updatedAt",
    ]
    .into_iter()
    .filter_map(|field| Some((field.to_owned(), whole.remove(field)?)))
    .collect())
}

impl MongoStore {
    async fn page_of(
        &self,
        field: &str,
        id: String,
        page: PageRequest,
    ) -> StoreResult<Page<Workspace>> {
        let (before, size) = (page.position()?, page.size());
        let mut filter = before.map_or_else(Document::new, |before| after_position(&before, "$lt"));
        filter.insert(field, id);
        filter.insert("deletedAt", mongodb::bson::Bson::Null);
        let documents: Vec<Document> = self
            .collection(name::WORKSPACES)
            .find(filter)
            .sort(doc! { "createdAt": -1, "_id": -1 })
            .limit(size as i64 + 1)
            .await?
            .try_collect()
            .await?;
        let rows: Vec<Workspace> = documents
            .into_iter()
            .map(read_living)
            .collect::<Result<_, _>>()?;
        Ok(Page::cut(rows, size, |workspace| Position {
            rank: workspace.created_at.as_millisecond(),
            id: workspace.id.to_string(),
        }))
    }
}

#[async_trait]
impl Workspaces for MongoStore {
    async fn create_workspace(
        &self,
        workspace: NewWorkspace,
        quota: Quota,
        idempotency: Option<Idempotency>,
        event: AuditEvent,
    ) -> StoreResult<Workspace> {
        let context = (workspace, quota, idempotency, self.entry(event).await?);
        self.transact(context, |attempt, (new, quota, idempotency, entry)| {
            create(attempt, new, *quota, idempotency.as_ref(), entry).boxed()
        })
        .await
    }

    async fn workspace(&self, id: WorkspaceId) -> StoreResult<Option<Workspace>> {
        let found = self
            .collection(name::WORKSPACES)
            .find_one(doc! { "_id": id.as_str() })
            .await?;
        let found = found.map(read).transpose()?;
        Ok(found
            .filter(|record| record.deleted_at.is_none())
            .map(|record| record.workspace))
    }

    async fn workspaces_of(
        &self,
        owner: UserId,
        page: PageRequest,
    ) -> StoreResult<Page<Workspace>> {
        self.page_of("userId", owner.to_string(), page).await
    }

    async fn workspaces_in(
        &self,
        organization: OrganizationId,
        page: PageRequest,
    ) -> StoreResult<Page<Workspace>> {
        self.page_of("organizationId", organization.to_string(), page)
            .await
    }

    async fn all_workspaces(&self) -> StoreResult<Vec<Workspace>> {
        let documents: Vec<Document> = self
            .collection(name::WORKSPACES)
            .find(doc! { "deletedAt": null })
            .sort(doc! { "createdAt": 1, "_id": 1 })
            .await?
            .try_collect()
            .await?;
        documents.into_iter().map(read_living).collect()
    }

    async fn update_workspace(
        &self,
        workspace: &Workspace,
        event: Option<AuditEvent>,
    ) -> StoreResult<Workspace> {
        let entry = match event {
            Some(event) => Some(self.entry(event).await?),
            None => None,
        };
        let context = (workspace.clone(), entry);
        self.transact(context, |attempt, (workspace, entry)| {
            async move {
                let fields = written_fields(workspace)?;
                let changed = change(attempt, workspace.id, workspace.version, fields).await?;
                if let Some(entry) = entry {
                    audit::append(attempt, entry).await?;
                }
                Ok(changed)
            }
            .boxed()
        })
        .await
    }

    async fn admit_workspace(
        &self,
        workspace: &Workspace,
        quota: Quota,
        event: AuditEvent,
    ) -> StoreResult<Workspace> {
        let context = (workspace.clone(), quota, self.entry(event).await?);
        self.transact(context, |attempt, (workspace, quota, entry)| {
            async move {
                lock_owner(attempt, workspace.owner).await?;
                let fields = written_fields(workspace)?;
                let written = change(attempt, workspace.id, workspace.version, fields).await?;
                let others = held_by(attempt, written.owner, Some(written.id)).await?;
                quota.admit(others).map_err(StoreError::from)?;
                audit::append(attempt, entry).await?;
                Ok(written)
            }
            .boxed()
        })
        .await
    }

    async fn finish_deletion(&self, workspace: &Workspace, now: Timestamp) -> StoreResult<()> {
        let context = (workspace.id, workspace.version, now);
        self.transact(context, |attempt, (id, version, now)| {
            async move {
                let fields = doc! { "deletedAt": date(*now), "updatedAt": date(*now) };
                change(attempt, *id, *version, fields).await?;
                sharing::remove_all_of(attempt, *id).await
            }
            .boxed()
        })
        .await
    }
}
