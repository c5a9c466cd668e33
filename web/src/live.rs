//! What changes while people look: follows the orchestrator's progress feed, reads each changed
//! row once, and tells every open page.
//!
//! What arrives is only noted, one entry per workspace, so that a burst costs one reading and
//! memory is bounded by the number of workspaces. Pages filter what they pass on by the access
//! rule; see `events.rs`.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use kalpana_config::Site;
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::workspace::Workspace;
use kalpana_link::feed::Follow;
use kalpana_protocol::orchestrator::{Progress, ProgressChange};
use kalpana_store::{Store, StoreError};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

use crate::view::WorkspaceView;

/// Changes kept for pages that are slow to take them. Who misses one starts over.
const BACKLOG: usize = 1024;

/// Most phases kept of one start; there are six.
const PHASES: usize = 16;

/// How long to wait before reading rows again that the store did not give.
const RETRY: Duration = Duration::from_secs(1);

/// Something that open pages may have to be told.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// A workspace is now like this.
    Workspace {
        /// The row, for the access rule.
        row: Arc<Workspace>,
        /// What the page is told, as JSON.
        json: Arc<str>,
    },
    /// A workspace is gone.
    Removed(WorkspaceId),
    /// Changes may have been missed: look at everything again.
    StartOver,
}

/// The latest of everything that changes.
#[derive(Debug)]
pub(crate) struct Live {
    progress: Mutex<HashMap<WorkspaceId, Progress>>,
    noted: Mutex<Noted>,
    noted_more: Notify,
    changes: broadcast::Sender<Change>,
    is_connected: AtomicBool,
}

#[derive(Debug, Default)]
struct Noted {
    changed: BTreeSet<WorkspaceId>,
    removed: BTreeSet<WorkspaceId>,
    start_over: bool,
}

impl Live {
    /// Makes one that knows nothing yet.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            progress: Mutex::default(),
            noted: Mutex::default(),
            noted_more: Notify::new(),
            changes: broadcast::channel(BACKLOG).0,
            is_connected: AtomicBool::new(false),
        })
    }

    /// Tells whether the orchestrator is being heard.
    pub(crate) fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    /// Listens for changes from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Returns how far a workspace's start has come.
    pub(crate) fn progress_of(&self, workspace: WorkspaceId) -> Option<Progress> {
        self.progress().get(&workspace).cloned()
    }

    /// Shows a workspace as it is now.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn view(
        &self,
        row: &Workspace,
        store: &Store,
        site: &Site,
    ) -> Result<WorkspaceView, StoreError> {
        let owner = store.user(row.owner).await?;
        let name = owner.as_ref().map_or("", |owner| owner.name.as_str());
        let progress = self.progress_of(row.id);
        Ok(WorkspaceView::new(row, name, progress.as_ref(), site))
    }

    /// Reads what was noted and tells every page, until `shutdown`.
    pub(crate) async fn tell(&self, store: Store, site: Site, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.noted_more.notified() => {}
            }
            let noted = std::mem::take(&mut *self.noted());
            if noted.start_over {
                let _ = self.changes.send(Change::StartOver);
            }
            for id in noted.removed {
                self.progress().remove(&id);
                let _ = self.changes.send(Change::Removed(id));
            }
            let mut failed = BTreeSet::new();
            for id in noted.changed {
                if let Err(error) = self.tell_one(id, &store, &site).await {
                    tracing::warn!(
                        workspace.id = %id,
                        %error,
                        "could not read workspace {id} for its pages, trying again: {error}"
                    );
                    failed.insert(id);
                }
            }
            if !failed.is_empty() {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(RETRY) => {}
                }
                self.note(|noted| noted.changed.extend(failed));
            }
        }
    }

    async fn tell_one(
        &self,
        id: WorkspaceId,
        store: &Store,
        site: &Site,
    ) -> Result<(), StoreError> {
        let Some(row) = store.workspace(id).await? else {
            self.progress().remove(&id);
            let _ = self.changes.send(Change::Removed(id));
            return Ok(());
        };
        let is_over = !matches!(
            row.lifecycle,
            Lifecycle::Starting { .. } | Lifecycle::Failed { .. }
        );
        if is_over {
            // A start that began since is left alone: its row says so in a moment.
            let mut progress = self.progress();
            if progress
                .get(&id)
                .is_some_and(|known| known.generation <= row.generation.0)
            {
                progress.remove(&id);
            }
        }
        let view = self.view(&row, store, site).await?;
        match serde_json::to_string(&view) {
            Ok(json) => {
                let _ = self.changes.send(Change::Workspace {
                    row: Arc::new(row),
                    json: json.into(),
                });
            }
            Err(error) => tracing::error!(%error, "could not write a workspace: {error}"),
        }
        Ok(())
    }

    fn note(&self, note: impl FnOnce(&mut Noted)) {
        note(&mut self.noted());
        self.noted_more.notify_one();
    }

    fn keep(&self, mut progress: Progress) -> Option<WorkspaceId> {
        let id = WorkspaceId::parse(&progress.workspace).ok()?;
        progress.phases.truncate(PHASES);
        self.progress().insert(id, progress);
        Some(id)
    }

    fn progress(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Progress>> {
        self.progress.lock().expect("no holder panics")
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().expect("no holder panics")
    }
}

/// The feed is followed by a shared `Live`.
impl Follow for Live {
    type State = Vec<Progress>;
    type Change = ProgressChange;

    fn snapshot(&self, state: Vec<Progress>) {
        self.progress().clear();
        for progress in state {
            self.keep(progress);
        }
        // Whatever happened while nobody listened is in the rows.
        self.note(|noted| noted.start_over = true);
    }

    fn change(&self, change: ProgressChange) {
        let changed = match change {
            ProgressChange::Row { workspace } => WorkspaceId::parse(&workspace).ok(),
            ProgressChange::Progress { progress } => self.keep(progress),
            ProgressChange::Removed { workspace, .. } => {
                if let Ok(id) = WorkspaceId::parse(&workspace) {
                    self.note(|noted| {
                        noted.changed.remove(&id);
                        noted.removed.insert(id);
                    });
                }
                return;
            }
        };
        if let Some(id) = changed {
            self.note(|noted| {
                noted.changed.insert(id);
            });
        }
    }

    fn connected(&self, is_connected: bool) {
        self.is_connected.store(is_connected, Ordering::Relaxed);
    }
}
