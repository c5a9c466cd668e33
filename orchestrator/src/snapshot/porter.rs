//! Who carries files out of volumes and into them.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use kalpana_domain::id::WorkspaceId;
use tokio::sync::mpsc;

use crate::engine::EngineError;

/// Files were not carried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PorterError {
    /// The engine did not do as asked.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// What reads and writes the files could not. Holds its words, for people.
    #[error("{0}")]
    Failed(String),
    /// Nobody takes the archive any more.
    #[error("nobody takes the archive any more")]
    Unwanted,
}

/// What was in an archive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Packed {
    /// Files.
    pub(crate) files: u64,
    /// Files that could not be read, and are not in it.
    pub(crate) skipped: u64,
}

/// Result of carrying files.
pub(crate) type PorterResult<T> = Result<T, PorterError>;

/// Carries a workspace's files, both volumes of them, as one tar archive.
///
/// Apart from the engine that starts and stops workspaces, which thus cannot empty a volume by mistake.
/// A call that is dropped ends what it began.
#[async_trait]
pub(crate) trait Porter: fmt::Debug + Send + Sync {
    /// Sends the files of a workspace, which are only read. Returns what there was, once all of it
    /// has been sent: before that, what was sent is no whole archive.
    async fn pack(&self, workspace: WorkspaceId, to: mpsc::Sender<Bytes>) -> PorterResult<Packed>;

    /// Replaces the files of a workspace by those that come. An archive that is not whole is an error,
    /// which may leave some of its files there and others not: repeating it is fine.
    async fn unpack(&self, workspace: WorkspaceId, from: mpsc::Receiver<Bytes>)
    -> PorterResult<()>;

    /// Ends what earlier processes began.
    async fn clear(&self) -> PorterResult<()>;
}
