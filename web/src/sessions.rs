//! What the gateway is told of sessions: which were ended, and which keys sign tickets. How ports are
//! shared is told on the same feed, see `sharing`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use futures_util::StreamExt;
use kalpana_domain::Timestamp;
use kalpana_domain::clock::Clock;
use kalpana_domain::id::{SessionId, TokenId};
use kalpana_domain::user::Credential;
use kalpana_link::feed::{Publisher, State};
use kalpana_protocol::sessions::{RevokedSession, SessionChange, SessionState};
use kalpana_protocol::sharing::SharingState;
use kalpana_store::{Store, StoreError, StoreEvent};
use serde::Serialize;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// How much longer than a workspace session a revocation is remembered: a ticket minted just
/// before may be redeemed just after, and clocks differ a little.
const SLACK: Duration = Duration::from_secs(5 * 60);

/// How long a sign-out waits for the gateways to have heard of it.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(1);

/// How long to wait before asking the store again for what may have been missed.
const RETRY: Duration = Duration::from_secs(1);

/// Endings kept for streams that are slow to look. Who misses one is ended as well.
const ENDINGS: usize = 256;

/// A credential that is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// A session was ended.
    Session(SessionId),
    /// A token was revoked.
    Token(TokenId),
}

/// Tells those who must know that a credential has ended: gateways by the session feed, our own
/// streams by [`Ending`]. What ends here is told at once; what ends at another process, as soon as
/// the store tells of it.
#[derive(Clone)]
pub(crate) struct Sessions {
    publisher: Publisher<Published>,
    told: Arc<Told>,
    endings: broadcast::Sender<Ending>,
    remembered_for: Duration,
    clock: Arc<dyn Clock>,
}

impl Sessions {
    /// Starts publishing the sessions that the store knows as ended, `ticket_keys` and `sharing`.
    ///
    /// # Errors
    /// The store's, when it does not answer.
    pub(crate) async fn load(
        store: &Store,
        ticket_keys: Vec<String>,
        sharing: SharingState,
        workspace_session_lifetime: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let remembered_for = workspace_session_lifetime + SLACK;
        let now = clock.now();
        let ended = store.ended_sessions(now - remembered_for).await?;
        let told = Told::default();
        for session in &ended {
            told.once(session.id, session.ended_at + remembered_for, now, || 0);
        }
        let revoked_sessions = ended
            .into_iter()
            .map(|session| revoked(session.id, session.ended_at, remembered_for))
            .collect();
        let published = Published {
            state: SessionState {
                ticket_keys,
                revoked_sessions,
                sharing,
            },
            remembered_for,
        };
        Ok(Self {
            publisher: Publisher::new(published),
            told: Arc::new(told),
            endings: broadcast::channel(ENDINGS).0,
            remembered_for,
            clock,
        })
    }

    /// Returns the routes that gateways follow the feed by.
    pub(crate) fn router(&self) -> Router {
        self.publisher.router()
    }

    /// Tells everybody that a session has ended, and waits a moment for every connected gateway to
    /// have applied it.
    pub(crate) async fn revoke(&self, session: SessionId) {
        self.revoke_all(&[session]).await;
    }

    /// Tells everybody that sessions have ended, as [`Self::revoke`] does of one.
    pub(crate) async fn revoke_all(&self, sessions: &[SessionId]) {
        let now = self.clock.now();
        // Unless the store was faster to tell of it than its answer was to arrive.
        let places = sessions.iter().map(|session| self.tell(*session, now));
        if let Some(last) = places.max() {
            self.wait_heard(last, "a sign-out").await;
        }
    }

    /// Tells gateways of something. Returns its place in the feed.
    pub(crate) fn publish(&self, change: SessionChange) -> u64 {
        self.publisher.publish(change)
    }

