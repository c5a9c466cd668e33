//! The last known routes: fed by the orchestrator, kept when it falls silent.

use std::collections::HashSet;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashMap;
use kalpana_bridge_client::Bridge;
use kalpana_domain::address::Surface;
use kalpana_domain::id::{Generation, UserId, WorkspaceId};
use kalpana_link::feed::Follow;
use kalpana_protocol::preamble::{Audience, ConnectKey, Target as BridgeTarget};
use kalpana_protocol::routes::{Route as WireRoute, RouteChange, Target as WireTarget};
use tokio::sync::watch;

use crate::assets::manifest::Digest;
use crate::live::{Key, Live};
use crate::metrics::Metrics;
use crate::tunnel::control::Cut;

/// Who may reach a workspace, and where it is.
#[derive(Debug, Clone)]
pub struct Route {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its owner, who alone may reach what they do not share.
    pub owner: UserId,
    /// The incarnation that sessions must be made for.
    pub generation: Generation,
    /// Where requests go, or why they cannot.
    pub target: Target,
    /// The list by which its image vouches for the editor's files.
    pub assets: Option<Digest>,
}

/// Where a workspace is.
#[derive(Debug, Clone)]
pub enum Target {
    /// Behind this bridge.
    Running(Bridge),
    /// It is being started.
    Starting,
    /// It is being stopped.
    Stopping,
    /// It has no container.
    Stopped,
    /// Its last start or run ended badly.
    Failed {
        /// The sentence for people.
        message: String,
    },
}

/// A route of the feed made no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the route has an unusable {field}")]
pub struct InvalidRoute {
    field: &'static str,
}

impl Route {
    fn runs(&self) -> bool {
        matches!(self.target, Target::Running(_))
    }

    fn read(wire: WireRoute) -> Result<Self, InvalidRoute> {
        let invalid = |field| InvalidRoute { field };
        let workspace = WorkspaceId::parse(&wire.workspace).map_err(|_| invalid("workspace id"))?;
        let assets = match &wire.target {
            WireTarget::Running { assets, .. } => assets.as_deref().and_then(Digest::parse),
            _ => None,
        };
        let target = match wire.target {
            WireTarget::Running {
                socket,
                peer_uid,
                key,
                assets: _,
            } => Target::Running(Bridge {
                socket: PathBuf::from(socket),
                peer_uid,
                workspace: wire.workspace,
                generation: wire.generation,
                audience: Audience::Gateway,
                key: ConnectKey::parse(&key.0).map_err(|_| invalid("key"))?,
            }),
            WireTarget::Starting => Target::Starting,
            WireTarget::Stopping => Target::Stopping,
            WireTarget::Stopped => Target::Stopped,
            WireTarget::Failed { message } => Target::Failed { message },
        };
        Ok(Self {
            workspace,
            owner: UserId::parse(&wire.owner).map_err(|_| invalid("owner"))?,
            generation: Generation(wire.generation),
            target,
            assets,
        })
    }
}

/// Returns what to ask the bridge for, to reach a surface.
pub fn bridge_target(surface: Surface) -> BridgeTarget {
    match surface {
        Surface::Editor => BridgeTarget::Editor,
        Surface::Port(port) => BridgeTarget::Port(NonZeroU16::new(port).unwrap_or(NonZeroU16::MAX)),
    }
}

/// The route table. Reads take one shard's lock for a moment; nothing waits for the feed.
#[derive(Debug)]
pub struct Routes {
    table: DashMap<u128, Arc<Route>>,
    is_heard: AtomicBool,
    live: Arc<Live>,
    metrics: Metrics,
    /// Raised when the first snapshot was heard.
    heard: watch::Sender<bool>,
}

impl Routes {
    /// Makes an empty table that has heard nothing yet.
    ///
    /// What a workspace has open is cut in `live` when it no longer runs.
    pub fn new(live: Arc<Live>, metrics: Metrics) -> Self {
        Self {
            table: DashMap::new(),
            is_heard: AtomicBool::new(false),
            live,
            metrics,
            heard: watch::Sender::new(false),
        }
    }

    /// Returns the route of a workspace.
    pub fn find(&self, workspace: WorkspaceId) -> Option<Arc<Route>> {
        let found = self.table.get(&workspace.to_u128())?;
        Some(Arc::clone(&found))
    }

    /// Tells whether a first snapshot was heard. Before that an absent route means nothing.
    pub fn is_heard(&self) -> bool {
        self.is_heard.load(Ordering::Acquire)
    }

