//! What others hear: routes for the gateway, rows and progress for web.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use kalpana_domain::id::{Generation, WorkspaceId};
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::sleep::SleepPolicy;
use kalpana_domain::workspace::Workspace;
use kalpana_link::feed::{Publisher, State};
use kalpana_protocol::orchestrator::{PhaseStatus, Progress, ProgressChange};
use kalpana_protocol::preamble::Audience;
use kalpana_protocol::routes::{ConnectKey, Route, RouteChange, Step, Target};
use serde::{Serialize, Serializer};

use crate::keys::NodeKey;
use crate::launch::RunDirectories;

/// Routes told in one line at most: a few megabytes.
const ROUTES_PER_LINE: usize = 10_000;

/// Every route, by workspace. A copy shares the routes.
#[derive(Debug, Clone, Default)]
pub(crate) struct RouteTable(BTreeMap<String, Arc<Route>>);

impl State for RouteTable {
    type Change = RouteChange;

    fn apply(&mut self, change: &RouteChange) {
        match change {
            RouteChange::Upsert { route } => {
                self.0
                    .insert(route.workspace.clone(), Arc::new(route.clone()));
            }
            RouteChange::Remove { workspace } => {
                self.0.remove(workspace);
            }
        }
    }

    fn split_off(&mut self) -> Option<Self> {
        if self.0.len() <= ROUTES_PER_LINE {
            return None;
        }
        let part = (0..ROUTES_PER_LINE).map_while(|_| self.0.pop_first());
        Some(Self(part.collect()))
    }
}

impl Serialize for RouteTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.values())
    }
}

/// Starts under way or just failed, by workspace.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProgressTable(BTreeMap<String, Progress>);

impl State for ProgressTable {
    type Change = ProgressChange;

    fn apply(&mut self, change: &ProgressChange) {
        match change {
            ProgressChange::Row { .. } => {}
            ProgressChange::Progress { progress } => {
                let is_over = progress
                    .phases
                    .iter()
                    .all(|p| p.status == PhaseStatus::Done);
                if is_over {
                    self.0.remove(&progress.workspace);
                } else {
                    self.0.insert(progress.workspace.clone(), progress.clone());
                }
            }
            ProgressChange::Removed { workspace, .. } => {
                self.0.remove(workspace);
            }
        }
    }
}

impl Serialize for ProgressTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.values())
    }
}

/// Publishes both feeds. Clones publish the same.
#[derive(Debug, Clone)]
pub(crate) struct Feeds {
    /// For the gateway.
    pub(crate) routes: Publisher<RouteTable>,
    /// For web.
    pub(crate) progress: Publisher<ProgressTable>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    keys: Arc<NodeKey>,
    directories: RunDirectories,
    published: Mutex<HashMap<WorkspaceId, Told>>,
}

/// What is told of a running workspace besides its row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// The uid that its bridge listens as.
    pub(crate) peer_uid: u32,
    /// The hash of the list by which its image vouches for the editor's files.
    pub(crate) assets: Option<String>,
    /// Whether it is frozen still: it is being woken, and visitors wait for it with those who came
    /// before them.
    pub(crate) is_frozen: bool,
}

/// What was last said of a workspace.
#[derive(Debug, PartialEq)]
struct Told {
    version: u64,
    reach: Option<Reach>,
    lifecycle: Lifecycle,
    sleep: SleepPolicy,
    route: Route,
}

impl Told {
    fn published(&self, workspace: WorkspaceId) -> Published {
        Published {
            workspace,
            generation: Generation(self.route.generation),
            lifecycle: self.lifecycle.clone(),
            sleep: self.sleep,
        }
    }
}

/// Where a workspace is, as it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Published {
    /// Which.
    pub(crate) workspace: WorkspaceId,
    /// Its incarnation.
    pub(crate) generation: Generation,
    /// Where it is in its life.
    pub(crate) lifecycle: Lifecycle,
    /// How it sleeps.
    pub(crate) sleep: SleepPolicy,
}

impl Feeds {
    /// Makes feeds that say nothing yet.
    pub(crate) fn new(keys: Arc<NodeKey>, directories: RunDirectories) -> Self {
        let shared = Shared {
            keys,
            directories,
            published: Mutex::default(),
        };
        Self {
            routes: Publisher::new(RouteTable::default()),
            progress: Publisher::new(ProgressTable::default()),
            shared: Arc::new(shared),
        }
    }