    /// Waits a moment for every connected gateway to have applied `what`, which is at `seq`.
    pub(crate) async fn wait_heard(&self, seq: u64, what: &'static str) {
        let heard = self.publisher.wait_acknowledged(seq, ACKNOWLEDGEMENT).await;
        if !heard.waiting.is_empty() {
            tracing::warn!(
                gateways = heard.waiting.len(),
                "{} gateways did not confirm {what} in time; they will hear of it when they are back",
                heard.waiting.len()
            );
        }
    }

    /// Tells everybody of what the store tells, until `shutdown`: sessions that were ended by other
    /// processes, and by our own commands.
    pub(crate) async fn hear(&self, store: Store, shutdown: CancellationToken) {
        let mut events = store.events();
        let heard = async {
            while let Some(event) = events.next().await {
                match event {
                    StoreEvent::SessionEnded(ended) => {
                        self.tell(ended.id, ended.ended_at);
                    }
                    StoreEvent::Missed => self.catch_up(&store).await,
                    // Of no concern to sessions.
                    _ => {}
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = heard => {}
        }
    }

    /// Tells of all that has ended and was not told of, however long the store takes to answer.
    async fn catch_up(&self, store: &Store) {
        let mut is_away = false;
        loop {
            let since = self.clock.now() - self.remembered_for;
            match store.ended_sessions(since).await {
                Ok(ended) => {
                    for session in ended {
                        self.tell(session.id, session.ended_at);
                    }
                    return;
                }
                Err(error) if !std::mem::replace(&mut is_away, true) => tracing::warn!(
                    %error,
                    "could not read which sessions have ended, trying again: {error}"
                ),
                Err(_) => {}
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Tells streams and gateways, unless they were told before or need not know any more. Returns
    /// the change's place in the feed.
    fn tell(&self, session: SessionId, ended_at: Timestamp) -> u64 {
        let until = ended_at + self.remembered_for;
        self.told.once(session, until, self.clock.now(), || {
            let _ = self.endings.send(Ending::Session(session));
            self.publisher.publish(SessionChange::Revoked {
                session: revoked(session, ended_at, self.remembered_for),
            })
        })
    }

    /// Ends the streams that a token holds open.
    pub(crate) fn revoke_token(&self, token: TokenId) {
        let _ = self.endings.send(Ending::Token(token));
    }

    /// Returns a future that is ready when `credential` ends.
    pub(crate) fn end_of(
        &self,
        credential: &Credential,
    ) -> impl Future<Output = ()> + Send + 'static {
        let awaited = match credential {
            Credential::Session(id) => Ending::Session(*id),
            Credential::Token { id, .. } => Ending::Token(*id),
        };
        let mut endings = self.endings.subscribe();
        // It may have ended between the look that let it in and now.
        let has_ended = matches!(awaited, Ending::Session(id) if self.told.contains(id));
        async move {
            while !has_ended && let Ok(ending) = endings.recv().await {
                if ending == awaited {
                    break;
                }
            }
        }
    }
}

fn revoked(session: SessionId, ended_at: Timestamp, remembered_for: Duration) -> RevokedSession {
    RevokedSession {
        session: session.to_string(),
        remember_until: (ended_at + remembered_for).as_second(),
    }
}

/// Which sessions were told of, each until nothing can be under it any more, and at which place in
/// the feed.
#[derive(Debug, Default)]
struct Told(Mutex<HashMap<SessionId, (Timestamp, u64)>>);

impl Told {
    /// Calls `tell`, which returns its place in the feed, unless `session` was told of before.
    /// Returns the place; 0 for what ended so long ago that nobody needs to know.
    fn once(
        &self,
        session: SessionId,
        until: Timestamp,
        now: Timestamp,
        tell: impl FnOnce() -> u64,
    ) -> u64 {
        let mut told = self.lock();
        told.retain(|_, (until, _)| *until > now);
        if until <= now {
            return 0;
        }
        told.entry(session).or_insert_with(|| (until, tell())).1
    }

    fn contains(&self, session: SessionId) -> bool {
        self.lock().contains_key(&session)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, (Timestamp, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The published state, which forgets revocations that no living workspace session can be under.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
struct Published {
    state: SessionState,
    #[serde(skip)]
    remembered_for: Duration,
}

impl State for Published {
    type Change = SessionChange;

    fn apply(&mut self, change: &SessionChange) {
        match change {
            SessionChange::Revoked { session } => {
                // The newest revocation tells the time: what it has outlived is over.
                let span = i64::try_from(self.remembered_for.as_secs()).unwrap_or(i64::MAX);
                let now = session.remember_until.saturating_sub(span);
                let known = &mut self.state.revoked_sessions;
                known
                    .retain(|other| other.remember_until > now && other.session != session.session);
                known.push(session.clone());
            }
            SessionChange::TicketKeys { ticket_keys } => {
                self.state.ticket_keys.clone_from(ticket_keys);
            }
            SessionChange::Shared { port } => {
                self.forget(&port.workspace, port.port);
                self.state.sharing.ports.push(port.clone());
            }
            SessionChange::Unshared { workspace, port } => self.forget(workspace, *port),
        }
    }
}

impl Published {
    fn forget(&mut self, workspace: &str, port: u16) {
        let ports = &mut self.state.sharing.ports;
        ports.retain(|known| known.port != port || known.workspace != workspace);
    }
}

#[cfg(test)]
mod tests {
    use kalpana_protocol::sharing::SharedPort;

    use super::*;

    fn revocation(session: &str, remember_until: i64) -> SessionChange {
        SessionChange::Revoked {
            session: RevokedSession {
                session: session.to_owned(),
                remember_until,
            },
        }
    }

    #[test]
    fn a_session_is_told_of_once_and_not_when_it_ended_long_ago() {
        let told = Told::default();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let (new, old) = (SessionId::generate(), SessionId::generate());
        assert_eq!(told.once(new, at(200), at(100), || 7), 7);
        assert_eq!(told.once(new, at(200), at(100), || 8), 7, "its place stays");
        assert_eq!(told.once(old, at(100), at(100), || 9), 0);
        assert_eq!(told.once(new, at(200), at(300), || 9), 0, "over by now");
        assert_eq!(told.lock().len(), 0, "what is over is forgotten");
    }

    #[test]
    fn the_published_state_has_each_shared_port_once() {
        let mut published = Published {
            state: SessionState::default(),
            remembered_for: Duration::from_secs(100),
        };
        let port = |workspace: &str, port, level: &str| SessionChange::Shared {
            port: SharedPort {
                workspace: workspace.to_owned(),
                port,
                level: level.to_owned(),
                members: Vec::new(),
                expires_at: None,
                generation: None,
                links: Vec::new(),
            },
        };
        for change in [
            port("a", 1, "public"),
            port("a", 2, "public"),
            port("b", 1, "public"),
            port("a", 1, "members"),
            SessionChange::Unshared {
                workspace: "b".to_owned(),
                port: 1,
            },
        ] {
            published.apply(&change);
        }
        let left: Vec<_> = published
            .state
            .sharing
            .ports
            .iter()
            .map(|port| (port.workspace.as_str(), port.port, port.level.as_str()))
            .collect();
        assert_eq!(left, [("a", 2, "public"), ("a", 1, "members")]);
    }

    #[test]
    fn revocations_are_forgotten_when_nothing_can_be_under_them() {
        let mut published = Published {
            state: SessionState::default(),
            remembered_for: Duration::from_secs(100),
        };
        for (session, until) in [("a", 200), ("b", 250), ("b", 260), ("c", 310)] {
            published.apply(&revocation(session, until));
        }
        let left: Vec<_> = published
            .state
            .revoked_sessions
            .iter()
            .map(|revoked| (revoked.session.as_str(), revoked.remember_until))
            .collect();
        assert_eq!(left, [("b", 260), ("c", 310)]);
        let text = serde_json::to_value(&published).unwrap();
        assert_eq!(
            text["revoked_sessions"].as_array().map(Vec::len),
            Some(2),
            "{text}"
        );
    }
}
