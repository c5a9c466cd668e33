//! Moving everything from one store to another: what a backend gives and takes for it.
//!
//! The source goes on being read all the time. It is frozen (refuses writes) only for the last
//! part, in which what changed since the bulk was copied is copied again and compared. A freeze
//! ends by itself: one that is not renewed in time is lifted by the next write, and then
//! [`Transfer::retire`] refuses, so that a mover that was away for too long begins that part again
//! instead of losing the write.

pub mod mover;
mod record;

use async_trait::async_trait;
use kalpana_domain::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use record::{
    Collection, IdempotencyKeyRecord, Record, SessionRecord, SetupSecretRecord, TokenRecord,
    UserRecord, WorkspaceRecord,
};
pub(crate) use record::{port_key, port_of_key, sequence_of_key};

use crate::error::StoreResult;

/// Names one move: whoever holds it may renew, lift or complete its freeze.
pub type MoveId = Uuid;

/// A refusal of writes, for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// Whose it is.
    pub by: MoveId,
    /// When it ends unless renewed.
    pub until: Timestamp,
}

/// What a store that is being filled knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incoming {
    /// The [`Transfer::store_id`] of the source.
    pub from: Uuid,
    /// When it began.
    pub started_at: Timestamp,
}

/// Giving everything away and taking it in.
///
/// A store opened with [`OpenMode::Receive`](crate::OpenMode::Receive) is empty or half filled; no
/// other mode opens it until [`Transfer::complete_incoming`].
#[async_trait]
pub trait Transfer: Send + Sync {
    /// Returns what tells this store from every other; made with the store, never changed.
    async fn store_id(&self) -> StoreResult<Uuid>;

    /// Returns up to `limit` records of a collection with keys after `after`, in the order of
    /// their keys. Ended, revoked and deleted things are records too.
    async fn export(
        &self,
        collection: Collection,
        after: Option<String>,
        limit: usize,
    ) -> StoreResult<Vec<Record>>;

    /// Returns how many records a collection has.
    async fn count(&self, collection: Collection) -> StoreResult<u64>;

    /// Writes records of one collection, replacing those with the same key; audit events are
    /// only added. All or nothing, and repeatable. Only in a store that is being filled.
    ///
    /// # Errors
    /// `Conflict("audit")` when another event has the place of one of these.
    async fn import(&self, records: Vec<Record>) -> StoreResult<()>;

    /// Removes records by key. Audit events are never removed. Only in a store that is being
    /// filled.
    async fn remove(&self, collection: Collection, keys: Vec<String>) -> StoreResult<()>;

    /// Returns the move that fills this store, if one does.
    async fn incoming(&self) -> StoreResult<Option<Incoming>>;

    /// Says who fills this store.
    ///
    /// # Errors
    /// `Conflict("incoming")` when it holds anything, or another store's records.
    async fn begin_incoming(&self, incoming: Incoming) -> StoreResult<()>;

    /// Makes a filled store one that other modes open.
    async fn complete_incoming(&self) -> StoreResult<()>;

    /// Refuses writes until `freeze.until`, or longer when renewed. When it returns no write that
    /// began earlier is still under way. Each freeze has an id of its own.
    ///
    /// # Errors
    /// `Conflict("freeze")` when another move holds one that has not ended, or the store was moved.
    async fn freeze(&self, freeze: Freeze, now: Timestamp) -> StoreResult<()>;

    /// Makes a freeze end at `freeze.until` instead.
    ///
    /// # Errors
    /// `Conflict("freeze")` when it was lifted since: something may have been written, so what was
    /// compared so far says nothing.
    async fn renew(&self, freeze: Freeze) -> StoreResult<()>;

    /// Lifts a freeze. Returns whether it was there.
    async fn thaw(&self, by: MoveId) -> StoreResult<bool>;

    /// Refuses writes for good, because everything is at `moved_to` now.
    ///
    /// # Errors
    /// `Conflict("freeze")` when the freeze of this move was lifted since.
    async fn retire(&self, by: MoveId, moved_to: String) -> StoreResult<()>;

    /// Returns where everything went, if it did.
    async fn moved_to(&self) -> StoreResult<Option<String>>;

    /// Takes writes again after [`Transfer::retire`]: what was written elsewhere since stays there.
    async fn reinstate(&self) -> StoreResult<()>;
}
