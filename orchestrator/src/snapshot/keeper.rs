//! What people ask of snapshots.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kalpana_domain::audit::{AuditAction, AuditEvent};
use kalpana_domain::clock::Clock;
use kalpana_domain::id::{AuditId, SnapshotId, WorkspaceId};
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::snapshot::{SnapshotKind, SnapshotNote, SnapshotRef};
use kalpana_domain::workspace::Workspace;
use kalpana_protocol::orchestrator::{Asker, SnapshotState, TakeSnapshot};
use kalpana_store::repository::Audit;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::archive::{self, ArchiveError};
use super::porter::Porter;
use super::shelf::{Record, Shelf, ShelfError};
use crate::engine::{Engine, EngineError};
use crate::intent::{IntentError, Intents};
use crate::logs::Journal;
use crate::metrics::Metrics;
use crate::reconcile::describe;
use crate::trash::Volumes;

/// Snapshots that are taken at the same time.
const AT_ONCE: usize = 2;

/// What is kept of snapshots.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// How many that people asked for, for one workspace.
    pub(crate) manual: usize,
    /// How often one is taken by itself; `None`: never.
    pub(crate) every: Option<Duration>,
    /// How many of those are kept for one workspace.
    pub(crate) scheduled: usize,
    /// What is to stay free on the disk, in bytes.
    pub(crate) reserve: u64,
    /// How long a workspace is stopped until it is archived, where its owner wants nothing else;
    /// `None`: for ever.
    pub(crate) archive_after: Option<Duration>,
    /// The longest that an owner may want; `None`: for ever.
    pub(crate) archive_after_limit: Option<Duration>,
}

