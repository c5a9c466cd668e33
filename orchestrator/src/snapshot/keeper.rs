//! Takes snapshots that people ask for and those that are due, and gives them back.

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
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::archive::{self, ArchiveError, Written};
use super::filler::{QUEUE, blocking};
use super::porter::{Packed, Porter, PorterError};
use super::schedule::{self, BEFORE_RESTORE_KEPT};
use super::shelf::{Record, Shelf, ShelfError};
use crate::engine::{Engine, EngineError};
use crate::intent::{IntentError, Intents};
use crate::logs::Journal;
use crate::metrics::Metrics;
use crate::reconcile::describe;
use crate::volume;

/// How often it is looked which snapshots are due.
const INTERVAL: Duration = Duration::from_secs(600);

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
    #[error("stop the workspace first: its files cannot be replaced under running programs")]
    NotStopped,
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

type SnapshotResult<T> = Result<T, SnapshotError>;

/// Takes and keeps snapshots. Clones do so together.
#[derive(Clone)]
pub(crate) struct Keeper {
    pub(crate) shelf: Shelf,
    pub(crate) porter: Arc<dyn Porter>,
    pub(crate) engine: Arc<dyn Engine>,
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
    places: Arc<Semaphore>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
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
    fn enter(&self, workspace: WorkspaceId) -> SnapshotResult<Busy> {
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

struct Busy {
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
        // Its volumes hold none of its own files yet: those before are in a snapshot already.
        if row.filled_from.is_some() {
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
                    this.not_restored(made, &why);
                }
            }
            this.prune(row.id, &[kept, from]).await;
            drop(busy);
        });
        Ok(record)
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

    /// Takes what is due now and then, until `shutdown`, and then ends what is under way.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        loop {
            // Not at once: what has just started has other things to do.
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.take_due() => {}
            }
        }
        self.state.tasks.close();
        self.state.tasks.wait().await;
    }

    /// Takes the snapshots that are due, one after another.
    pub(crate) async fn take_due(&self) {
        let Some(every) = self.limits.every else {
            return;
        };
        let rows = match self.intents.store.all_workspaces().await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, "could not look which snapshots are due, trying again: {error}");
                return;
            }
        };
        for row in rows {
            if let Err(error) = self.take_if_due(&row, every).await {
                let error = describe(&error);
                tracing::warn!(
                    workspace.id = %row.id, error,
                    "no snapshot of {} was taken, though one is due: {error}", row.id
                );
            }
        }
    }

    async fn take_if_due(&self, row: &Workspace, every: Duration) -> SnapshotResult<()> {
        let taken = self.shelf.list(row.id)?;
        if !schedule::is_due(row, &taken, every, self.clock.now()) {
            return Ok(());
        }
        // Somebody is taking one.
        let Ok(busy) = self.state.enter(row.id) else {
            return Ok(());
        };
        archive::leave_free(self.shelf.root(), self.limits.reserve)?;
        let record = self.record(row, SnapshotKind::Scheduled, SnapshotNote::default());
        self.begin(&record)?;
        let made = self.make(record).await;
        self.prune(row.id, &[made.reference()]).await;
        drop(busy);
        Ok(())
    }

    /// Tells whether nothing is under way for a workspace's snapshots.
    #[cfg(test)]
    pub(super) fn is_free(&self, workspace: WorkspaceId) -> bool {
        let busy = self.state.busy.lock().expect("no holder panics");
        !busy.contains(&workspace)
    }

    /// Keeps others away from the snapshots of a workspace. Returns it as it is from then on.
    async fn enter(&self, id: &str) -> SnapshotResult<(Busy, Workspace)> {
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
            _ => return Err(SnapshotError::NotStopped),
        }
        let left = self.engine.containers(Some(row.id)).await?;
        if left.is_empty() {
            Ok(())
        } else {
            Err(SnapshotError::NotStopped)
        }
    }

    /// Writes down that a snapshot is to be made.
    fn begin(&self, record: &Record) -> SnapshotResult<()> {
        Ok(self.shelf.begin(record)?)
    }

    /// Makes a snapshot that was written down. Returns it as it has become, which is written down too.
    async fn make(&self, mut record: Record) -> Record {
        let made = self.archive(&record).await;
        record.finished_at = Some(self.clock.now());
        match made {
            Ok((written, Packed { files, skipped })) => {
                record.state = SnapshotState::Ready;
                record.bytes = written.bytes;
                record.sha256 = written.sha256;
                record.files = files;
                record.skipped = skipped;
                tracing::info!(
                    workspace.id = %record.workspace, snapshot.id = %record.id,
                    bytes = record.bytes, files,
                    "took a snapshot of {}: {files} files, {} bytes", record.workspace, record.bytes
                );
            }
            Err(failure) => {
                record.state = SnapshotState::Failed;
                tracing::warn!(
                    workspace.id = %record.workspace, snapshot.id = %record.id, failure,
                    "could not take a snapshot of {}: {failure}", record.workspace
                );
                record.failure = Some(failure);
            }
        }
        // What is not written down is not there: nothing may rely on it.
        if let Err(error) = self.shelf.finish(&record) {
            tracing::error!(
                workspace.id = %record.workspace, snapshot.id = %record.id, %error,
                "could not write down what became of a snapshot of {}: {error}", record.workspace
            );
            record.state = SnapshotState::Failed;
            record.failure = Some(error.to_string());
        }
        let outcome = match record.state {
            SnapshotState::Ready => "ready",
            _ => "failed",
        };
        self.metrics.snapshot(record.kind, outcome);
        record
    }

    /// Writes the archive of a snapshot. Returns what is known of it, and what is in it.
    async fn archive(&self, record: &Record) -> Result<(Written, Packed), String> {
        let packing = async {
            let _place = self.state.places.acquire().await;
            // An engine makes volumes that are not there, but would not label them.
            for definition in volume::definitions(&self.instance, record.workspace) {
                let made = self.engine.create_volume(&definition).await;
                made.map_err(|error| describe(&error))?;
            }
            let path = self.shelf.archive(record.reference());
            let bytes = self.shelf.counter(record.id);
            let (sender, receiver) = mpsc::channel(QUEUE);
            let reserve = self.limits.reserve;
            let writing = blocking(move || archive::write(&path, receiver, &bytes, reserve));
            let packing = self.porter.pack(record.workspace, sender);
            let (written, packed) = tokio::join!(writing, packing);
            match (written, packed) {
                (Ok(written), Ok(packed)) => Ok((written, packed)),
                // A writer that could not go on explains why nobody took the rest.
                (Err(error), _) => Err(describe(&error)),
                (Ok(_), Err(PorterError::Engine(error))) => Err(describe(&error)),
                (Ok(_), Err(error)) => Err(error.to_string()),
            }
        };
        tokio::select! {
            made = packing => made,
            () = self.state.shutdown.cancelled() => {
                Err("Kalpana ended while the snapshot was taken; take it again.".to_owned())
            }
        }
    }

    /// Writes down, beside the snapshot of a workspace's files, that these were not replaced.
    fn not_restored(&self, mut made: Record, why: &str) {
        tracing::warn!(
            workspace.id = %made.workspace, why,
            "{} was not restored, its files are as they were: {why}", made.workspace
        );
        let text = format!("The workspace was not restored, its files are as they were: {why}");
        self.journal.note(made.workspace, self.clock.now(), &text);
        made.failure = Some(text);
        if let Err(error) = self.shelf.finish(&made) {
            tracing::error!(%error, "could not write down that a workspace was not restored: {error}");
        }
    }

    /// Removes what was kept long enough, and none of `besides`.
    async fn prune(&self, workspace: WorkspaceId, besides: &[SnapshotRef]) {
        let pruned = async {
            let needed = self.needed().await?.into_iter().map(|(_, of)| of);
            let needed: Vec<_> = needed.chain(besides.iter().copied()).collect();
            let taken = self.shelf.list(workspace)?;
            for (kind, keep) in [
                (SnapshotKind::Manual, usize::MAX),
                (SnapshotKind::Scheduled, self.limits.scheduled),
                (SnapshotKind::BeforeRestore, BEFORE_RESTORE_KEPT),
            ] {
                for of in schedule::excess(&taken, kind, keep, &needed) {
                    self.shelf.remove(of)?;
                }
            }
            Ok::<_, SnapshotError>(())
        };
        if let Err(error) = pruned.await {
            let error = describe(&error);
            tracing::warn!(workspace.id = %workspace, error, "old snapshots of {workspace} are kept: {error}");
        }
    }

    /// Lists the snapshots that workspaces are to be filled from.
    async fn needed(&self) -> SnapshotResult<Vec<(WorkspaceId, SnapshotRef)>> {
        let rows = self.intents.store.all_workspaces().await;
        let rows = rows.map_err(IntentError::from)?.into_iter();
        Ok(rows
            .filter_map(|row| Some((row.id, row.filled_from?)))
            .collect())
    }

    fn record(&self, row: &Workspace, kind: SnapshotKind, note: SnapshotNote) -> Record {
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

    async fn tell_audit(
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
fn require_own_files(row: &Workspace) -> SnapshotResult<()> {
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
