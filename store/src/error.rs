//! What may go wrong between us and what is remembered.

use std::path::PathBuf;

use kalpana_domain::quota::QuotaExceeded;

/// Result of a store operation.
pub type StoreResult<T> = Result<T, StoreError>;

/// Why a store operation did not happen. Nothing is half done when one is returned. A thing that
/// is not there is `None`, not an error, except where an operation needs it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else has it already, or changed it since it was read.
    #[error("conflict: {what}")]
    Conflict {
        /// What collided: `email`, `version`, `setup`, `idempotency`, `id`.
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
    /// The store did not answer in time or refused for a while; trying again may help.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// Why: `busy`, `disk full`, `read only`, `closed`.
        reason: String,
        /// The backend's error.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The store cannot be opened as it is configured.
    #[error("cannot open the store at {path}: {reason}")]
    Open {
        /// The file.
        path: PathBuf,
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