/// What was asked of snapshots was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    /// As with every other intent.
    #[error(transparent)]
    Intent(#[from] IntentError),
    /// There is no such snapshot, or it is not whole.
    #[error("there is no snapshot {0:?}")]
    NotFound(String),
    /// Another is being taken, or files are being put in place.
    #[error("{0}")]
    InProgress(&'static str),
    /// A workspace is to be filled from it.
    #[error("the workspace {0} is about to begin with the files of this snapshot")]
    InUse(WorkspaceId),
    /// There are as many as there may be.
    #[error("a workspace has at most {0} snapshots that were asked for; delete one first")]
    Limit(usize),
    /// The workspace's files may change at any time.
    #[error("stop the workspace first: its files cannot be {0} under running programs")]
    NotStopped(&'static str),
    /// An archive cannot be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The directory of snapshots cannot be used.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// The engine does not say what is there.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

pub(super) type SnapshotResult<T> = Result<T, SnapshotError>;

/// Takes and keeps snapshots. Clones do so together.
#[derive(Clone)]
pub(crate) struct Keeper {
    pub(crate) shelf: Shelf,
    pub(crate) porter: Arc<dyn Porter>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) volumes: Arc<dyn Volumes>,
    pub(crate) intents: Intents,
    pub(crate) audit: Arc<dyn Audit>,
    pub(crate) journal: Journal,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    /// Value of the instance label.
    pub(crate) instance: String,
    pub(crate) limits: Limits,
    pub(crate) state: State,
}

/// What is under way.
#[derive(Debug, Clone)]
pub(crate) struct State {
    busy: Arc<Mutex<HashSet<WorkspaceId>>>,
    pub(super) places: Arc<Semaphore>,
    pub(super) tasks: TaskTracker,
    pub(super) shutdown: CancellationToken,
}

impl State {
    /// Begins with nothing under way.
    pub(crate) fn new(shutdown: CancellationToken) -> Self {
        Self {
            busy: Arc::default(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            tasks: TaskTracker::new(),
            shutdown,
        }
    }

    /// Keeps others away from a workspace's snapshots until the guard is dropped.
    pub(super) fn enter(&self, workspace: WorkspaceId) -> SnapshotResult<Busy> {
        let is_free = self
            .busy
            .lock()
            .expect("no holder panics")
            .insert(workspace);
        if !is_free {
            let why = "a snapshot of this workspace is being taken; wait until it is ready";
            return Err(SnapshotError::InProgress(why));
        }
        Ok(Busy {
            workspace,
            busy: Arc::clone(&self.busy),
        })
    }
}

pub(super) struct Busy {
    workspace: WorkspaceId,
    busy: Arc<Mutex<HashSet<WorkspaceId>>>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut busy = self.busy.lock().expect("no holder panics");
        busy.remove(&self.workspace);
    }
}

impl Keeper {
    /// Lists the snapshots of a workspace, newest first.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub(crate) async fn list(&self, id: &str) -> SnapshotResult<Vec<Record>> {
        let row = self.intents.find(id).await?;
        Ok(self.shelf.list(row.id)?)
    }

    /// Begins to take a snapshot.
    ///
    /// # Errors
    /// [`SnapshotError`]; nothing was begun.
    pub(crate) async fn take(
        &self,
        id: &str,
        asked: &TakeSnapshot,
        request_id: Option<&str>,
    ) -> SnapshotResult<Record> {
        let note = SnapshotNote::parse(&asked.note).map_err(|error| IntentError::Invalid {
            field: "note",
            reason: error.to_string(),
        })?;
        let (busy, row) = self.enter(id).await?;
        require_own_files(&row)?;
        let kept = self.shelf.list(row.id)?;
        let manual = kept.iter().filter(|record| {
            record.kind == SnapshotKind::Manual && record.state != SnapshotState::Failed
        });
        if manual.count() >= self.limits.manual {
            return Err(SnapshotError::Limit(self.limits.manual));
        }
        let record = self.record(&row, SnapshotKind::Manual, note);
        archive::leave_free(self.shelf.root(), self.limits.reserve)?;
        self.tell_audit(
            AuditAction::SnapshotCreate,
            record.reference(),
            &row,
            &asked.asker,
            request_id,
        )
        .await?;
        self.begin(&record)?;
        let (this, begun) = (self.clone(), record.clone());
        self.state.tasks.spawn(async move {
            let made = this.make(begun).await;
            this.prune(made.workspace, &[made.reference()]).await;
            drop(busy);
        });
        Ok(record)
    }

    /// Begins to replace a stopped workspace's files by those of one of its snapshots: its present
    /// files are kept first, in the snapshot that is returned, and it is started afterwards. One whose
    /// own files are not in place has none to keep, and the snapshot itself is returned.
    ///
    /// # Errors
    /// [`SnapshotError`]; nothing was begun.
    pub(crate) async fn restore(
        &self,
        id: &str,
        snapshot: &str,
        asker: &Asker,
        request_id: Option<&str>,
    ) -> SnapshotResult<Record> {
        let (busy, row) = self.enter(id).await?;
        let wanted = self.ready(&row, snapshot)?;
        self.require_stopped(&row).await?;
        let from = wanted.reference();
        // Asked before the archive is none any more, of which it goes by what that says.
        let is_elsewhere = self.is_elsewhere(&row)?;
        // Whoever wants these files wants them in place of what is there: an archive is none any more.
        if wanted.kind == SnapshotKind::Archive {
            self.shelf.finish(&Record {
                kind: SnapshotKind::BeforeRestore,
                filled_at: None,
                ..wanted.clone()
            })?;
        }
        // Its volumes hold none of its own files yet: those before are in a snapshot already.
        if is_elsewhere {
            self.intents.fill(&row, from, asker, request_id).await?;
            return Ok(wanted);
        }
        let note = format!("before the snapshot of {} was restored", wanted.created_at);
        let note = SnapshotNote::parse(&note).unwrap_or_default();
        let record = self.record(&row, SnapshotKind::BeforeRestore, note);
        archive::leave_free(self.shelf.root(), self.limits.reserve)?;
        self.begin(&record)?;
        let (this, begun, asker) = (self.clone(), record.clone(), asker.clone());
        let request_id = request_id.map(str::to_owned);
        self.state.tasks.spawn(async move {
            let made = this.make(begun).await;
            let kept = made.reference();
            if made.state == SnapshotState::Ready {
                let filled = this
                    .fill(&row, from, made.skipped, &asker, request_id.as_deref())
                    .await;
                if let Err(why) = filled {
                    this.not_done("restored", made, &why);
                }
            }
            this.prune(row.id, &[kept, from]).await;
            drop(busy);
        });
        Ok(record)
    }

    /// Tells whether the volumes of a workspace hold none of its own files: those are in the snapshot
    /// that its row names. A row may be older than the world, as after its database was restored from a
    /// backup; one whose snapshot is gone, or was put in place already, is not believed.
    fn is_elsewhere(&self, row: &Workspace) -> SnapshotResult<bool> {
        let Some(present) = row.filled_from else {
            return Ok(false);
        };
        let record = self.shelf.get(present)?;
        Ok(record.is_some_and(|record| record.filled_at.is_none() || record.workspace != row.id))
    }

    /// Has a workspace filled from a snapshot, once its present files are kept.
    ///
    /// # Errors
    /// Why not, in words for people; nothing is changed then.
    async fn fill(
        &self,
        row: &Workspace,
        from: SnapshotRef,
        skipped: u64,
        asker: &Asker,
        request_id: Option<&str>,
    ) -> Result<(), String> {
        if skipped > 0 {
            return Err(format!(
                "{skipped} of its present files could not be read, so they could not be kept"
            ));
        }
        let filled = self.intents.fill(row, from, asker, request_id).await;
        filled.map(drop).map_err(|error| describe(&error))
    }

    /// Deletes a snapshot.
    ///
    /// # Errors
    /// [`SnapshotError`]; it is still there.
    pub(crate) async fn delete(
        &self,
        id: &str,
        snapshot: &str,
        asker: &Asker,
        request_id: Option<&str>,
    ) -> SnapshotResult<()> {
        // Not while a restore may be about to need it.
        let (_busy, row) = self.enter(id).await?;
        let record = self.find(&row, snapshot)?;
        let of = record.reference();
        let needed = self.needed().await?;
        if let Some((workspace, _)) = needed.iter().find(|(_, needed)| *needed == of) {
            return Err(SnapshotError::InUse(*workspace));
        }
        self.tell_audit(AuditAction::SnapshotDelete, of, &row, asker, request_id)
            .await?;
        Ok(self.shelf.remove(of)?)
    }

    /// Returns a snapshot that somebody downloads, and where its archive is.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub(crate) async fn content(
        &self,
        id: &str,
        snapshot: &str,
        asker: &Asker,
        request_id: Option<&str>,
    ) -> SnapshotResult<(Record, PathBuf)> {
        let row = self.intents.find(id).await?;
        let record = self.ready(&row, snapshot)?;
        let of = record.reference();
        self.tell_audit(AuditAction::SnapshotDownload, of, &row, asker, request_id)
            .await?;
        let path = self.shelf.archive(of);
        Ok((record, path))
    }

    /// Tells whether nothing is under way for a workspace's snapshots.
    #[cfg(test)]
    pub(super) fn is_free(&self, workspace: WorkspaceId) -> bool {
        let busy = self.state.busy.lock().expect("no holder panics");
        !busy.contains(&workspace)
    }

    /// Keeps others away from the snapshots of a workspace. Returns it as it is from then on.
    pub(super) async fn enter(&self, id: &str) -> SnapshotResult<(Busy, Workspace)> {
        let workspace = self.intents.find(id).await?.id;
        let busy = self.state.enter(workspace)?;
        let row = self.intents.find(id).await?;
        Ok((busy, row))
    }

    /// Refuses where programs may still write to a workspace's volumes: one that failed may have a
    /// container that could not be ended.
    async fn require_stopped(&self, row: &Workspace) -> SnapshotResult<()> {
        match row.lifecycle {
            Lifecycle::Stopped => return Ok(()),
            Lifecycle::Failed { .. } => {}
            _ => return Err(SnapshotError::NotStopped("replaced")),
        }
        let left = self.engine.containers(Some(row.id)).await?;
        if left.is_empty() {
            Ok(())
        } else {
            Err(SnapshotError::NotStopped("replaced"))
        }
    }

    /// Writes down that a snapshot is to be made.
    pub(super) fn begin(&self, record: &Record) -> SnapshotResult<()> {
        Ok(self.shelf.begin(record)?)
    }

    /// Lists the snapshots that workspaces are to be filled from.
    pub(super) async fn needed(&self) -> SnapshotResult<Vec<(WorkspaceId, SnapshotRef)>> {
        let rows = self.intents.store.all_workspaces().await;
        let rows = rows.map_err(IntentError::from)?.into_iter();
        Ok(rows
            .filter_map(|row| Some((row.id, row.filled_from?)))
            .collect())
    }

    pub(super) fn record(&self, row: &Workspace, kind: SnapshotKind, note: SnapshotNote) -> Record {
        Record {
            id: SnapshotId::generate(),
            workspace: row.id,
            owner: row.owner,
            name: row.spec.name.as_str().to_owned(),
            kind,
            note,
            state: SnapshotState::Making,
            created_at: self.clock.now(),
            finished_at: None,
            bytes: 0,
            files: 0,
            skipped: 0,
            sha256: String::new(),
            failure: None,
            filled_at: None,
        }
    }

    fn find(&self, row: &Workspace, snapshot: &str) -> SnapshotResult<Record> {
        let not_found = || SnapshotError::NotFound(snapshot.chars().take(64).collect());
        let of = SnapshotRef {
            workspace: row.id,
            snapshot: SnapshotId::parse(snapshot).map_err(|_| not_found())?,
        };
        self.shelf.get(of)?.ok_or_else(not_found)
    }

    fn ready(&self, row: &Workspace, snapshot: &str) -> SnapshotResult<Record> {
        let record = self.find(row, snapshot)?;
        if record.state == SnapshotState::Ready {
            Ok(record)
        } else {
            Err(SnapshotError::NotFound(record.id.to_string()))
        }
    }

    pub(super) async fn tell_audit(
        &self,
        action: AuditAction,
        of: SnapshotRef,
        row: &Workspace,
        asker: &Asker,
        request_id: Option<&str>,
    ) -> SnapshotResult<()> {
        let event = AuditEvent {
            id: AuditId::generate(),
            at: self.clock.now(),
            organization: Some(row.organization),
            actor: crate::intent::actor(asker)?,
            action,
            subject: format!("{} {}", of.workspace, of.snapshot),
            address: asker.address.clone(),
            request_id: request_id.map(str::to_owned),
        };
        let told = self.audit.append_audit(event).await;
        Ok(told.map_err(IntentError::from)?)
    }
}

/// Refuses where a workspace's volumes do not hold its own files yet.
pub(super) fn require_own_files(row: &Workspace) -> SnapshotResult<()> {
    if row.is_archived() {
        let why = "the files of this workspace are in a snapshot already; start it first";
        return Err(SnapshotError::InProgress(why));
    }
    if row.filled_from.is_some() {
        let why = "the files of a snapshot are being put in place; wait until the workspace runs";
        return Err(SnapshotError::InProgress(why));
    }
    Ok(())
}

impl fmt::Debug for Keeper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keeper").finish_non_exhaustive()
    }
}
