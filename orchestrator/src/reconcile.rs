//! Brings the world to what was asked, one look at a time.
//!
//! [`Reconciler::pass`] looks at one workspace, plans, acts, and looks again until there is
//! nothing to do but wait. It may die after any step: the next pass starts from what is there.
//! [`work`] runs passes, one at a time for each workspace; [`act`] carries out single actions.

mod act;
mod asleep;
mod fill;
mod overdue;
#[cfg(test)]
mod simulation;
pub(crate) mod work;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kalpana_config::Site;
use kalpana_domain::Timestamp;
use kalpana_domain::clock::Clock;
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::lifecycle::{FailureReason, Lifecycle};
use kalpana_domain::snapshot::SnapshotRef;
use kalpana_domain::workspace::Workspace;
use kalpana_protocol::orchestrator::{PhaseName, PhaseStatus};
use kalpana_store::StoreError;
use kalpana_store::repository::Workspaces;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::container::Host;
use crate::engine::{Capabilities, ContainerState, Engine, EngineError};
use crate::feed::{Feeds, Reach};
use crate::firewall::{Firewall, Hold, NotInForce};
use crate::keys::NodeKey;
use crate::launch::RunDirectories;
use crate::logs::Journal;
use crate::metrics::Metrics;
use crate::network::Subnet;
use crate::plan::{self, Action, Readiness};
use crate::progress::Board;
use crate::ready::Bridges;
use crate::snapshot::Filler;
use crate::uptime::Uptime;

/// Looks in one pass. A start takes four; more means that the world does not do as it says.
const ROUNDS: usize = 16;

/// How long things may take.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// A start without a sign of progress.
    pub(crate) start: Duration,
    /// A clone in all.
    pub(crate) clone: Duration,
    /// A container to end by itself.
    pub(crate) stop: Duration,
    /// What belongs to no workspace, before it is removed.
    pub(crate) orphan_grace: Duration,
}

/// Brings workspaces to what was asked.
pub(crate) struct Reconciler {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) engine_socket: PathBuf,
    pub(crate) store: Arc<dyn Workspaces>,
    pub(crate) bridges: Arc<dyn Bridges>,
    pub(crate) filler: Arc<dyn Filler>,
    pub(crate) feeds: Feeds,
    pub(crate) board: Board,
    pub(crate) journal: Journal,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) uptime: Arc<dyn Uptime>,
    pub(crate) directories: RunDirectories,
    pub(crate) keys: Arc<NodeKey>,
    pub(crate) site: Site,
    pub(crate) host: Host,
    pub(crate) pool: Subnet,
    pub(crate) firewall: Arc<Firewall>,
    pub(crate) limits: Limits,
    /// Places for concurrent starts.
    pub(crate) starts: Arc<Semaphore>,
    pub(crate) state: State,
}

/// What a reconciler remembers. All of it can be lost at any time.
#[derive(Debug, Default)]
pub(crate) struct State {
    memories: Mutex<HashMap<WorkspaceId, Memory>>,
    capabilities: Arc<Mutex<Option<Capabilities>>>,
    /// Whether the engine was away since its capabilities were asked for.
    must_ask_again: AtomicBool,
    is_engine_up: Mutex<Option<bool>>,
    /// Held while a subnet is chosen and taken, so that two starts do not choose the same.
    subnets: tokio::sync::Mutex<()>,
}

impl State {
    /// Makes a state that shares what it learns of the engine.
    pub(crate) fn new(capabilities: Arc<Mutex<Option<Capabilities>>>) -> Self {
        Self {
            capabilities,
            ..Self::default()
        }
    }
}

/// What is remembered of one workspace.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The container whose isolation was compared.
    pub(crate) verified: Option<String>,
    /// What its container's image vouches for.
    pub(crate) assets: Option<String>,
    /// The last thing that went wrong in this transition.
    last_error: Option<String>,
    /// Since when it is being stopped.
    stopping_since: Option<Duration>,
    /// Whether the store did not do as asked when it was last asked.
    has_lost_store: bool,
    /// Whether its container is frozen, as far as is known: nothing is sent there.
    pub(crate) is_frozen: bool,
    /// Until when nobody tries to freeze its container again, which the engine could not.
    pub(crate) no_pause_before: Duration,
    /// Since when the engine refuses to thaw it.
    pub(crate) thaw_refused_since: Option<Duration>,
    /// The snapshot for which its volumes were seen to.
    pub(crate) put_away: Option<SnapshotRef>,
    /// Its place among the concurrent starts.
    place: Option<OwnedSemaphorePermit>,
}

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything is as it should be.
    Settled,
    /// Something is under way; look again when told so, or after this time at the latest.
    Waiting(Duration),
    /// The start waits for a place.
    Queued,
    /// Something went wrong; look again after a while.
    Failed,
}

