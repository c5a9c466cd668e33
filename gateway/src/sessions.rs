//! What `web` says of people and keys: who signs tickets, which sessions have ended, and which ports
//! are shared with whom.
//!
//! Until the first snapshot was heard nothing may be judged. After that the last word stays in
//! force while `web` is away: an ended session stays ended, and those that have not are good for as
//! long as the [`Lease`] lasts. After that who comes by a session waits, because nobody could say
//! that it has ended, and what is open by one is closed; what is public stays.

pub mod lease;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use dashmap::DashSet;
use kalpana_auth::ticket::TicketVerifier;
use kalpana_domain::clock::Clock;
use kalpana_domain::id::SessionId;
use kalpana_link::feed::Follow;
use kalpana_protocol::sessions::{RevokedSession, SessionChange, SessionState};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::lease::Lease;
use crate::live::{Key, Live};
use crate::metrics::Metrics;
use crate::sharing::{Sharing, Visit};
use crate::tunnel::control::Cut;

/// How often it is looked whether something has expired, while something is open: what is open ends
/// within a second of the end of what let it in.
const LOOK: Duration = Duration::from_millis(500);

/// The sessions that have ended, and the keys of tickets.
#[derive(Debug)]
pub struct Sessions {
    revoked: DashSet<SessionId>,
    verifier: ArcSwapOption<TicketVerifier>,
    lease: Lease,
    is_heard: AtomicBool,
    heard: watch::Sender<bool>,
    sharing: Sharing,
    live: Arc<Live>,
    metrics: Metrics,
}

impl Sessions {
    /// Knows nothing yet; cuts in `live` what a session that ends has open. Sessions are good for
    /// `lease` while `web` is away.
    pub fn new(live: Arc<Live>, metrics: Metrics, clock: Arc<dyn Clock>, lease: Duration) -> Self {
        Self {
            revoked: DashSet::new(),
            verifier: ArcSwapOption::empty(),
            lease: Lease::new(lease),
            is_heard: AtomicBool::new(false),
            heard: watch::Sender::new(false),
            sharing: Sharing::new(Arc::clone(&live), clock),
            live,
            metrics,
        }
    }

    /// Tells whether a session has ended.
    pub fn is_revoked(&self, session: SessionId) -> bool {
        self.revoked.contains(&session)
    }

    /// Tells whether it is too long ago that `web` could have said that a session has ended.
    pub fn is_stale(&self) -> bool {
        self.lease.is_over()
    }

    /// Ends what is open when what let it in is over, until `until`.
    pub async fn watch(&self, until: &CancellationToken) {
        let mut was_stale = false;
        while tokio::time::timeout(LOOK, until.cancelled()).await.is_err() {
            self.sharing.cut_expired();
            let is_stale = self.is_stale();
            if is_stale {
                let by_session = |visit: &Visit| visit.right.is_some();
                let cut = self.live.cut_visits(by_session, Cut::Unsure);
                if !was_stale {
                    tracing::error!(
                        connections = cut,
                        "web has been away for longer than gateway.revocation_lease: workspaces \
                         are closed to sessions until it is back; cut {cut} open connections"
                    );
                }
            } else if was_stale {
                tracing::info!("web is back: workspaces are open to sessions again");
            }
            was_stale = is_stale;
        }
    }

    /// Returns what verifies tickets; `None` while no key is known.
    pub fn verifier(&self) -> Option<Arc<TicketVerifier>> {
        self.verifier.load_full()
    }

    /// Returns which ports are shared.
    pub fn sharing(&self) -> &Sharing {
        &self.sharing
    }

    /// Tells whether a first snapshot was heard.
    pub fn is_heard(&self) -> bool {
        self.is_heard.load(Ordering::Acquire)
    }

    /// Returns a watch that becomes true with the first snapshot.
    pub fn heard(&self) -> watch::Receiver<bool> {
        self.heard.subscribe()
    }

    /// Enters the end of a session first and cuts afterwards: a request that is just being let in
    /// either sees the entry or is seen by the cut.
    fn revoke(&self, ended: &RevokedSession) -> Option<SessionId> {
        let Ok(session) = SessionId::parse(&ended.session) else {
            tracing::error!("web revoked a session whose id cannot be read");
            return None;
        };
        if self.revoked.insert(session) {
            let cut = self.live.cut(Key::Session(session), Cut::SessionEnded);
            tracing::info!(
                connections = cut,
                "a session ended; cut {cut} open connections"
            );
        }
        Some(session)
    }

    fn keys(&self, keys: &[String]) {
        match TicketVerifier::new(keys) {
            Ok(verifier) => self.verifier.store(Some(Arc::new(verifier))),
            Err(error) => {
                tracing::error!("web published ticket keys that cannot be read: {error}");
                self.verifier.store(None);
            }
        }
    }
}

impl Follow for Sessions {
    type State = SessionState;
    type Change = SessionChange;

    fn snapshot(&self, state: SessionState) {
        self.keys(&state.ticket_keys);
        let ended = state.revoked_sessions.iter();
        let ended: HashSet<SessionId> = ended.filter_map(|ended| self.revoke(ended)).collect();
        // What is no longer listed is past the life of any session that came from it.
        self.revoked.retain(|session| ended.contains(session));
        self.sharing.snapshot(&state.sharing);
        self.is_heard.store(true, Ordering::Release);
        self.heard.send_replace(true);
    }

    fn change(&self, change: SessionChange) {
        match change {
            SessionChange::Revoked { session } => {
                self.revoke(&session);
            }
            SessionChange::TicketKeys { ticket_keys } => self.keys(&ticket_keys),
            SessionChange::Shared { port } => self.sharing.share(&port),
            SessionChange::Unshared { workspace, port } => self.sharing.unshare(&workspace, port),
        }
    }

    fn connected(&self, is_connected: bool) {
        self.lease.set(is_connected);
        self.metrics.feed("sessions", is_connected);
    }
}
