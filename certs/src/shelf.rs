//! Where gateways of one site keep what they share.

use async_trait::async_trait;

/// Something that is shared.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept {
    /// Which writing of it this is, from 1.
    pub version: u64,
    /// What was put there.
    pub contents: Vec<u8>,
}

/// Why something could not be shared.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// Somebody else wrote or removed it since it was read.
    #[error("another gateway wrote it first")]
    Changed,
    /// What is kept was sealed with a key that this gateway does not have.
    #[error("it was sealed by a gateway with another session key")]
    Foreign,
    /// What keeps it does not answer.
    #[error("what gateways share cannot be reached: {0}")]
    Away(String),
}

/// What several gateways share, by name. Names are parts between slashes.
///
/// Keys of certificates are among it: whoever implements this lets nobody read it but gateways of
/// the same site.
#[async_trait]
pub trait Shelf: Send + Sync {
    /// Lists names that begin with `prefix`, each with its version.
    async fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, ShelfError>;

    /// Returns what is kept under a name.
    async fn get(&self, name: &str) -> Result<Option<Kept>, ShelfError>;

    /// Keeps something, if the version is still `version` (0 when nothing is there). Returns the
    /// new one.
    async fn put(&self, name: &str, version: u64, contents: &[u8]) -> Result<u64, ShelfError>;

    /// Removes something, if its version is still `version`.
    async fn remove(&self, name: &str, version: u64) -> Result<(), ShelfError>;
}
