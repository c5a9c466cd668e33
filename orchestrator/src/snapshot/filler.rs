//! Fills the volumes of a workspace that is to begin with the files of a snapshot.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::snapshot::SnapshotRef;
use kalpana_protocol::orchestrator::SnapshotState;
use tokio::sync::{Semaphore, mpsc};

use super::archive::{self, ArchiveError};
use super::porter::{Porter, PorterError};
use super::shelf::{Shelf, ShelfError};

/// Parts of an archive that wait for who takes them.
pub(super) const QUEUE: usize = 8;

/// Workspaces that are filled at the same time.
const AT_ONCE: usize = 2;

/// Volumes were not filled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FillError {
    /// The snapshot is not there, or not whole.
    #[error("the snapshot {0} is not there any more")]
    Gone(String),
    /// Its record cannot be read.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// Its archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Its files could not be carried in.
    #[error(transparent)]
    Porter(#[from] PorterError),
}

/// Fills volumes.
#[async_trait]
pub(crate) trait Filler: fmt::Debug + Send + Sync {
    /// Replaces all files of a workspace by those of a snapshot. Nothing is touched unless its archive
    /// is what was written. May be repeated; one that is dropped leaves some of the files there.
    ///
    /// # Errors
    /// [`FillError`].
    async fn fill(&self, workspace: WorkspaceId, from: SnapshotRef) -> Result<(), FillError>;
}

/// Fills volumes from the shelf.
#[derive(Debug, Clone)]
pub(crate) struct FromShelf {
    shelf: Shelf,
    porter: Arc<dyn Porter>,
    places: Arc<Semaphore>,
}

impl FromShelf {
    /// Fills from `shelf`.
    pub(crate) fn new(shelf: Shelf, porter: Arc<dyn Porter>) -> Self {
        Self {
            shelf,
            porter,
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

#[async_trait]
impl Filler for FromShelf {
    async fn fill(&self, workspace: WorkspaceId, from: SnapshotRef) -> Result<(), FillError> {
        let _place = self.places.acquire().await;
        let record = self
            .shelf
            .get(from)?
            .filter(|record| record.state == SnapshotState::Ready)
            .ok_or_else(|| FillError::Gone(from.snapshot.to_string()))?;
        let path = self.shelf.archive(from);
        let checked = path.clone();
        blocking(move || archive::check(&checked, &record.sha256)).await?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let reading = blocking(move || archive::read(&path, &sender));
        let (read, unpacked) = tokio::join!(reading, self.porter.unpack(workspace, receiver));
        // An archive that could not be read explains why it was not whole.
        read?;
        Ok(unpacked?)
    }
}

/// Runs what holds a thread on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, ArchiveError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(ArchiveError::Io {
            path: "a snapshot".to_owned(),
            source: std::io::Error::other(error),
        }),
    }
}
