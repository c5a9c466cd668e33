//! When is a workspace usable: its bridge says so, under this generation's key.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use kalpana_bridge_client::{Bridge, ConnectError, Notification, Notifications, RpcClient};
use kalpana_domain::clock::Clock;
use kalpana_domain::id::{Generation, WorkspaceId};
use kalpana_domain::lifecycle::{FailureCode, FailureReason};
use kalpana_protocol::bridge::phase::{
    Phase, PhaseName as BridgePhase, PhaseStatus as BridgeStatus,
};
use kalpana_protocol::launch::SOCKET_NAME;
use kalpana_protocol::orchestrator::{PhaseName, PhaseStatus};
use kalpana_protocol::preamble::Audience;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::keys::NodeKey;
use crate::launch::RunDirectories;
use crate::plan::Readiness;
use crate::progress::Board;

/// Deadline of one attempt to dial a bridge.
const DIAL_LIMIT: Duration = Duration::from_secs(5);

/// Wait between attempts: short, because each adds to the time a person waits for a start.
const REDIAL: Duration = Duration::from_millis(50);

/// Longest wait between attempts, once a bridge has been silent for long.
const REDIAL_LIMIT: Duration = Duration::from_secs(2);

/// What is known of bridges.
pub(crate) trait Bridges: fmt::Debug + Send + Sync {
    /// Returns what the bridge of a generation has said, and sees that somebody listens to it.
    fn watch(&self, workspace: WorkspaceId, generation: Generation) -> Readiness;

    /// Stops listening to a workspace's bridge.
    fn forget(&self, workspace: WorkspaceId);
}

/// Listens to bridges, one task each until it has said that the editor answers.
#[derive(Debug, Clone)]
pub(crate) struct Followers(Arc<Shared>);

struct Shared {
    directories: RunDirectories,
    keys: Arc<NodeKey>,
    clock: Arc<dyn Clock>,
    board: Board,
    peer_uid: Arc<dyn Fn() -> u32 + Send + Sync>,
    /// Whom to tell that a bridge said something decisive. Set once, after the loop is made.
    waker: OnceLock<Box<dyn Fn(WorkspaceId) + Send + Sync>>,
    followed: Mutex<HashMap<WorkspaceId, Followed>>,
    /// Raised with each decisive word.
    heard: watch::Sender<u64>,
}

#[derive(Debug)]
struct Followed {
    generation: Generation,
    readiness: Readiness,
    task: AbortHandle,
}

impl Followers {
    /// Makes a listener that listens to nobody yet.
    pub(crate) fn new(
        directories: RunDirectories,
        keys: Arc<NodeKey>,
        clock: Arc<dyn Clock>,
        board: Board,
        peer_uid: Arc<dyn Fn() -> u32 + Send + Sync>,
    ) -> Self {
        Self(Arc::new(Shared {
            directories,
            keys,
            clock,
            board,
            peer_uid,
            waker: OnceLock::new(),
            followed: Mutex::default(),
            heard: watch::channel(0).0,
        }))
    }

    /// Sets whom to tell that a bridge said something decisive.
    pub(crate) fn on_news(&self, waker: impl Fn(WorkspaceId) + Send + Sync + 'static) {
        // Set once, at start-up; a second time would change nothing.
        let _ = self.0.waker.set(Box::new(waker));
    }

    /// Returns a counter that rises whenever a bridge says something decisive.
    pub(crate) fn heard(&self) -> watch::Receiver<u64> {
        self.0.heard.subscribe()
    }