    /// Tells what became of a row, and how it is reached once the bridge of this generation has
    /// answered; until then a running workspace is published as starting.
    ///
    /// Rows may be told in any order: one older than what was told is left out.
    pub(crate) fn row(&self, row: &Workspace, reach: Option<Reach>) {
        let mut published = self.lock();
        let earlier = published.get(&row.id);
        let is_old_news = earlier.is_some_and(|earlier| {
            earlier.version > row.version
                || (earlier.version == row.version && earlier.reach == reach)
        });
        if is_old_news {
            return;
        }
        let mut route = self.route(row, reach.as_ref());
        if let (Target::Starting { step }, Some(earlier)) = (&mut route.target, earlier)
            && let Target::Starting { step: known } = &earlier.route.target
            && earlier.route.generation == route.generation
        {
            step.clone_from(known);
        }
        let is_new_row = earlier.is_none_or(|earlier| earlier.version != row.version);
        let is_new_route = earlier.is_none_or(|earlier| earlier.route != route);
        published.insert(
            row.id,
            Told {
                version: row.version,
                reach,
                lifecycle: row.lifecycle.clone(),
                sleep: row.sleep,
                route: route.clone(),
            },
        );
        // Under the lock, so that the order of the feed is the order of the rows.
        if is_new_route {
            self.routes.publish(RouteChange::Upsert { route });
        }
        if is_new_row {
            self.progress.publish(ProgressChange::Row {
                workspace: row.id.to_string(),
            });
        }
    }

    /// Tells how far the start of a generation is, as long as it is under way.
    pub(crate) fn step(&self, workspace: WorkspaceId, generation: Generation, step: Step) {
        let mut published = self.lock();
        let known = published.get_mut(&workspace);
        let Some(known) = known.filter(|known| known.route.generation == generation.0) else {
            return;
        };
        if let Target::Starting { step: known_step } = &mut known.route.target
            && known_step.as_ref() != Some(&step)
        {
            *known_step = Some(step);
            let route = known.route.clone();
            self.routes.publish(RouteChange::Upsert { route });
        }
    }

    /// Tells that a workspace is gone.
    pub(crate) fn removed(&self, row: &Workspace) {
        let mut published = self.lock();
        published.remove(&row.id);
        let workspace = row.id.to_string();
        self.routes.publish(RouteChange::Remove {
            workspace: workspace.clone(),
        });
        let owner = row.owner.to_string();
        self.progress
            .publish(ProgressChange::Removed { workspace, owner });
    }