    /// Returns a watch that becomes true with the first snapshot.
    pub fn heard(&self) -> watch::Receiver<bool> {
        self.heard.subscribe()
    }

    fn upsert(&self, wire: WireRoute) -> Option<u128> {
        let workspace = wire.workspace.clone();
        match Route::read(wire) {
            Ok(route) => {
                let key = route.workspace.to_u128();
                let (runs, generation) = (route.runs(), route.generation);
                let before = self.table.insert(key, Arc::new(route));
                if let Some(before) = before
                    && before.runs()
                    && (!runs || before.generation != generation)
                {
                    self.ended(&before);
                }
                Some(key)
            }
            Err(error) => {
                tracing::error!(
                    workspace.id = workspace,
                    "ignoring a route of the orchestrator for {workspace}: {error}"
                );
                // What cannot be read must not leave an older permission in force.
                if let Ok(id) = WorkspaceId::parse(&workspace) {
                    self.remove(id);
                }
                None
            }
        }
    }

    fn remove(&self, workspace: WorkspaceId) {
        if let Some((_, route)) = self.table.remove(&workspace.to_u128()) {
            self.ended(&route);
        }
    }

    /// A workspace no longer runs as it did: what it has open ends. The table comes first, so that
    /// a request that is just being let in either sees that or is seen by the cut.
    fn ended(&self, route: &Route) {
        if route.runs() {
            self.live.cut(Key::Workspace(route.workspace), Cut::Asleep);
        }
    }
}

impl Follow for Routes {
    type State = Vec<WireRoute>;
    type Change = RouteChange;

    fn snapshot(&self, state: Vec<WireRoute>) {
        let kept: HashSet<u128> = state
            .into_iter()
            .filter_map(|wire| self.upsert(wire))
            .collect();
        let mut gone = Vec::new();
        self.table.retain(|workspace, route| {
            let is_kept = kept.contains(workspace);
            if !is_kept {
                gone.push(Arc::clone(route));
            }
            is_kept
        });
        gone.iter().for_each(|route| self.ended(route));
        self.metrics.routes.set(self.table.len() as i64);
        self.is_heard.store(true, Ordering::Release);
        self.heard.send_replace(true);
    }

    fn change(&self, change: RouteChange) {
        match change {
            RouteChange::Upsert { route } => {
                self.upsert(route);
            }
            RouteChange::Remove { workspace } => {
                if let Ok(id) = WorkspaceId::parse(&workspace) {
                    self.remove(id);
                }
            }
        }
        self.metrics.routes.set(self.table.len() as i64);
    }

    fn connected(&self, is_connected: bool) {
        self.metrics.feed("routes", is_connected);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(workspace: &str, target: WireTarget) -> WireRoute {
        WireRoute {
            workspace: workspace.to_owned(),
            owner: UserId::generate().to_string(),
            generation: 1,
            target,
        }
    }

    fn routes() -> Routes {
        Routes::new(
            Arc::default(),
            Metrics::register(&prometheus::Registry::new()).unwrap(),
        )
    }

    fn id(text: &str) -> WorkspaceId {
        WorkspaceId::parse(text).unwrap()
    }

    #[test]
    fn a_snapshot_replaces_what_was_known() {
        let routes = routes();
        assert!(!routes.is_heard());
        routes.snapshot(vec![wire("abcdefghij01", WireTarget::Stopped)]);
        routes.snapshot(vec![wire("abcdefghij02", WireTarget::Stopped)]);
        assert!(routes.is_heard());
        assert!(routes.find(id("abcdefghij01")).is_none());
        assert!(routes.find(id("abcdefghij02")).is_some());
        routes.connected(false);
        assert!(routes.find(id("abcdefghij02")).is_some(), "kept on silence");
    }

    #[test]
    fn an_unreadable_route_removes_the_one_before() {
        let routes = routes();
        routes.snapshot(vec![wire("abcdefghij01", WireTarget::Stopped)]);
        let mut broken = wire("abcdefghij01", WireTarget::Stopped);
        broken.owner = "nobody".to_owned();
        routes.change(RouteChange::Upsert { route: broken });
        assert!(routes.find(id("abcdefghij01")).is_none());
        let key = kalpana_protocol::routes::ConnectKey("short".to_owned());
        let running = WireTarget::Running {
            socket: "/run/b.sock".to_owned(),
            peer_uid: 0,
            key,
            assets: None,
        };
        routes.change(RouteChange::Upsert {
            route: wire("abcdefghij01", running),
        });
        assert!(routes.find(id("abcdefghij01")).is_none());
    }
}
