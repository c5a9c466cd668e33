//! The session feed: what `web` tells the gateway of people, keys and shared ports.

use serde::{Deserialize, Serialize};

use crate::feed::Line;
use crate::sharing::{SharedPort, SharingState};

/// A line of the session feed.
pub type SessionLine = Line<SessionState, SessionChange>;

/// All that a gateway must know to judge a workspace session.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SessionState {
    /// Public keys that sign tickets, as PASERK `k4.public.…` text; the newest first.
    pub ticket_keys: Vec<String>,
    /// Control sessions that were ended, while workspace sessions made from them could still be
    /// alive.
    pub revoked_sessions: Vec<RevokedSession>,
    /// The ports that are shared.
    #[serde(default)]
    pub sharing: SharingState,
}

/// A control session that was ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedSession {
    /// Its id.
    pub session: String,
    /// Until when it must be remembered, in seconds since the epoch.
    pub remember_until: i64,
}

/// A change to the session state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SessionChange {
    /// A session was ended: refuse it, and close what it has open.
    Revoked {
        /// Which.
        session: RevokedSession,
    },
    /// The keys that sign tickets are now these.
    TicketKeys {
        /// The keys, the newest first.
        ticket_keys: Vec<String>,
    },
    /// A port is shared from now on, or in another way: close what the rule does not let in.
    Shared {
        /// Which, and with whom.
        port: SharedPort,
    },
    /// A port is not shared any more: close what visitors have open there.
    Unshared {
        /// The workspace's id.
        workspace: String,
        /// The port.
        port: u16,
    },
}
