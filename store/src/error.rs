//! What may go wrong between us and what is remembered.

use kalpana_domain::quota::QuotaExceeded;

/// Result of a store operation.
pub type StoreResult<T> = Result<T, StoreError>;

/// How a store is unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// It did not answer, or not in time. A write may have happened.
    Away,
    /// It answered that it cannot do this now: it is busy, full, or only reads.
    Refused,
}

/// Why a store operation did not happen. Nothing is half done when one is returned. A thing that
/// is not there is `None`, not an error, except where an operation needs it.
///
/// Every variant but [`StoreError::Unavailable`] means that nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else has it already, or changed it since it was read.
    #[error("conflict: {what}")]
    Conflict {
        /// What collided: `email`, `password`, `version`, `setup`, `idempotency`, `id`, `ports`,
        /// `freeze`.
        what: &'static str,
    },
    /// The operation needs something that is not there.
    #[error("{what} not found")]
    NotFound {
        /// What is missing: `workspace`, `user`, `setup secret`, `reference`.
        what: &'static str,
    },
    /// A page was asked for with a text that is not the `next` of any page.
    #[error("not a cursor of this list")]
    InvalidCursor,
    /// A limit was reached.
    #[error(transparent)]
    Quota(#[from] QuotaExceeded),
    /// The store takes no writes, because it is being moved or was moved to another place. Reading
    /// goes on.
    #[error("the store takes no writes: {}", describe_freeze(moved_to.as_deref()))]
    Frozen {
        /// Where everything is now, once the move is complete.
        moved_to: Option<String>,
    },
    /// The store did not answer in time or refused for a while; trying again may help. A write may
    /// have happened, wholly or not at all, when the answer to it was lost.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// Whether it answered at all.
        outage: Outage,
        /// Why: `busy`, `disk full`, `read only`, `closed`, `away`, `too slow`.
        reason: String,
        /// The backend's error.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The store cannot be opened as it is configured.
    #[error("cannot open the store at {at}: {reason}")]
    Open {
        /// The file, or the server and database; never with a password.
        at: String,
        /// What is wrong and what to do.
        reason: String,
        /// The backend's error.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// What is stored cannot be read back.
    #[error("the store holds something unreadable: {what}")]
    Corrupt {
        /// Which record.
        what: String,
        /// The backend's error.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl StoreError {
    /// Returns the kind of failure as metrics name it.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "conflict",
            Self::NotFound { .. } => "not_found",
            Self::InvalidCursor | Self::Quota(_) => "refused",
            Self::Frozen { .. } => "frozen",
            Self::Unavailable {
                outage: Outage::Away,
                ..
            } => "away",
            Self::Unavailable { .. } => "unavailable",
            Self::Open { .. } | Self::Corrupt { .. } => "failed",
        }
    }
}

fn describe_freeze(moved_to: Option<&str>) -> String {
    match moved_to {
        None => "`kalpana migrate` is moving it; they go on when it has ended".to_owned(),
        Some(place) => format!(
            "`kalpana migrate` moved it to {place}; set [store] to that place and restart Kalpana"
        ),
    }
}
