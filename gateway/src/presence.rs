//! Who is there: tells the orchestrator which workspaces are used, so that none of them is put to
//! sleep under somebody's hands.
//!
//! A person is there when they open a page, or type into the editor. What else is sent to a port may
//! be somebody at work, or a page that is merely open and asks again and again: it counts, but not
//! for ever. An open tab of the editor is nobody: what it sends by itself, to say that it is alive,
//! is small and counts for nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use http::Method;
use kalpana_domain::address::Surface;
use kalpana_domain::id::WorkspaceId;
use kalpana_link::{CallError, Client};
use kalpana_protocol::orchestrator::{AwakeKind, PRESENT_LIMIT, Presence as Told, Present};
use tokio_util::sync::CancellationToken;

use crate::live::Live;

/// How often the orchestrator is told, also when there is nothing: silence means that nobody knows.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long what could not be told is kept. Later it keeps nobody awake who is not so anyway.
const KEPT: Duration = Duration::from_secs(600);

/// Longest wait for the orchestrator to hear that this gateway ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Bytes of messages that one WebSocket's client sends within an interval when somebody types.
///
/// An editor's tab at rest sends a heartbeat of 13 bytes on each of its two connections, and
/// acknowledgements of the same length. A single key is several hundred bytes, compressed or not.
const INPUT_BYTES: u64 = 96;

/// What was seen and not told yet.
#[derive(Debug)]
pub struct Presence {
    /// What this gateway is called among those of its site.
    name: String,
    /// When a person was last seen, and when something that may be one.
    seen: DashMap<(WorkspaceId, AwakeKind), Instant>,
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            name: uuid::Uuid::new_v4().to_string(),
            seen: DashMap::new(),
        }
    }
}

impl Presence {
    /// Notes that a workspace is used now.
    pub fn note(&self, workspace: WorkspaceId, kind: AwakeKind) {
        self.seen.insert((workspace, kind), Instant::now());
    }

    /// Notes where messages have come since the last look, which `before` remembers.
    fn look(&self, live: &Live, before: &mut HashMap<u64, u64>) {
        let mut now = HashMap::with_capacity(before.len());
        for tunnel in live.tunnels() {
            let input = tunnel.seen.input;
            now.insert(tunnel.number, input);
            // What a WebSocket begins with is said by a page that is loaded, or that has found its
            // workspace again: the first look only takes note.
            let Some(known) = before.get(&tunnel.number) else {
                continue;
            };
            let came = input.saturating_sub(*known);
            let address = tunnel.visit.address;
            tracing::trace!(workspace.id = %address.workspace, came, "bytes from a client");
            if came < INPUT_BYTES {
                continue;
            }
            let is_person = address.surface == Surface::Editor && tunnel.visit.user().is_some();
            let kind = if is_person {
                AwakeKind::Typing
            } else {
                AwakeKind::Busy
            };
            self.note(address.workspace, kind);
        }
        *before = now;
    }

    /// Tells the orchestrator until `until`. What could not be told is told the next time.
    pub async fn tell(&self, live: &Arc<Live>, client: &Client, until: &CancellationToken) {
        let mut before = HashMap::new();
        let mut was_away = false;
        loop {
            tokio::select! {
                () = until.cancelled() => break,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            self.look(live, &mut before);
            let told = tokio::select! {
                () = until.cancelled() => break,
                told = self.tell_all(client) => told,
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
        self.look(live, &mut before);
        let farewell = async {
            self.tell_all(client).await?;
            let told = Told {
                is_leaving: true,
                ..self.told(Vec::new())
            };
            self.send(client, &told).await
        };
        // Unheard, it is waited for a while, and nobody is put to sleep meanwhile.
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }

    async fn tell_all(&self, client: &Client) -> Result<(), CallError> {
        self.seen.retain(|_, at| at.elapsed() < KEPT);
        let seen: Vec<_> = self
            .seen
            .iter()
            .map(|seen| (*seen.key(), *seen.value()))
            .collect();
        if seen.is_empty() {
            return self.send(client, &self.told(Vec::new())).await;
        }
        let mut parts = seen.chunks(PRESENT_LIMIT).peekable();
        while let Some(part) = parts.next() {
            let present = part.iter().map(|((workspace, kind), at)| Present {
                workspace: workspace.to_string(),
                kind: *kind,
                seconds_ago: at.elapsed().as_secs(),
            });
            let told = Told {
                has_more: parts.peek().is_some(),
                ..self.told(present.collect())
            };
            self.send(client, &told).await?;
            // What was seen meanwhile is still to be told.
            for (key, at) in part {
                self.seen.remove_if(key, |_, known| known == at);
            }
        }
        Ok(())
    }

    fn told(&self, present: Vec<Present>) -> Told {
        Told {
            gateway: self.name.clone(),
            present,
            ..Told::default()
        }
    }

    async fn send(&self, client: &Client, told: &Told) -> Result<(), CallError> {
        client
            .call::<()>(Method::POST, "/v1/presence", None, Some(told))
            .await
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

    fn visit(label: &str, is_signed_in: bool) -> Visit {
        let right = Right::Owner(UserId::from_bytes([1; 16]));
        Visit {
            address: WorkspaceAddress::parse_label(label).unwrap(),
            generation: Generation(1),
            right: is_signed_in.then_some(right),
        }
    }

    fn kinds(presence: &Presence) -> Vec<AwakeKind> {
        presence.seen.iter().map(|seen| seen.key().1).collect()
    }

    #[test]
    fn heartbeats_are_nobody_and_a_key_is_somebody() {
        let live = Arc::new(Live::default());
        let control = Arc::new(Control::default());
        let switch = Switch::Tunnel(Arc::clone(&control));
        let visit = visit("abcdefghij01", true);
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
        assert_eq!(kinds(&presence), []);
        control.received(300, 280);
        presence.look(&live, &mut before);
        assert_eq!(kinds(&presence), [AwakeKind::Typing]);
    }

    #[test]
    fn what_a_port_is_sent_may_be_a_page_that_is_merely_open() {
        for (label, is_signed_in) in [("3000-abcdefghij01", true), ("abcdefghij01", false)] {
            let live = Arc::new(Live::default());
            let control = Arc::new(Control::default());
            let switch = Switch::Tunnel(Arc::clone(&control));
            let visit = visit(label, is_signed_in);
            let _entry = live.enter(SessionId::generate(), visit, &switch);
            let (presence, mut before) = (Presence::default(), HashMap::new());
            presence.look(&live, &mut before);
            control.received(300, 280);
            presence.look(&live, &mut before);
            assert_eq!(kinds(&presence), [AwakeKind::Busy]);
        }
    }
}
