//! What the gateway is told of sessions: which were ended, and which keys sign tickets.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use kalpana_domain::Timestamp;
use kalpana_domain::clock::Clock;
use kalpana_domain::id::{SessionId, TokenId};
use kalpana_domain::user::Credential;
use kalpana_link::feed::{Publisher, State};
use kalpana_protocol::sessions::{RevokedSession, SessionChange, SessionState};
use kalpana_store::{Store, StoreError};
use serde::Serialize;
use tokio::sync::broadcast;

/// How much longer than a workspace session a revocation is remembered: a ticket minted just
/// before may be redeemed just after, and clocks differ a little.
const SLACK: Duration = Duration::from_secs(5 * 60);

/// How long a sign-out waits for the gateways to have heard of it.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(1);

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
/// streams by [`Ending`].
#[derive(Clone)]
pub(crate) struct Sessions {
    publisher: Publisher<Published>,
    endings: broadcast::Sender<Ending>,
    remembered_for: Duration,
    clock: Arc<dyn Clock>,
}

impl Sessions {
    /// Starts publishing the sessions that the store knows as ended, and `ticket_keys`.
    ///
    /// # Errors
    /// The store's, when it does not answer.
    pub(crate) async fn load(
        store: &Store,
        ticket_keys: Vec<String>,
        workspace_session_lifetime: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let remembered_for = workspace_session_lifetime + SLACK;
        let since = clock.now() - remembered_for;
        let ended = store.ended_sessions(since).await?;
        let revoked_sessions = ended
            .into_iter()
            .map(|session| revoked(session.id, session.ended_at, remembered_for))
            .collect();
        let published = Published {
            state: SessionState {
                ticket_keys,
                revoked_sessions,
            },
            remembered_for,
        };
        Ok(Self {
            publisher: Publisher::new(published),
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
        let _ = self.endings.send(Ending::Session(session));
        let seq = self.publisher.publish(SessionChange::Revoked {
            session: revoked(session, self.clock.now(), self.remembered_for),
        });
        let heard = self.publisher.wait_acknowledged(seq, ACKNOWLEDGEMENT).await;
        if !heard.waiting.is_empty() {
            tracing::warn!(
                gateways = heard.waiting.len(),
                "{} gateways did not confirm a sign-out in time; they will hear of it when they \
                 are back",
                heard.waiting.len()
            );
        }
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
        async move {
            while let Ok(ending) = endings.recv().await {
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
        }
    }
}

#[cfg(test)]
mod tests {
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
