//! The last known routes: fed by the orchestrator, kept when it falls silent.

mod route;
mod saved;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use dashmap::DashMap;
use kalpana_config::Site;
use kalpana_domain::id::WorkspaceId;
use kalpana_link::feed::Follow;
use kalpana_protocol::routes::{Route as WireRoute, RouteChange};
use tokio::sync::{Notify, watch};

use crate::live::{Key, Live};
use crate::metrics::Metrics;
use crate::tunnel::control::Cut;

pub use route::{InvalidRoute, Peer, Route, Target, bridge_target};
pub use saved::Keeper;

/// The route table. Reads take one shard's lock for a moment; nothing waits for the feed.
#[derive(Debug)]
pub struct Routes {
    table: DashMap<Id, Arc<Route>>,
    site: Site,
    is_known: AtomicBool,
    live: Arc<Live>,
    metrics: Metrics,
    /// Raised when the first snapshot was heard.
    heard: watch::Sender<bool>,
    /// What the parts of a snapshot have named, while it is being told.
    named: Mutex<HashSet<Id>>,
    /// Raised when what is known is not what was kept on disk.
    changed: Notify,
    /// Raised when a route is another than before.
    woken: Notify,
}

/// A workspace's fixed 128 bits, as two words: aligned to sixteen bytes an entry would be larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Id(u64, u64);

impl From<WorkspaceId> for Id {
    fn from(workspace: WorkspaceId) -> Self {
        let wide = workspace.to_u128();
        Self((wide >> 64) as u64, wide as u64)
    }
}

impl Routes {
    /// Makes an empty table that has heard nothing yet.
    ///
    /// What a workspace has open is cut in `live` when it no longer runs.
    pub fn new(site: Site, live: Arc<Live>, metrics: Metrics) -> Self {
        Self {
            table: DashMap::new(),
            site,
            is_known: AtomicBool::new(false),
            live,
            metrics,
            heard: watch::Sender::new(false),
            named: Mutex::default(),
            changed: Notify::new(),
            woken: Notify::new(),
        }
    }

    /// Begins with what was known when the gateway last ran, until the orchestrator is heard.
    pub fn recall(&self, routes: Vec<Route>) {
        for route in routes {
            self.table.insert(route.workspace.into(), Arc::new(route));
        }
        self.metrics.routes.set(self.table.len() as i64);
        self.is_known.store(true, Ordering::Release);
    }

    /// Returns the route of a workspace.
    pub fn find(&self, workspace: WorkspaceId) -> Option<Arc<Route>> {
        let found = self.table.get(&workspace.into())?;
        Some(Arc::clone(&found))
    }

    /// Waits until a workspace is not asleep any more, whatever it is then.
    pub async fn until_awake(&self, workspace: WorkspaceId) {
        loop {
            let mut woken = std::pin::pin!(self.woken.notified());
            // Before the look, so that nothing is missed between the two.
            woken.as_mut().enable();
            let route = self.find(workspace);
            if !route.is_some_and(|route| matches!(route.target, Target::Paused { .. })) {
                return;
            }
            woken.await;
        }
    }

    /// Tells whether anything is known, heard or recalled. Before that an absent route means
    /// nothing.
    pub fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Acquire)
    }

    /// Returns a watch that becomes true with the first snapshot.
    pub fn heard(&self) -> watch::Receiver<bool> {
        self.heard.subscribe()
    }

    fn upsert(&self, wire: WireRoute) -> Option<Id> {
        let workspace = wire.workspace.clone();
        match Route::read(wire, &self.site) {
            Ok(route) => {
                let key = Id::from(route.workspace);
                let (runs, generation) = (route.runs(), route.generation);
                let before = self.table.insert(key, Arc::new(route));
                self.woken.notify_waiters();
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
        if let Some((_, route)) = self.table.remove(&workspace.into()) {
            self.ended(&route);
            self.woken.notify_waiters();
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
        self.part(state);
        let kept = std::mem::take(&mut *self.named.lock().expect("no holder panics"));
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
        self.is_known.store(true, Ordering::Release);
        self.heard.send_replace(true);
        self.changed.notify_one();
    }

    fn part(&self, state: Vec<WireRoute>) -> bool {
        let mut named = self.named.lock().expect("no holder panics");
        named.extend(state.into_iter().filter_map(|wire| self.upsert(wire)));
        true
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
        self.changed.notify_one();
    }

    fn connected(&self, is_connected: bool) {
        // Of a snapshot that was not told to its end nothing counts.
        self.named.lock().expect("no holder panics").clear();
        self.metrics.feed("routes", is_connected);
    }
}

#[cfg(test)]
mod tests {
    use kalpana_domain::id::UserId;
    use kalpana_protocol::routes::Target as WireTarget;

    use super::*;

    fn wire(workspace: &str, target: WireTarget) -> WireRoute {
        WireRoute {
            workspace: workspace.to_owned(),
            owner: UserId::generate().to_string(),
            generation: 1,
            target,
        }
    }

    pub(super) fn routes() -> Routes {
        Routes::new(
            crate::testing::site(),
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
        assert!(!routes.is_known());
        routes.snapshot(vec![wire("abcdefghij01", WireTarget::Stopped)]);
        routes.snapshot(vec![wire("abcdefghij02", WireTarget::Stopped)]);
        assert!(routes.is_known());
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
