//! Fills the volumes of a workspace that is to begin with the files of a snapshot, and removes those
//! whose files were archived.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::snapshot::{SnapshotKind, SnapshotRef};
use kalpana_protocol::orchestrator::SnapshotState;
use tokio::sync::{Semaphore, mpsc};

use super::archive::{self, ArchiveError};
use super::porter::{Porter, PorterError};
use super::shelf::{Shelf, ShelfError};
use crate::trash::Volumes;
use crate::volume;

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

    /// Removes the volumes of a workspace whose files were archived in the snapshot `to`. Nothing is
    /// touched unless that is an archive of this workspace, whole and as long as it was written.
    ///
    /// # Errors
    /// [`FillError`]; may be repeated.
    async fn discard(&self, workspace: WorkspaceId, to: SnapshotRef) -> Result<PutAway, FillError>;
}

/// What became of volumes that were to be put away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PutAway {
    /// They were removed.
    Now,
    /// There were none.
    Before,
    /// They are kept: the snapshot was taken for something else.
    NotAnArchive,
}

/// Fills volumes from the shelf.
#[derive(Debug, Clone)]
pub(crate) struct FromShelf {
    shelf: Shelf,
    porter: Arc<dyn Porter>,
    volumes: Arc<dyn Volumes>,
    places: Arc<Semaphore>,
}

impl FromShelf {
    /// Fills from `shelf`.
    pub(crate) fn new(shelf: Shelf, porter: Arc<dyn Porter>, volumes: Arc<dyn Volumes>) -> Self {
        Self {
            shelf,
            porter,
            volumes,
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

    async fn discard(&self, workspace: WorkspaceId, to: SnapshotRef) -> Result<PutAway, FillError> {
        let gone = || FillError::Gone(to.snapshot.to_string());
        let record = self.shelf.get(to)?.ok_or_else(gone)?;
        if record.kind != SnapshotKind::Archive || to.workspace != workspace {
            return Ok(PutAway::NotAnArchive);
        }
        let path = self.shelf.archive(to);
        let length = tokio::fs::metadata(&path).await.map(|file| file.len());
        if record.state != SnapshotState::Ready || length.ok() != Some(record.bytes) {
            return Err(gone());
        }
        let own = volume::names(workspace);
        let there = self.volumes.volumes().await.map_err(PorterError::from)?;
        let there: Vec<_> = there
            .into_iter()
            .filter(|seen| seen.workspace == workspace && own.contains(&seen.name))
            .collect();
        for seen in &there {
            let removed = self.volumes.remove_volume(&seen.name).await;
            removed.map_err(PorterError::from)?;
        }
        Ok(if there.is_empty() {
            PutAway::Before
        } else {
            PutAway::Now
        })
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
