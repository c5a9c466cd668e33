//! How ports are shared: changed by their owners, told to the gateways, and who may pass to one.
//!
//! Every change is a reading, a pure change of `kalpana_domain::sharing`, and a write that only
//! succeeds when nobody wrote in between. What gateways are told is read again from the store, one
//! reader at a time, so that what they heard last is the latest.

mod asking;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use kalpana_domain::Timestamp;
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::id::{Generation, WorkspaceId};
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::sharing::{Moment, PortShare, SharingLevel};
use kalpana_domain::workspace::Workspace;
use kalpana_protocol::sessions::SessionChange;
use kalpana_protocol::sharing::{SharedLink, SharedPort, SharingState};
use kalpana_store::{Store, StoreError, StoreEvent};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use self::asking::Asking;
use crate::error::{ApiError, ApiResult};
use crate::sessions::Sessions;
use crate::state::AppState;

/// How often a change is tried again when somebody else wrote in between.
const TRIES: usize = 8;

/// How long to wait before asking the store again for what may have been missed.
const RETRY: Duration = Duration::from_secs(1);

type Key = (WorkspaceId, u16);

/// What gateways know of shared ports, and what limits sharing.
pub(crate) struct Sharing {
    maximum: SharingLevel,
    told: Mutex<BTreeMap<Key, SharedPort>>,
    sessions: Sessions,
    /// How often people ask to be let in.
    pub(crate) asking: Asking,
}

/// Returns everything that gateways must know at first.
///
/// # Errors
/// The store's.
pub(crate) async fn first_state(
    store: &Store,
    maximum: SharingLevel,
) -> Result<SharingState, StoreError> {
    let ports = store.all_port_shares().await?;
    Ok(SharingState {
        maximum: Some(maximum.as_str().to_owned()),
        ports: ports.iter().filter_map(shared).collect(),
    })
}

impl Sharing {
    /// Begins where gateways were told `state`.
    pub(crate) fn new(maximum: SharingLevel, state: &SharingState, sessions: Sessions) -> Self {
        let told = state.ports.iter().filter_map(|port| {
            let workspace = WorkspaceId::parse(&port.workspace).ok()?;
            Some(((workspace, port.port), port.clone()))
        });
        Self {
            maximum,
            told: Mutex::new(told.collect()),
            sessions,
            asking: Asking::default(),
        }
    }

    /// Returns the widest level that this site allows.
    pub(crate) fn maximum(&self) -> SharingLevel {
        self.maximum
    }

    /// Refuses a level that this site does not allow.
    pub(crate) fn demand(&self, level: SharingLevel) -> ApiResult<()> {
        if level <= self.maximum {
            return Ok(());
        }
        let message = if self.maximum == SharingLevel::Owner {
            "This site does not allow ports to be shared.".to_owned()
        } else {
            format!(
                "This site allows ports to be shared up to the level {}.",
                self.maximum.as_str()
            )
        };
        Err(
            ApiError::new(http::StatusCode::FORBIDDEN, "sharing_not_allowed", message)
                .hint("Whoever runs this site sets it with web.sharing_maximum."),
        )
    }

    /// Returns what rules of a workspace's ports are judged by now.
    pub(crate) fn moment(&self, now: Timestamp, workspace: &Workspace) -> Moment {
        Moment {
            now,
            generation: workspace.generation,
            maximum: self.maximum,
        }
    }

    /// Tells gateways how a port is shared now, and waits a moment for them to have heard.
    pub(crate) async fn tell(&self, store: &Store, key: Key) -> Result<(), StoreError> {
        let mut told = self.told.lock().await;
        let found = store.port_share(key.0, key.1).await?;
        let seq = self.tell_one(&mut told, key, found.as_ref().and_then(shared));
        drop(told);
        if let Some(seq) = seq {
            self.sessions.wait_heard(seq, "a change of sharing").await;
        }
        Ok(())
    }

