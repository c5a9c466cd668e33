//! Fills the volumes of a workspace that is to begin with the files of a snapshot, and removes those
//! whose files were archived.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use kalpana_domain::clock::Clock;
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::snapshot::{SnapshotKind, SnapshotRef};
use kalpana_protocol::orchestrator::SnapshotState;
use tokio::sync::{Semaphore, mpsc};

use super::archive::{self, ArchiveError};
use super::porter::{Porter, PorterError};
use super::shelf::{Record, Shelf, ShelfError};
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

    /// Tells whether the files of `from` were put into the volumes of their workspace before, and these
    /// are still there: it has been at work in them since. To be asked before volumes are made.
    ///
    /// # Errors
    /// [`FillError`].
    async fn is_in_place(
        &self,
        workspace: WorkspaceId,
        from: SnapshotRef,
    ) -> Result<bool, FillError>;

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
    /// They are kept: the snapshot was taken for something else, or its files were put back already.
    NotAnArchive,
}

/// Fills volumes from the shelf.
#[derive(Clone)]
pub(crate) struct FromShelf {
    shelf: Shelf,
    porter: Arc<dyn Porter>,
    volumes: Arc<dyn Volumes>,
    clock: Arc<dyn Clock>,
    places: Arc<Semaphore>,
}

impl fmt::Debug for FromShelf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FromShelf").finish_non_exhaustive()
    }
}

impl FromShelf {
    /// Fills from `shelf`.
    pub(crate) fn new(
        shelf: Shelf,
        porter: Arc<dyn Porter>,
        volumes: Arc<dyn Volumes>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            shelf,
            porter,
            volumes,
            clock,
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Lists the volumes of a workspace that are there.
    async fn volumes_of(&self, workspace: WorkspaceId) -> Result<Vec<String>, FillError> {
        let own = volume::names(workspace);
        let there = self.volumes.volumes().await.map_err(PorterError::from)?;
        Ok(there
            .into_iter()
            .filter(|seen| seen.workspace == workspace && own.contains(&seen.name))
            .map(|seen| seen.name)
            .collect())
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
        let mut record = record;
        let is_own_archive = record.kind == SnapshotKind::Archive && from.workspace == workspace;
        // Until they are in place again, they were not.
        if is_own_archive && record.filled_at.take().is_some() {
            self.shelf.finish(&record)?;
        }
        let back = Record {
            filled_at: is_own_archive.then(|| self.clock.now()),
            ..record.clone()
        };
        let path = self.shelf.archive(from);
        let checked = path.clone();
        blocking(move || archive::check(&checked, &record.sha256)).await?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let reading = blocking(move || archive::read(&path, &sender));
        let (read, unpacked) = tokio::join!(reading, self.porter.unpack(workspace, receiver));
        // An archive that could not be read explains why it was not whole.
        read?;
        unpacked?;
        // Before the row says so: a row that is older than this must not have them removed.
        if is_own_archive {
            self.shelf.finish(&back)?;
        }
        Ok(())
    }

    async fn is_in_place(
        &self,
        workspace: WorkspaceId,
        from: SnapshotRef,
    ) -> Result<bool, FillError> {
        let record = self.shelf.get(from)?;
        let was_put_back = record.is_some_and(|record| {
            record.kind == SnapshotKind::Archive && record.filled_at.is_some()
        });
        if !was_put_back || from.workspace != workspace {
            return Ok(false);
        }
        Ok(self.volumes_of(workspace).await?.len() == volume::names(workspace).len())
    }

    async fn discard(&self, workspace: WorkspaceId, to: SnapshotRef) -> Result<PutAway, FillError> {
        let gone = || FillError::Gone(to.snapshot.to_string());
        let record = self.shelf.get(to)?.ok_or_else(gone)?;
        let is_archive = record.kind == SnapshotKind::Archive && record.filled_at.is_none();
        if !is_archive || to.workspace != workspace {
            return Ok(PutAway::NotAnArchive);
        }
        let path = self.shelf.archive(to);
        let length = tokio::fs::metadata(&path).await.map(|file| file.len());
        if record.state != SnapshotState::Ready || length.ok() != Some(record.bytes) {
            return Err(gone());
        }
        let there = self.volumes_of(workspace).await?;
        for name in &there {
            let removed = self.volumes.remove_volume(name).await;
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