    /// Tells whether every bridge that is listened to has said something decisive.
    pub(crate) fn are_all_settled(&self) -> bool {
        self.lock()
            .values()
            .all(|followed| followed.readiness != Readiness::Waiting)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Followed>> {
        self.0.followed.lock().expect("no holder panics")
    }

    fn settle(&self, workspace: WorkspaceId, generation: Generation, readiness: Readiness) {
        let mut followed = self.lock();
        match followed.get_mut(&workspace) {
            Some(known) if known.generation == generation => known.readiness = readiness,
            _ => return,
        }
        drop(followed);
        self.0.heard.send_modify(|count| *count += 1);
        if let Some(waker) = self.0.waker.get() {
            waker(workspace);
        }
    }

    /// Dials until somebody answers, and listens until something decisive is said.
    async fn follow(self, workspace: WorkspaceId, generation: Generation) {
        let mut wait = REDIAL;
        let mut warned = false;
        loop {
            match self.dial(workspace, generation, DIAL_LIMIT).await {
                Ok((rpc, mut notifications)) => {
                    wait = REDIAL;
                    for phase in rpc.initialized().phases.clone() {
                        if let Some(readiness) = self.hear(workspace, generation, &phase) {
                            return self.settle(workspace, generation, readiness);
                        }
                    }
                    while let Some(notification) = notifications.next().await {
                        let Notification::Phase(phase) = notification else {
                            continue;
                        };
                        if let Some(readiness) = self.hear(workspace, generation, &phase) {
                            return self.settle(workspace, generation, readiness);
                        }
                    }
                }
                // Not there yet: the usual case while a container boots.
                Err(ConnectError::Unreachable { .. }) => {}
                Err(error) if !warned => {
                    warned = true;
                    tracing::warn!(workspace.id = %workspace, %error, "the bridge of {workspace} cannot be used, dialling again: {error}");
                }
                Err(_) => {}
            }
            tokio::time::sleep(wait).await;
            wait = wait.mul_f64(1.1).min(REDIAL_LIMIT);
        }
    }

    /// Opens a conversation with the bridge of a generation.
    ///
    /// # Errors
    /// [`ConnectError`], after `limit` at the latest.
    pub(crate) async fn dial(
        &self,
        workspace: WorkspaceId,
        generation: Generation,
        limit: Duration,
    ) -> Result<(RpcClient, Notifications), ConnectError> {
        let shared = &self.0;
        let bridge = Bridge {
            socket: shared
                .directories
                .path(workspace.as_str())
                .join(SOCKET_NAME),
            peer_uid: (shared.peer_uid)(),
            workspace: workspace.to_string(),
            generation: generation.0,
            audience: Audience::Orchestrator,
            key: shared
                .keys
                .connect_key(workspace, generation, Audience::Orchestrator),
        };
        let client = concat!("orchestrator ", env!("CARGO_PKG_VERSION"));
        bridge.rpc(client, shared.clock.now(), limit).await
    }

    /// Notes a phase; returns what it decides, if it does.
    fn hear(
        &self,
        workspace: WorkspaceId,
        generation: Generation,
        phase: &Phase,
    ) -> Option<Readiness> {
        let name = match phase.name {
            BridgePhase::Boot => PhaseName::Boot,
            BridgePhase::Clone => PhaseName::Clone,
            BridgePhase::Editor => PhaseName::Editor,
        };
        let status = match phase.status {
            BridgeStatus::Running => PhaseStatus::Running,
            BridgeStatus::Done => PhaseStatus::Done,
            BridgeStatus::Failed => PhaseStatus::Failed,
        };
        self.0
            .board
            .note(workspace, generation, name, status, phase.detail.as_deref());
        if name == PhaseName::Boot && status == PhaseStatus::Done {
            // Frees the place among the concurrent starts.
            if let Some(waker) = self.0.waker.get() {
                waker(workspace);
            }
        }
        decide(phase)
    }
}

/// Returns what a phase decides about the start, if it does.
fn decide(phase: &Phase) -> Option<Readiness> {
    let (code, subject) = match (phase.name, phase.status) {
        (BridgePhase::Editor, BridgeStatus::Done) => return Some(Readiness::Ready),
        (BridgePhase::Clone, BridgeStatus::Failed) => (
            FailureCode::CloneFailed,
            "The repository could not be cloned",
        ),
        (BridgePhase::Editor, BridgeStatus::Failed) => {
            (FailureCode::EditorFailed, "The editor did not come up")
        }
        (BridgePhase::Boot, BridgeStatus::Failed) => {
            (FailureCode::ContainerDied, "The container could not boot")
        }
        _ => return None,
    };
    let said = phase
        .message
        .as_deref()
        .map(crate::logs::printable)
        .filter(|text| !text.trim().is_empty());
    let message = said.unwrap_or_else(|| format!("{subject}; its log says more."));
    Some(Readiness::Failed(FailureReason::new(code, message)))
}

impl Bridges for Followers {
    fn watch(&self, workspace: WorkspaceId, generation: Generation) -> Readiness {
        let mut followed = self.lock();
        if let Some(known) = followed.get(&workspace) {
            if known.generation == generation {
                return known.readiness.clone();
            }
            known.task.abort();
        }
        let task = tokio::spawn(self.clone().follow(workspace, generation)).abort_handle();
        followed.insert(
            workspace,
            Followed {
                generation,
                readiness: Readiness::Waiting,
                task,
            },
        );
        Readiness::Waiting
    }

    fn forget(&self, workspace: WorkspaceId) {
        if let Some(known) = self.lock().remove(&workspace) {
            known.task.abort();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Followers")
            .field("followed", &self.followed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use kalpana_domain::Timestamp;

    use super::*;

    #[test]
    fn only_the_last_phase_or_a_failure_decides() {
        let at = Timestamp::UNIX_EPOCH;
        let failed = |name, text: &str| decide(&Phase::failed(name, at, "x", text.into()));
        assert_eq!(
            decide(&Phase::done(BridgePhase::Editor, at)),
            Some(Readiness::Ready)
        );
        for name in [BridgePhase::Boot, BridgePhase::Clone] {
            assert_eq!(decide(&Phase::done(name, at)), None);
            assert_eq!(decide(&Phase::running(name, at)), None);
        }
        assert_eq!(
            failed(BridgePhase::Clone, "Repository not found."),
            Some(Readiness::Failed(FailureReason::new(
                FailureCode::CloneFailed,
                "Repository not found."
            )))
        );
        assert_eq!(
            failed(BridgePhase::Editor, " "),
            Some(Readiness::Failed(FailureReason::new(
                FailureCode::EditorFailed,
                "The editor did not come up; its log says more."
            )))
        );
    }
}
