//! Reads what a workspace's container uses, wherever it is, and notices what the kernel ended.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use kalpana_domain::clock::Clock;
use kalpana_domain::id::{Generation, WorkspaceId};

use super::kills::{Kills, named, sentence};
use super::read::{Counters, ReadError};
use super::tree::{Missing, Place, Tree};
use crate::engine::{ContainerSeen, ContainerState, Engine};
use crate::feed::Published;
use crate::logs::Journal;
use crate::metrics::Metrics;
use crate::uptime::Uptime;

/// Why a container is read, as it stands in metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// Somebody watches.
    Live,
    /// A minute has passed.
    History,
}

impl Occasion {
    /// Every occasion.
    pub(crate) const ALL: [Self; 2] = [Self::Live, Self::History];

    /// Returns the occasion's name in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::History => "history",
        }
    }
}

/// Where a workspace's container is.
#[derive(Debug, Clone)]
struct Found {
    generation: Generation,
    container: ContainerSeen,
    place: Place,
}

/// Reads containers.
pub(crate) struct Meter {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) tree: Tree,
    pub(crate) kernel_log: PathBuf,
    pub(crate) kills: Kills,
    pub(crate) journal: Journal,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) uptime: Arc<dyn Uptime>,
    /// Containers that were found, so that the engine is not asked for each reading.
    found: Mutex<HashMap<WorkspaceId, Found>>,
}

impl Meter {
    /// Makes a meter for the containers of `engine` that are on this host.
    pub(crate) fn new(
        engine: Arc<dyn Engine>,
        tree: Tree,
        kernel_log: PathBuf,
        journal: Journal,
        metrics: Metrics,
        clock: Arc<dyn Clock>,
        uptime: Arc<dyn Uptime>,
    ) -> Self {
        let kills = Kills::new(clock.now());
        Self {
            engine,
            tree,
            kernel_log,
            kills,
            journal,
            metrics,
            clock,
            uptime,
            found: Mutex::default(),
        }
    }

    /// Reads the container of a workspace that runs or is asleep.
    ///
    /// # Errors
    /// [`ReadError`].
    pub(super) async fn read(
        &self,
        known: &Published,
        occasion: Occasion,
    ) -> Result<Counters, ReadError> {
        let found = match self.recall(known) {
            Some(found) => found,
            None => {
                let containers = self.engine.containers(Some(known.workspace)).await;
                let containers = containers.map_err(|_| ReadError::EngineAway)?;
                self.find(known, &containers).await?
            }
        };
        self.metrics.figures_read(occasion);
        let (tree, place, id) = (self.tree.clone(), found.place.clone(), known.workspace);
        // The time is taken where it is read: there may be a queue before that.
        let uptime = Arc::clone(&self.uptime);
        let reading = tokio::task::spawn_blocking(move || tree.read(&place, id, uptime.now()));
        match reading.await.unwrap_or(Err(ReadError::Garbled)) {
            Ok(counters) => {
                self.notice(id, &found.container, counters.oom_kills).await;
                Ok(counters)
            }
            Err(error) => {
                // It may have moved: the next reading looks for it again.
                self.lock().remove(&id);
                Err(error)
            }
        }
    }

    /// Finds the containers of many workspaces by asking the engine once, if any is not known yet, and
    /// leaves those that are found.
    pub(super) async fn find_all(&self, all: &mut Vec<Published>) {
        let unknown: Vec<&Published> = all
            .iter()
            .filter(|one| self.recall(one).is_none())
            .collect();
        if unknown.is_empty() {
            return;
        }
        if let Ok(containers) = self.engine.containers(None).await {
            for known in unknown {
                // Whoever is not found is looked for again in a minute.
                let _ = self.find(known, &containers).await;
            }
        }
        all.retain(|known| self.recall(known).is_some());
    }

    /// Forgets all but what is still there.
    pub(super) fn retain(&self, is_there: impl Fn(WorkspaceId) -> bool) {
        self.lock().retain(|id, _| is_there(*id));
        self.kills.retain(is_there);
    }

    fn recall(&self, known: &Published) -> Option<Found> {
        let found = self.lock();
        let found = found.get(&known.workspace)?;
        (found.generation == known.generation).then(|| found.clone())
    }

    /// Finds the groups of the container of a workspace's present generation.
    async fn find(
        &self,
        known: &Published,
        containers: &[ContainerSeen],
    ) -> Result<Found, ReadError> {
        let own = containers.iter().find(|container| {
            container.workspace == Some(known.workspace)
                && container.generation == Some(known.generation)
                && matches!(
                    container.state,
                    ContainerState::Running | ContainerState::Paused
                )
        });
        let container = own.ok_or(ReadError::Gone)?.clone();
        let place = match self.look(&container.id, None).await {
            Err(Missing::Elsewhere) => {
                let inspected = self.engine.inspect_container(&container.id).await;
                let inspected = inspected.map_err(|_| ReadError::EngineAway)?;
                let pid = inspected.pid.ok_or(ReadError::Gone)?;
                self.look(&container.id, Some(pid)).await?
            }
            looked => looked?,
        };
        let found = Found {
            generation: known.generation,
            container,
            place,
        };
        self.lock().insert(known.workspace, found.clone());
        Ok(found)
    }

    async fn look(&self, container: &str, pid: Option<u32>) -> Result<Place, Missing> {
        let (tree, container) = (self.tree.clone(), container.to_owned());
        tokio::task::spawn_blocking(move || tree.find(&container, pid))
            .await
            .unwrap_or(Err(Missing::Elsewhere))
    }

    /// Tells of processes that the kernel ended since it was read before.
    async fn notice(&self, id: WorkspaceId, container: &ContainerSeen, count: u64) {
        let more = self
            .kills
            .rose(id, &container.id, container.created_at, count);
        if more == 0 {
            return;
        }
        self.metrics.oom_kills(more);
        let (log, container) = (self.kernel_log.clone(), container.id.clone());
        let names = tokio::task::spawn_blocking(move || named(&log, &container, more)).await;
        let text = sentence(more, &names.unwrap_or_default());
        self.journal.note(id, self.clock.now(), &text);
        // What the processes are called is the container's word, and stays in the workspace's own log.
        tracing::warn!(
            workspace.id = %id,
            count = more,
            "the kernel ended {more} processes of {id} because its memory was used up"
        );
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Found>> {
        self.found.lock().expect("no holder panics")
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Meter").finish_non_exhaustive()
    }
}