    /// Tells gateways of what other processes change, until `shutdown`.
    pub(crate) async fn hear(&self, store: Store, shutdown: CancellationToken) {
        let mut events = store.events();
        let heard = async {
            while let Some(event) = events.next().await {
                if matches!(event, StoreEvent::SharingChanged | StoreEvent::Missed) {
                    self.catch_up(&store).await;
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = heard => {}
        }
    }

    /// Tells of all that is otherwise than was told, however long the store takes to answer.
    async fn catch_up(&self, store: &Store) {
        let mut is_away = false;
        loop {
            let mut told = self.told.lock().await;
            match store.all_port_shares().await {
                Ok(shares) => {
                    let mut now: BTreeMap<Key, SharedPort> = shares
                        .iter()
                        .filter_map(|share| Some(((share.workspace, share.port), shared(share)?)))
                        .collect();
                    let known: Vec<Key> = told.keys().copied().collect();
                    for key in known {
                        let port = now.remove(&key);
                        self.tell_one(&mut told, key, port);
                    }
                    for (key, port) in now {
                        self.tell_one(&mut told, key, Some(port));
                    }
                    return;
                }
                Err(error) if !std::mem::replace(&mut is_away, true) => tracing::warn!(
                    %error,
                    "could not read how ports are shared, trying again: {error}"
                ),
                Err(_) => {}
            }
            drop(told);
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Publishes a port, unless that is what was told last. Returns its place in the feed.
    fn tell_one(
        &self,
        told: &mut BTreeMap<Key, SharedPort>,
        key: Key,
        port: Option<SharedPort>,
    ) -> Option<u64> {
        if told.get(&key) == port.as_ref() {
            return None;
        }
        let change = match port {
            Some(port) => {
                told.insert(key, port.clone());
                SessionChange::Shared { port }
            }
            None => {
                told.remove(&key);
                SessionChange::Unshared {
                    workspace: key.0.to_string(),
                    port: key.1,
                }
            }
        };
        Some(self.sessions.publish(change))
    }
}

/// Returns what gateways must know of a port; nothing of one that only its owner may visit.
fn shared(share: &PortShare) -> Option<SharedPort> {
    let rule = &share.rule;
    let links = share.links.iter().map(|link| SharedLink {
        id: link.id.to_string(),
        path: link.path.to_string(),
        expires_at: link.expires_at.as_millisecond(),
    });
    (rule.level > SharingLevel::Owner).then(|| SharedPort {
        workspace: share.workspace.to_string(),
        port: share.port,
        level: rule.level.as_str().to_owned(),
        members: rule.members.iter().map(ToString::to_string).collect(),
        expires_at: rule.expires_at.map(Timestamp::as_millisecond),
        generation: rule.generation.map(|generation| generation.0),
        links: links.collect(),
    })
}

/// Returns the incarnation that sharing until the next start is for: the one that runs or is being
/// started, else the next, so that a port may be shared before its workspace runs.
pub(crate) fn generation_of(workspace: &Workspace) -> Generation {
    match workspace.lifecycle {
        Lifecycle::Starting { .. } | Lifecycle::Running { .. } | Lifecycle::Paused { .. } => {
            workspace.generation
        }
        _ => workspace.generation.next(),
    }
}

/// Returns what an owner's changes are judged by: the start that they are meant for, whatever the
/// site allows.
pub(crate) fn owners_moment(state: &AppState, workspace: &Workspace) -> Moment {
    Moment {
        now: state.clock.now(),
        generation: generation_of(workspace),
        maximum: SharingLevel::Public,
    }
}

/// Changes what is remembered of a port and tells gateways. `change` may be asked several times; it
/// returns the entry of the audit log, or `None` when there is nothing to write, and an answer.
///
/// # Errors
/// What `change` refuses with; the store's.
pub(crate) async fn change<T>(
    state: &AppState,
    key: Key,
    mut change: impl FnMut(&mut PortShare) -> ApiResult<(Option<AuditEvent>, T)>,
) -> ApiResult<T> {
    for _ in 0..TRIES {
        let known = state.store.port_share(key.0, key.1).await?;
        let mut share = known.unwrap_or_else(|| PortShare::blank(key.0, key.1));
        let (event, answer) = change(&mut share)?;
        let Some(event) = event else {
            return Ok(answer);
        };
        match state.store.put_port_share(&share, event).await {
            Ok(_) => {
                state.sharing.tell(&state.store, key).await?;
                return Ok(answer);
            }
            Err(StoreError::Conflict { what: "version" }) => {}
            Err(StoreError::NotFound { what: "workspace" }) => {
                return Err(ApiError::workspace_not_found());
            }
            Err(StoreError::Conflict { what: "ports" }) => {
                return Err(ApiError::new(
                    http::StatusCode::CONFLICT,
                    "too_many_ports",
                    format!(
                        "A workspace can share {} ports at most.",
                        PortShare::PORT_LIMIT
                    ),
                )
                .hint("Stop sharing one that is not needed any more."));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(ApiError::new(
        http::StatusCode::CONFLICT,
        "changed_meanwhile",
        "Somebody else is changing how this port is shared.",
    )
    .hint("Look at it again, then try again."))
}

#[cfg(test)]
mod tests {
    use kalpana_domain::id::{LinkId, UserId};
    use kalpana_domain::sharing::{LinkPath, Rule, ShareLink};

    use super::*;

    #[test]
    fn gateways_are_told_of_what_is_shared_and_of_no_secret() {
        let workspace = WorkspaceId::parse("abcdefghij01").unwrap();
        let user = UserId::from_bytes([1; 16]);
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut share = PortShare::blank(workspace, 3000);
        share.ask(user, at(1));
        assert_eq!(shared(&share), None);
        share.rule = Rule {
            level: SharingLevel::Link,
            members: vec![user],
            expires_at: Some(at(2)),
            generation: Some(Generation(3)),
        };
        share.links.push(ShareLink {
            id: LinkId::from_bytes([2; 16]),
            secret_hash: [9; 32],
            path: LinkPath::whole(),
            is_one_use: true,
            created_at: at(1),
            expires_at: at(4),
            used_at: Some(at(2)),
        });
        let told = shared(&share).unwrap();
        assert_eq!(
            serde_json::to_value(&told).unwrap(),
            serde_json::json!({
                "workspace": "abcdefghij01", "port": 3000, "level": "link",
                "members": [user.to_string()], "expires_at": 2000, "generation": 3,
                "links": [{
                    "id": LinkId::from_bytes([2; 16]).to_string(), "path": "/", "expires_at": 4000,
                }],
            })
        );
    }
}