/// Why a pass ended before its time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassError {
    /// The engine did not do as asked.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The store did not.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The host did not.
    #[error(transparent)]
    RunDirectory(#[from] crate::launch::RunDirectoryError),
    /// The packet filter is not in force, and may be at the next try.
    #[error(transparent)]
    Firewall(NotInForce),
    /// The start cannot succeed, however often it is repeated.
    #[error("the start cannot succeed: {}", .0.message)]
    Hopeless(FailureReason),
}

impl From<Hold> for PassError {
    fn from(hold: Hold) -> Self {
        match hold {
            Hold::Lasting(reason) => Self::Hopeless(reason),
            Hold::Passing(error) => Self::Firewall(error),
        }
    }
}

enum Round {
    Again,
    Over(Outcome),
}

impl Reconciler {
    /// Brings one workspace as close to what was asked as it can be brought now.
    ///
    /// Two passes for one workspace must not run at the same time.
    pub(crate) async fn pass(&self, id: WorkspaceId) -> Outcome {
        for _ in 0..ROUNDS {
            match self.round(id).await {
                Ok(Round::Again) => {}
                Ok(Round::Over(outcome)) => {
                    let is_settled = outcome == Outcome::Settled;
                    self.metrics
                        .pass(if is_settled { "settled" } else { "waiting" });
                    return outcome;
                }
                // Somebody wrote the row since it was read: an intent. Look again at once.
                Err(PassError::Store(
                    StoreError::Conflict { .. } | StoreError::NotFound { .. },
                )) => {}
                Err(error) => {
                    self.metrics.pass("failed");
                    if matches!(error, PassError::Store(_)) {
                        self.memory(id, |memory| memory.has_lost_store = true);
                    }
                    let text = describe(&error);
                    tracing::warn!(workspace.id = %id, error = text, "could not bring {id} to what was asked, trying again: {text}");
                    return Outcome::Failed;
                }
            }
        }
        self.metrics.pass("failed");
        tracing::warn!(workspace.id = %id, "{id} is not as it should be after {ROUNDS} looks, trying again later");
        Outcome::Failed
    }

    async fn round(&self, id: WorkspaceId) -> Result<Round, PassError> {
        let Some(row) = self.store.workspace(id).await? else {
            return self.round_without_row(id).await;
        };
        self.recall(&row);
        self.forgive(&row);
        let overdue = self.overdue(&row);
        let observed = match self.observe(id, Some(&row), overdue.clone()).await {
            Ok(observed) => observed,
            Err(error) => {
                self.memory(id, |memory| memory.last_error = Some(describe(&error)));
                // The deadline holds with or without an engine.
                if let Some(reason) = overdue {
                    self.mark_failed(&row, reason).await?;
                }
                return Err(error.into());
            }
        };
        self.note_adoption(&row, &observed);
        self.publish(&row);
        let actions = plan::plan(Some(&row), &observed);
        if actions.is_empty() {
            return Ok(Round::Over(self.wait(&row)));
        }
        if needs_place(&row, &actions) && !self.take_place(id) {
            self.board.touch(id);
            return Ok(Round::Over(Outcome::Queued));
        }
        for action in actions {
            match self.perform(&row, action).await {
                Ok(()) => {}
                Err(PassError::Hopeless(reason)) => self.mark_failed(&row, reason).await?,
                Err(error) => {
                    if !matches!(error, PassError::Store(_)) {
                        self.memory(id, |memory| memory.last_error = Some(describe(&error)));
                    }
                    return Err(error);
                }
            }
        }
        Ok(Round::Again)
    }

