//! Who is there: tells the orchestrator at which workspaces somebody was, so that none of them is put
//! to sleep under their hands.
//!
//! A person is there when they open a page, send something, or type. An open tab is nobody: what it
//! sends by itself, to ask for news or to say that it is alive, is small and counts for nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use http::Method;
use kalpana_domain::id::WorkspaceId;
use kalpana_link::{CallError, Client};
use kalpana_protocol::orchestrator::{AwakeKind, Presence as Told, Present};
use tokio_util::sync::CancellationToken;

use crate::live::Live;

/// How often the orchestrator is told, also when there is nothing: silence means that nobody knows.
const INTERVAL: Duration = Duration::from_secs(5);

/// Bytes of messages that one WebSocket's client sends within an interval when somebody types.
///
/// An editor's tab at rest sends a heartbeat of 13 bytes on each of its two connections, and
/// acknowledgements of the same length. A single key is several hundred bytes, compressed or not.
const INPUT_BYTES: u64 = 96;

/// What was seen of people and not told yet.
#[derive(Debug, Default)]
pub struct Presence {
    seen: DashMap<WorkspaceId, (AwakeKind, Instant)>,
}

impl Presence {
    /// Notes that somebody is at a workspace now.
    pub fn note(&self, workspace: WorkspaceId, kind: AwakeKind) {
        self.seen.insert(workspace, (kind, Instant::now()));
    }

    /// Notes where somebody has typed since the last look, which `before` remembers.
    fn look(&self, live: &Live, before: &mut HashMap<u64, u64>) {
        let mut now = HashMap::with_capacity(before.len());
        for (number, workspace, seen) in live.tunnels() {
            now.insert(number, seen.input);
            // What a WebSocket begins with is said by a page that is loaded, or that has found its
            // workspace again: the first look only takes note.
            if let Some(known) = before.get(&number) {
                let typed = seen.input.saturating_sub(*known);
                tracing::trace!(workspace.id = %workspace, typed, "bytes from a client");
                if typed >= INPUT_BYTES {
                    self.note(workspace, AwakeKind::Typing);
                }
            }
        }
        *before = now;
    }

    /// Tells the orchestrator until `until`. What could not be told is told the next time.
    pub async fn tell(&self, live: &Arc<Live>, client: &Client, until: &CancellationToken) {
        let mut before = HashMap::new();
        let mut was_away = false;
        loop {
            tokio::select! {
                () = until.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            self.look(live, &mut before);
            let told = tokio::select! {
                () = until.cancelled() => return,
                told = self.tell_once(client) => told,
            };
            let is_away = told.is_err();
            if let Err(error) = told
                && !was_away
            {
                tracing::warn!(
                    %error,
                    "the orchestrator does not hear who is there, and puts nobody to sleep: {error}"
                );
            }
            was_away = is_away;
        }
    }

    async fn tell_once(&self, client: &Client) -> Result<(), CallError> {
        let seen: Vec<(WorkspaceId, (AwakeKind, Instant))> = self
            .seen
            .iter()
            .map(|seen| (*seen.key(), *seen.value()))
            .collect();
        let present = seen.iter().map(|(workspace, (kind, at))| Present {
            workspace: workspace.to_string(),
            kind: *kind,
            seconds_ago: at.elapsed().as_secs(),
        });
        let told = Told {
            present: present.collect(),
        };
        client
            .call::<()>(Method::POST, "/v1/presence", None, Some(&told))
            .await?;
        // What was seen meanwhile is still to be told.
        for (workspace, (_, at)) in seen {
            self.seen
                .remove_if(&workspace, |_, (_, known)| *known == at);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use kalpana_domain::address::WorkspaceAddress;
    use kalpana_domain::id::{Generation, SessionId, UserId};
    use kalpana_domain::sharing::Right;

    use super::*;
    use crate::live::Switch;
    use crate::sharing::Visit;
    use crate::tunnel::control::Control;

    #[test]
    fn heartbeats_are_nobody_and_a_key_is_somebody() {
        let live = Arc::new(Live::default());
        let control = Arc::new(Control::default());
        let visit = Visit {
            address: WorkspaceAddress::parse_label("abcdefghij01").unwrap(),
            generation: Generation(1),
            right: Some(Right::Owner(UserId::from_bytes([1; 16]))),
        };
        let switch = Switch::Tunnel(Arc::clone(&control));
        let _entry = live.enter(SessionId::generate(), visit, &switch);
        let (presence, mut before) = (Presence::default(), HashMap::new());
        // An editor says a lot when it is opened.
        control.received(50_000, 50_000);
        presence.look(&live, &mut before);
        for _ in 0..100 {
            control.received(19, 13);
            control.received(19, 13);
            presence.look(&live, &mut before);
        }
        assert!(presence.seen.is_empty());
        control.received(300, 280);
        presence.look(&live, &mut before);
        let kind = presence.seen.get(&visit.address.workspace).unwrap().0;
        assert_eq!(kind, AwakeKind::Typing);
    }
}
