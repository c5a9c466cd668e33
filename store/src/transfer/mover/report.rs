//! What a move tells while it runs, at its end, and when it does not come to it.

use std::time::Duration;

use uuid::Uuid;

use super::Stage;
use crate::error::StoreError;
use crate::records::SecretHash;
use crate::transfer::Collection;

/// A step of a move, as it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Both stores were looked at.
    Began {
        /// What is left to do.
        stage: Stage,
    },
    /// So many records of a collection are in the destination too.
    Copied {
        /// Which.
        collection: Collection,
        /// Records gone through.
        done: u64,
        /// Records there are, as counted before.
        of: u64,
    },
    /// Another move holds the source frozen; this one goes on when that has ended.
    WaitingForFreeze {
        /// How long it waits before it gives up.
        at_most: Duration,
    },
    /// The source takes no writes from here on.
    Frozen,
    /// So many records of a collection are the same on both sides, in the frozen source.
    Compared {
        /// Which.
        collection: Collection,
        /// Records gone through.
        done: u64,
    },
    /// A whole collection is the same on both sides, in the frozen source.
    Verified(Moved),
    /// The source takes writes again: the move ended early, or begins its last part again.
    Thawed {
        /// False when the freeze had run out, or ends by itself in a moment.
        is_lifted: bool,
    },
    /// The source takes no writes for good; the destination holds everything.
    Retired,
    /// The destination is ready for use.
    Completed,
}

/// A collection that is the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Which.
    pub collection: Collection,
    /// Its records.
    pub count: u64,
    /// SHA-256 over each record's key and content, in the order of the keys; the same in every
    /// backend.
    pub digest: SecretHash,
}

/// What a move came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// What was left to do when it began.
    pub stage: Stage,
    /// Every collection as it was proved, in order; empty when only the end was left to do.
    pub collections: Vec<Moved>,
    /// How long writers had to wait.
    pub frozen_for: Duration,
    /// How long all of it took.
    pub took: Duration,
}

/// Why a move did not come to its end. Nothing is lost, and the source takes writes again, at the
/// latest when the freeze ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// There is nothing to move.
    #[error("source and destination are the same store")]
    SameStore,
    /// The destination holds something already, or was itself moved.
    #[error("the destination is not empty")]
    DestinationInUse,
    /// The destination is being filled by another move.
    #[error("the destination is half filled from another store ({from})")]
    DestinationOfAnother {
        /// The [`store_id`](crate::transfer::Transfer::store_id) of that store.
        from: Uuid,
    },
    /// Everything is somewhere else already.
    #[error("the source was moved to {place} already")]
    MovedElsewhere {
        /// Where.
        place: String,
    },
    /// The source says that everything is in the destination, which holds nothing.
    #[error("the source was moved to {place}, but nothing is there")]
    DestinationLost {
        /// Where it should be.
        place: String,
    },
    /// Another move of the source did not end in time.
    #[error("another move has kept the source frozen for {} seconds", waited.as_secs())]
    FrozenByAnother {
        /// How long this one waited.
        waited: Duration,
    },
    /// The last part took longer than the freeze held, again and again.
    #[error("the freeze of the source ran out {rounds} times, and somebody wrote each time")]
    FreezeRanOut {
        /// How often.
        rounds: u32,
    },
    /// The two sides do not become the same.
    #[error(
        "{} differ between source and destination after copying{}",
        collection.name(), describe_key(key.as_deref())
    )]
    Differs {
        /// Which collection.
        collection: Collection,
        /// The first record that differs, when it is known.
        key: Option<String>,
    },
    /// Somebody asked for it.
    #[error("the move was stopped before its end")]
    Stopped,
    /// A store failed.
    #[error("cannot {step}")]
    Store {
        /// What was being done.
        step: &'static str,
        /// How it failed.
        #[source]
        source: StoreError,
    },
}

impl MoveError {
    /// Returns what makes a store's error into this one.
    pub(super) fn at(step: &'static str) -> impl FnOnce(StoreError) -> Self {
        move |source| Self::Store { step, source }
    }

    pub(super) fn differs(collection: Collection, key: Option<&str>) -> Self {
        Self::Differs {
            collection,
            key: key.map(str::to_owned),
        }
    }
}

fn describe_key(key: Option<&str>) -> String {
    key.map_or_else(String::new, |key| format!(": {key:?}"))
}