    async fn round_without_row(&self, id: WorkspaceId) -> Result<Round, PassError> {
        self.forget(id);
        let observed = self.observe(id, None, None).await?;
        let actions = plan::plan(None, &observed);
        if actions.is_empty() {
            return Ok(Round::Over(Outcome::Settled));
        }
        for action in actions {
            self.perform_orphan(id, action).await?;
        }
        Ok(Round::Again)
    }

    /// Brings what is remembered in line with the row, and tells the row to whom it concerns.
    fn recall(&self, row: &Workspace) {
        let is_starting = matches!(row.lifecycle, Lifecycle::Starting { .. });
        let is_stopping = matches!(row.lifecycle, Lifecycle::Stopping { .. });
        let is_running = matches!(row.lifecycle, Lifecycle::Running { .. });
        let now = self.uptime.now();
        if is_starting {
            self.board.begin(row.id, row.generation);
        }
        let has_booted = self
            .board
            .standing(row.id)
            .is_none_or(|standing| matches!(standing.phase, PhaseName::Clone | PhaseName::Editor));
        self.memory(row.id, |memory| {
            if !is_starting || has_booted {
                memory.place = None;
            }
            let is_thawing = is_running && memory.is_frozen;
            if !is_starting && !is_stopping && !is_thawing {
                memory.last_error = None;
            }
            memory.thaw_refused_since = memory.thaw_refused_since.filter(|_| is_thawing);
            memory.stopping_since = is_stopping.then(|| memory.stopping_since.unwrap_or(now));
            let is_stopped = matches!(row.lifecycle, Lifecycle::Stopped);
            memory.put_away = memory.put_away.filter(|_| is_stopped);
            memory.is_frozen |= matches!(row.lifecycle, Lifecycle::Paused { .. });
        });
        self.publish(row);
    }

    /// Tells a row to whom it concerns, and how the workspace is reached if it can be.
    fn publish(&self, row: &Workspace) {
        let is_frozen = self.memory(row.id, |memory| memory.is_frozen);
        let is_reachable = matches!(row.lifecycle, Lifecycle::Running { .. })
            && (is_frozen || self.bridges.watch(row.id, row.generation) == Readiness::Ready);
        let reach = is_reachable.then(|| Reach {
            is_frozen,
            ..self.reach(row.id)
        });
        self.feeds.row(row, reach);
    }

    /// Begins the deadlines of a transition anew when the store is back: nothing could be carried
    /// out or recorded without it, and that is not the workspace's fault.
    fn forgive(&self, row: &Workspace) {
        let now = self.uptime.now();
        let is_back = self.memory(row.id, |memory| {
            let is_back = std::mem::take(&mut memory.has_lost_store);
            if is_back && memory.stopping_since.is_some() {
                memory.stopping_since = Some(now);
            }
            is_back
        });
        if is_back {
            self.board.touch(row.id);
        }
    }

    /// Notes the phases that a start had passed before this process came to it.
    fn note_adoption(&self, row: &Workspace, observed: &plan::Observed) {
        let runs = observed.containers.iter().any(|container| {
            container.generation == Some(row.generation)
                && container.state == ContainerState::Running
        });
        if runs && matches!(row.lifecycle, Lifecycle::Starting { .. }) {
            for phase in [PhaseName::Network, PhaseName::Volume, PhaseName::Container] {
                self.board
                    .note(row.id, row.generation, phase, PhaseStatus::Done, None);
            }
            if self
                .board
                .standing(row.id)
                .is_some_and(|s| s.phase == PhaseName::Boot)
            {
                self.board.note(
                    row.id,
                    row.generation,
                    PhaseName::Boot,
                    PhaseStatus::Running,
                    None,
                );
            }
        }
    }

    /// Says until when there is nothing to do.
    fn wait(&self, row: &Workspace) -> Outcome {
        match (&row.lifecycle, self.board.standing(row.id)) {
            (Lifecycle::Starting { .. }, Some(standing)) => {
                let (spent, limit) = if standing.phase == PhaseName::Clone {
                    (standing.in_phase, self.limits.clone)
                } else {
                    (standing.silent, self.limits.start)
                };
                Outcome::Waiting(limit.saturating_sub(spent) + Duration::from_millis(10))
            }
            _ => Outcome::Settled,
        }
    }

