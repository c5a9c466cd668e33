//! The audit log.
//!
//! Places in the log are given out one by one outside the transactions, so that writers do not wait
//! for each other: an operation that begins after another has returned has the later place; of
//! operations side by side either may have it, and numbers may be missing.

use async_trait::async_trait;
use futures_util::{FutureExt, TryStreamExt};
use kalpana_domain::audit::AuditEvent;
use mongodb::bson::{Document, doc};
use mongodb::options::ReturnDocument;

use super::document::{self, AuditEventDocument};
use super::failure::Failure;
use super::{Attempt, MongoStore, name};
use crate::error::{StoreError, StoreResult};
use crate::page::{Page, PageRequest, Position};
use crate::repository::Audit;

/// The counter of places.
pub(super) const COUNTER: &str = "audit";

/// Makes the counter, where it is missing: many that make it at once would get into each other's way.
pub(super) async fn prepare(store: &MongoStore) -> Result<(), mongodb::error::Error> {
    store
        .collection(name::COUNTERS)
        .update_one(
            doc! { "_id": COUNTER },
            doc! { "$setOnInsert": { "value": 0_i64 } },
        )
        .upsert(true)
        .await?;
    Ok(())
}

/// An event with its place in the log.
pub(super) struct Entry {
    pub(super) sequence: i64,
    pub(super) event: AuditEvent,
}

impl MongoStore {
    /// Gives an event the next place in the log.
    pub(super) async fn entry(&self, event: AuditEvent) -> StoreResult<Entry> {
        let counter = self
            .collection(name::COUNTERS)
            .find_one_and_update(doc! { "_id": COUNTER }, doc! { "$inc": { "value": 1_i64 } })
            .return_document(ReturnDocument::After)
            .await?;
        let sequence = counter
            .and_then(|counter| counter.get_i64("value").ok())
            .ok_or(StoreError::NotFound { what: "counter" })?;
        Ok(Entry { sequence, event })
    }
}

/// Appends an event, in the transaction of the change it tells of.
pub(super) async fn append(attempt: &mut Attempt<'_>, entry: &Entry) -> Result<(), Failure> {
    let document = AuditEventDocument::new(entry.sequence, &entry.event)?;
    attempt
        .collection(name::AUDIT_EVENTS)
        .insert_one(document::write(&document)?)
        .session(&mut *attempt.session)
        .await
        .map_err(|error| Failure::collision(error, "audit"))?;
    Ok(())
}

pub(super) fn read(document: Document) -> StoreResult<(i64, AuditEvent)> {
    let document: AuditEventDocument = document::read(document, name::AUDIT_EVENTS)?;
    Ok((document.sequence, document.into_event()?))
}

#[async_trait]
impl Audit for MongoStore {
    async fn append_audit(&self, event: AuditEvent) -> StoreResult<()> {
        let entry = self.entry(event).await?;
        self.transact(entry, |attempt, entry| append(attempt, entry).boxed())
            .await
    }

    async fn audit_events(&self, page: PageRequest) -> StoreResult<Page<AuditEvent>> {
        let before = page.position()?.map_or(i64::MAX, |position| position.rank);
        let size = page.size();
        let documents: Vec<Document> = self
            .collection(name::AUDIT_EVENTS)
            .find(doc! { "sequence": { "$lt": before } })
            .sort(doc! { "sequence": -1 })
            .limit(size as i64 + 1)
            .await?
            .try_collect()
            .await?;
        let events: Vec<_> = documents.into_iter().map(read).collect::<Result<_, _>>()?;
        let page = Page::cut(events, size, |(sequence, _)| Position {
            rank: *sequence,
            id: String::new(),
        });
        Ok(Page {
            items: page.items.into_iter().map(|(_, event)| event).collect(),
            next: page.next,
        })
    }
}
