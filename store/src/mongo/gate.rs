//! What every writing transaction passes through: how a store is frozen without a gap.
//!
//! The gate is a few documents, its lanes, of which each transaction changes one by chance. Who
//! freezes the store changes all of them, one after the other, which the database does not let
//! happen beside a transaction that changed the same one: those that began before are over when the
//! freeze returns, those that come after see it. More lanes mean that transactions get less into
//! each other's way.

use std::time::Duration;

use futures_util::TryStreamExt;
use kalpana_domain::Timestamp;
use mongodb::bson::{Bson, DateTime, Document, doc};

use super::document::date;
use super::failure::{Failure, code, code_of};
use super::{Attempt, MongoStore, name};
use crate::error::{StoreError, StoreResult};
use crate::transfer::Freeze;

/// Documents of the gate.
pub(super) const LANES: i32 = 64;

/// How long to let a transaction go on that is in the way.
const TURN: Duration = Duration::from_millis(1);

/// Makes the gate's documents, where they are missing.
pub(super) async fn prepare(store: &MongoStore) -> Result<(), mongodb::error::Error> {
    let gate = store.collection(name::GATE);
    if gate.count_documents(doc! {}).await? == u64::from(LANES.unsigned_abs()) {
        return Ok(());
    }
    for lane in 0..LANES {
        gate.update_one(
            doc! { "_id": lane },
            doc! { "$setOnInsert": { "writes": 0_i64 } },
        )
        .upsert(true)
        .await?;
    }
    Ok(())
}

/// Counts a write, or refuses it when the store is frozen. A freeze that nobody renewed is lifted,
/// so that who froze the store learns that something was written since.
pub(super) async fn pass(attempt: &mut Attempt<'_>) -> Result<(), Failure> {
    let gate = attempt.collection(name::GATE);
    let lane = rand::random_range(0..LANES);
    let is_open = doc! {
        "_id": lane,
        "movedTo": null,
        "$or": [{ "until": null }, { "until": { "$lte": DateTime::now() } }],
    };
    let passed = gate
        .update_one(
            is_open,
            doc! { "$inc": { "writes": 1_i64 }, "$unset": { "by": "", "until": "" } },
        )
        .session(&mut *attempt.session)
        .await?;
    if passed.matched_count == 1 {
        return Ok(());
    }
    let closed = gate
        .find_one(doc! { "_id": lane })
        .session(&mut *attempt.session)
        .await?;
    let moved_to = closed
        .as_ref()
        .and_then(|lane| lane.get_str("movedTo").ok())
        .map(str::to_owned);
    Err(StoreError::Frozen { moved_to }.into())
}

/// Closes every lane for `freeze`. Returns false when somebody else holds one, or the store was
/// moved; then some may be closed already.
///
/// Not in one transaction: among busy writers that would hardly ever find all lanes at rest, while
/// a single change waits for its turn. The first lane settles who is first of two that freeze.
pub(super) async fn close(store: &MongoStore, freeze: Freeze, now: Timestamp) -> StoreResult<bool> {
    let gate = store.collection(name::GATE);
    let by = freeze.by.to_string();
    for lane in 0..LANES {
        let is_free = doc! {
            "_id": lane,
            "movedTo": null,
            "$or": [{ "by": { "$in": [&by, Bson::Null] } }, { "until": { "$lte": date(now) } }],
        };
        let mark = doc! { "$set": { "by": &by, "until": date(freeze.until) } };
        let closed = loop {
            match gate.update_one(is_free.clone(), mark.clone()).await {
                // Servers wait for the transaction that is in the way, but not all of them for long.
                Err(error) if code_of(&error) == Some(code::WRITE_CONFLICT) => {
                    tokio::time::sleep(TURN).await;
                }
                other => break other?,
            }
        };
        if closed.matched_count == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Tells whether somebody froze the store, or moved it.
pub(super) async fn is_closed(store: &MongoStore) -> StoreResult<bool> {
    let closed = store
        .collection(name::GATE)
        .find_one(doc! { "$or": [
            { "movedTo": { "$ne": null } },
            { "until": { "$gt": DateTime::now() } },
        ] })
        .await?;
    Ok(closed.is_some())
}

/// Returns a number that grows with every write that passed the gate.
pub(super) async fn writes(store: &MongoStore) -> StoreResult<i64> {
    let lanes: Vec<Document> = store
        .collection(name::GATE)
        .find(doc! {})
        .await?
        .try_collect()
        .await?;
    Ok(lanes
        .iter()
        .map(|lane| lane.get_i64("writes").unwrap_or(0))
        .sum())
}