    fn take_place(&self, id: WorkspaceId) -> bool {
        self.memory(id, |memory| {
            if memory.place.is_none() {
                memory.place = Arc::clone(&self.starts).try_acquire_owned().ok();
            }
            memory.place.is_some()
        })
    }

    /// Reads or changes what is remembered of a workspace.
    pub(crate) fn memory<T>(&self, id: WorkspaceId, use_it: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memories = self.state.memories.lock().expect("no holder panics");
        use_it(memories.entry(id).or_default())
    }

    fn forget(&self, id: WorkspaceId) {
        self.state
            .memories
            .lock()
            .expect("no holder panics")
            .remove(&id);
        self.bridges.forget(id);
        self.board.forget(id);
    }

    /// Returns what the engine can do, asking it the first time.
    pub(crate) async fn capabilities(&self) -> Result<Capabilities, EngineError> {
        let known = self
            .state
            .capabilities
            .lock()
            .expect("no holder panics")
            .clone();
        let must_ask_again = self.state.must_ask_again.load(Ordering::Relaxed);
        if let Some(known) = known.filter(|_| !must_ask_again) {
            return Ok(known);
        }
        let found = self.engine.capabilities().await?;
        self.state.must_ask_again.store(false, Ordering::Relaxed);
        tracing::info!(
            engine.version = found.version,
            engine.cpus = found.cpus,
            "found Docker {} at {}",
            found.version,
            self.engine_socket.display()
        );
        *self.state.capabilities.lock().expect("no holder panics") = Some(found.clone());
        Ok(found)
    }

    /// Returns how a running workspace is reached: by the uid of containers' roots, the host's own
    /// root until the engine says otherwise, and with what its image was seen to vouch for.
    pub(crate) fn reach(&self, id: WorkspaceId) -> Reach {
        Reach {
            peer_uid: root_uid(&self.state.capabilities),
            assets: self.memory(id, |memory| memory.assets.clone()),
            is_frozen: false,
        }
    }

    /// Notes whether the engine answers, and says so once when that changes.
    pub(crate) fn engine_answered(&self, error: Option<&EngineError>) {
        let is_up = !error.is_some_and(EngineError::is_unavailable);
        self.metrics.engine_up(is_up);
        let mut known = self.state.is_engine_up.lock().expect("no holder panics");
        if *known == Some(is_up) {
            return;
        }
        let was_known = known.replace(is_up).is_some();
        drop(known);
        let socket = self.engine_socket.display();
        if !is_up {
            // A restarted engine may be another version on other limits. What was known holds until
            // it has said so: running workspaces are recognised by it.
            self.state.must_ask_again.store(true, Ordering::Relaxed);
            let error = error.map(|error| describe(error)).unwrap_or_default();
            tracing::warn!(
                error,
                "Docker does not answer at {socket}: start it with `systemctl start docker`; \
                 running workspaces are not affected, starts wait: {error}"
            );
        } else if was_known {
            tracing::info!("Docker answers again at {socket}");
        }
    }

    /// Returns the moment before which what belongs to no workspace must have been made to go.
    pub(crate) fn orphaned_before(&self) -> Timestamp {
        let grace = jiff::SignedDuration::try_from(self.limits.orphan_grace);
        let now = self.clock.now();
        grace
            .ok()
            .and_then(|grace| now.checked_sub(grace).ok())
            .unwrap_or(Timestamp::MIN)
    }
}

/// Returns the uid of containers' roots as far as it is known.
pub(crate) fn root_uid(capabilities: &Mutex<Option<Capabilities>>) -> u32 {
    capabilities
        .lock()
        .expect("no holder panics")
        .as_ref()
        .map_or(0, |found| found.root_uid)
}

/// Tells whether actions make a start cost the host something, for which it needs a place.
fn needs_place(row: &Workspace, actions: &[Action]) -> bool {
    let is_costly = |action: &Action| {
        matches!(
            action,
            Action::CreateNetwork | Action::CreateContainer | Action::StartContainer { .. }
        )
    };
    matches!(row.lifecycle, Lifecycle::Starting { .. }) && actions.iter().any(is_costly)
}

/// Returns an error with all its sources, in one line.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl fmt::Debug for Reconciler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Reconciler")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
