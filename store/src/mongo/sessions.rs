//! Browser sessions.

use async_trait::async_trait;
use futures_util::{FutureExt, TryStreamExt};
use kalpana_domain::Timestamp;
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::id::{SessionId, UserId};
use kalpana_domain::user::User;
use mongodb::bson::{Document, doc};

use super::document::{self, SessionDocument, date};
use super::failure::Failure;
use super::{Attempt, MongoStore, audit, gate, name, users};
use crate::error::StoreResult;
use crate::records::{EndedSession, SecretHash, Session};
use crate::repository::{Sessions, Users};
use crate::transfer::SessionRecord;

pub(super) fn read(document: Document) -> StoreResult<SessionRecord> {
    document::read::<SessionDocument>(document, name::SESSIONS)?.try_into()
}

/// Ends the living sessions of a person but `kept`, in a transaction that holds the lock of
/// [`users::lock_access`]. Returns them, sorted.
pub(super) async fn end_others(
    attempt: &mut Attempt<'_>,
    user: UserId,
    kept: Option<SessionId>,
    now: Timestamp,
) -> Result<Vec<SessionId>, Failure> {
    let kept = kept.map(|id| id.to_string()).unwrap_or_default();
    let filter = doc! {
        "userId": user.to_string(),
        "_id": { "$ne": kept },
        "endedAt": null,
        "expires": { "$gt": date(now) },
    };
    attempt
        .end_all(name::SESSIONS, filter, "endedAt", now)
        .await
}

#[async_trait]
impl Sessions for MongoStore {
    async fn create_session(&self, session: Session, event: AuditEvent) -> StoreResult<()> {
        let context = (session, self.entry(event).await?);
        self.transact(context, |attempt, (session, entry)| {
            async move {
                users::require(attempt, session.user).await?;
                users::lock_access(attempt, session.user).await?;
                let record = SessionRecord {
                    session: session.clone(),
                    ended_at: None,
                };
                attempt
                    .collection(name::SESSIONS)
                    .insert_one(document::write(&SessionDocument::from(&record))?)
                    .session(&mut *attempt.session)
                    .await
                    .map_err(|error| Failure::collision(error, "id"))?;
                audit::append(attempt, entry).await
            }
            .boxed()
        })
        .await
    }

    async fn session(
        &self,
        hash: SecretHash,
        now: Timestamp,
        idle_since: Timestamp,
    ) -> StoreResult<Option<(Session, User)>> {
        let found = self
            .collection(name::SESSIONS)
            .find_one(doc! {
                "sessionToken": document::hash(&hash),
                "endedAt": null,
                "expires": { "$gt": date(now) },
                "updatedAt": { "$gte": date(idle_since) },
            })
            .await?;
        let Some(record) = found.map(read).transpose()? else {
            return Ok(None);
        };
        let user = self.user(record.session.user).await?;
        Ok(user.map(|user| (record.session, user)))
    }

    async fn touch_session(&self, id: SessionId, now: Timestamp) -> StoreResult<()> {
        // Requests in parallel arrive here in any order: the latest stays.
        self.collection(name::SESSIONS)
            .update_one(
                doc! { "_id": id.to_string() },
                doc! { "$max": { "updatedAt": date(now) } },
            )
            .await?;
        Ok(())
    }

    async fn sessions_of(
        &self,
        user: UserId,
        now: Timestamp,
        idle_since: Timestamp,
    ) -> StoreResult<Vec<Session>> {
        let documents: Vec<Document> = self
            .collection(name::SESSIONS)
            .find(doc! {
                "userId": user.to_string(),
                "endedAt": null,
                "expires": { "$gt": date(now) },
                "updatedAt": { "$gte": date(idle_since) },
            })
            .sort(doc! { "updatedAt": -1, "_id": -1 })
            .await?
            .try_collect()
            .await?;
        documents
            .into_iter()
            .map(|document| read(document).map(|record| record.session))
            .collect()
    }

    async fn end_session(
        &self,
        user: UserId,
        id: SessionId,
        now: Timestamp,
        event: AuditEvent,
    ) -> StoreResult<bool> {
        let context = (user, id, now, self.entry(event).await?);
        self.transact(context, |attempt, (user, id, now, entry)| {
            async move {
                let ended = attempt
                    .collection(name::SESSIONS)
                    .update_one(
                        doc! {
                            "_id": id.to_string(),
                            "userId": user.to_string(),
                            "endedAt": null,
                            "expires": { "$gt": date(*now) },
                        },
                        doc! { "$set": { "endedAt": date(*now) } },
                    )
                    .session(&mut *attempt.session)
                    .await?;
                if ended.matched_count == 1 {
                    audit::append(attempt, entry).await?;
                }
                Ok(ended.matched_count == 1)
            }
            .boxed()
        })
        .await
    }

    async fn end_other_sessions(
        &self,
        user: UserId,
        kept: Option<SessionId>,
        now: Timestamp,
        event: AuditEvent,
    ) -> StoreResult<Vec<SessionId>> {
        let context = (user, kept, now, self.entry(event).await?);
        self.transact(context, |attempt, (user, kept, now, entry)| {
            async move {
                users::lock_access(attempt, *user).await?;
                let ended = end_others(attempt, *user, *kept, *now).await?;
                if !ended.is_empty() {
                    audit::append(attempt, entry).await?;
                }
                Ok(ended)
            }
            .boxed()
        })
        .await
    }

    async fn ended_sessions(&self, since: Timestamp) -> StoreResult<Vec<EndedSession>> {
        let documents: Vec<Document> = self
            .collection(name::SESSIONS)
            .find(doc! { "endedAt": { "$gte": date(since) } })
            .sort(doc! { "endedAt": 1, "_id": 1 })
            .await?
            .try_collect()
            .await?;
        let records = documents.into_iter().map(read);
        records
            .filter_map(|record| record.map(|record| ended(&record)).transpose())
            .collect()
    }

    async fn purge_sessions(&self, before: Timestamp) -> StoreResult<u64> {
        // There is time for this when the store is where it will stay.
        if gate::is_closed(self).await? {
            return Ok(0);
        }
        let before = date(before);
        let removed = self
            .collection(name::SESSIONS)
            .delete_many(doc! { "$or": [
                { "endedAt": { "$lt": before } },
                { "expires": { "$lt": before } },
            ] })
            .await?;
        Ok(removed.deleted_count)
    }
}

/// Returns what is to be told of a session that has ended.
pub(super) fn ended(record: &SessionRecord) -> Option<EndedSession> {
    record.ended_at.map(|ended_at| EndedSession {
        id: record.session.id,
        ended_at,
    })
}