    /// Counts workspaces by state, as far as they were told.
    pub(crate) fn counts(&self) -> HashMap<&'static str, i64> {
        let mut counts = HashMap::new();
        for published in self.lock().values() {
            *counts.entry(published.lifecycle.name()).or_default() += 1;
        }
        counts
    }

    /// Returns where every workspace is, as it was told.
    pub(crate) fn published_lifecycles(&self) -> Vec<Published> {
        let told = self.lock();
        told.iter().map(|(id, told)| told.published(*id)).collect()
    }

    /// Returns where a workspace is, as it was told.
    pub(crate) fn published_lifecycle(&self, workspace: WorkspaceId) -> Option<Published> {
        let told = self.lock();
        told.get(&workspace).map(|told| told.published(workspace))
    }

    fn route(&self, row: &Workspace, reach: Option<&Reach>) -> Route {
        let target = match (&row.lifecycle, reach) {
            (Lifecycle::Running { .. }, Some(reach)) if reach.is_frozen => Target::Paused {
                stays_asleep: false,
            },
            (Lifecycle::Running { .. }, Some(reach)) => {
                let directory = self.shared.directories.path(row.id.as_str());
                let key = self
                    .shared
                    .keys
                    .connect_key(row.id, row.generation, Audience::Gateway);
                Target::Running {
                    socket: socket(&directory),
                    peer_uid: reach.peer_uid,
                    key: ConnectKey(key.expose()),
                    assets: reach.assets.clone(),
                }
            }
            (Lifecycle::Running { .. } | Lifecycle::Starting { .. }, _) => {
                Target::Starting { step: None }
            }
            (Lifecycle::Paused { .. }, _) => Target::Paused {
                stays_asleep: row.sleep.stays_asleep,
            },
            (Lifecycle::Stopping { .. } | Lifecycle::Deleting { .. }, _) => Target::Stopping,
            (Lifecycle::Stopped, _) => Target::Stopped,
            (Lifecycle::Failed { reason, .. }, _) => Target::Failed {
                message: reason.message.clone(),
            },
        };
        Route {
            workspace: row.id.to_string(),
            owner: row.owner.to_string(),
            generation: row.generation.0,
            target,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Told>> {
        self.shared.published.lock().expect("no holder panics")
    }

    /// Returns the route published for a workspace.
    #[cfg(test)]
    pub(crate) fn published(&self, workspace: WorkspaceId) -> Option<Route> {
        let routes = self.routes.state();
        routes
            .0
            .get(workspace.as_str())
            .map(|route| (**route).clone())
    }
}

/// Returns the bridge's socket in a run directory, as text.
pub(crate) fn socket(directory: &Path) -> String {
    directory
        .join(kalpana_protocol::launch::SOCKET_NAME)
        .to_string_lossy()
        .into_owned()
}

/// Feeds of a site that does not exist.
#[cfg(test)]
pub(crate) fn testing() -> Feeds {
    let directories = RunDirectories::create(std::env::temp_dir(), 0, 0);
    let directories = directories.expect("a directory for temporary files");
    Feeds::new(Arc::new(NodeKey::from_bytes([1; 32])), directories)
}

#[cfg(test)]
mod tests {
    use kalpana_domain::Timestamp;

    use super::*;
    use crate::testing::workspace;

    fn running(version: u64) -> Workspace {
        let lifecycle = Lifecycle::Running {
            since: Timestamp::UNIX_EPOCH,
        };
        Workspace {
            lifecycle,
            version,
            ..workspace()
        }
    }

    #[test]
    fn a_running_workspace_has_a_route_only_once_its_bridge_answered() {
        let feeds = testing();
        feeds.row(&running(2), None);
        assert_eq!(
            feeds.published(workspace().id).unwrap().target,
            Target::Starting { step: None }
        );
        feeds.row(&running(2), Some(Reach::default()));
        let target = feeds.published(workspace().id).unwrap().target;
        assert!(
            matches!(target, Target::Running { peer_uid: 0, .. }),
            "{target:?}"
        );
    }

    #[test]
    fn a_start_is_told_step_by_step_until_it_is_over() {
        let feeds = testing();
        let id = workspace().id;
        let step = |detail: &str| Step {
            phase: kalpana_protocol::orchestrator::PhaseName::Clone,
            detail: Some(detail.to_owned()),
        };
        let starting = |detail| Target::Starting {
            step: Some(step(detail)),
        };
        let generation = running(2).generation;
        feeds.step(id, generation, step("unknown yet"));
        assert_eq!(feeds.published(id), None);
        feeds.row(&running(2), None);
        feeds.step(id, generation, step("1%"));
        assert_eq!(feeds.published(id).unwrap().target, starting("1%"));
        feeds.step(id, Generation(generation.0 + 1), step("2%"));
        feeds.row(&running(3), None);
        let target = feeds.published(id).unwrap().target;
        assert_eq!(target, starting("1%"), "kept with the next row");
        feeds.row(&running(3), Some(Reach::default()));
        feeds.step(id, generation, step("late"));
        let target = feeds.published(id).unwrap().target;
        assert!(matches!(target, Target::Running { .. }), "{target:?}");
    }

    #[test]
    fn what_an_image_vouches_for_is_told_when_it_becomes_known() {
        let feeds = testing();
        feeds.row(&running(2), Some(Reach::default()));
        let reach = Reach {
            peer_uid: 0,
            assets: Some("the-hash".to_owned()),
            ..Reach::default()
        };
        feeds.row(&running(2), Some(reach.clone()));
        match feeds.published(workspace().id).unwrap().target {
            Target::Running { assets, .. } => assert_eq!(assets, reach.assets),
            other => panic!("expected a running route, got {other:?}"),
        }
    }

    #[test]
    fn what_is_being_woken_is_asleep_for_visitors_until_it_is_thawed() {
        let feeds = testing();
        let frozen = Reach {
            is_frozen: true,
            ..Reach::default()
        };
        feeds.row(&running(2), Some(frozen));
        let target = || feeds.published(workspace().id).unwrap().target;
        let asleep = Target::Paused {
            stays_asleep: false,
        };
        assert_eq!(target(), asleep);
        feeds.row(&running(2), Some(Reach::default()));
        assert!(matches!(target(), Target::Running { .. }));
    }

    #[test]
    fn a_row_older_than_what_was_told_changes_nothing() {
        let feeds = testing();
        let stopping = Lifecycle::Stopping {
            since: Timestamp::UNIX_EPOCH,
        };
        feeds.row(
            &Workspace {
                lifecycle: stopping,
                version: 3,
                ..workspace()
            },
            None,
        );
        feeds.row(&running(2), Some(Reach::default()));
        assert_eq!(
            feeds.published(workspace().id).unwrap().target,
            Target::Stopping
        );
        assert_eq!(feeds.counts(), HashMap::from([("stopping", 1)]));
    }

    #[test]
    fn a_deleted_workspace_leaves_both_tables() {
        let feeds = testing();
        feeds.row(&running(2), Some(Reach::default()));
        feeds.removed(&running(3));
        assert_eq!(feeds.published(workspace().id), None);
        assert_eq!(serde_json::to_string(&feeds.routes.state()).unwrap(), "[]");
        assert_eq!(feeds.counts(), HashMap::new());
    }

    #[test]
    fn each_generation_has_a_key_of_its_own() {
        let feeds = testing();
        let mut keys = Vec::new();
        for generation in [1, 2] {
            let row = Workspace {
                generation: kalpana_domain::id::Generation(generation),
                ..running(generation + 1)
            };
            feeds.row(&row, Some(Reach::default()));
            match feeds.published(row.id).unwrap().target {
                Target::Running { key, .. } => keys.push(key.0),
                other => panic!("expected a running route, got {other:?}"),
            }
        }
        assert_ne!(keys[0], keys[1]);
    }
}
