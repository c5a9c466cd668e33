//! What one request has learnt so far.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::HeaderValue;
use kalpana_bridge_client::ConnectError;
use kalpana_domain::address::{Surface, WorkspaceAddress};
use uuid::Uuid;

use crate::authorize::Permit;
use crate::connection::{self, Facts};
use crate::host::SCHEME;
use crate::limit::BodyWatch;
use crate::live::Entry;
use crate::metrics::Open;
use crate::upstream::connections::Handle;

/// What a request addresses, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Not yet known, or nothing of ours.
    Unknown,
    /// The control plane.
    App,
    /// A surface of a workspace.
    Workspace(WorkspaceAddress),
}

impl Kind {
    /// Returns the kind's name, for metrics and the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::App => "app",
            Self::Workspace(address) => match address.surface {
                Surface::Editor => "editor",
                Surface::Port(_) => "port",
            },
        }
    }
}

/// Where the upstream connector leaves why it could not connect.
pub type DialFailure = Arc<Mutex<Option<ConnectError>>>;

/// One request's notes, from its head to its line in the log.
#[derive(Debug)]
pub struct RequestContext {
    /// Names the request in every process. Always our own.
    pub id: String,
    /// When its head was complete.
    pub started: Instant,
    /// What is known of the connection it came over.
    pub facts: Option<Arc<Facts>>,
    /// Who sent it.
    pub client: Option<IpAddr>,
    /// What it addresses.
    pub kind: Kind,
    /// The origin that it addresses, as browsers write it; empty while that is not known.
    pub origin: String,
    /// The proof that it may reach a workspace.
    pub permit: Option<Permit>,
    /// The page of the same workspace that it comes from, if it is for a port.
    pub sibling: Option<HeaderValue>,
    /// Why the workspace could not be reached.
    pub dial_failure: DialFailure,
    /// The connection to the workspace that it was passed on over.
    pub upstream: Option<Arc<Handle>>,
    /// Its entry among what is open.
    pub live: Option<Entry>,
    /// Counts it among the open WebSockets.
    pub websocket: Option<Open>,
    /// When it was passed on.
    pub forwarded: Option<Instant>,
    /// How long the upstream took to the head of its answer.
    pub upstream_took: Option<Duration>,
    /// Counts its body.
    pub body: Option<BodyWatch>,
    /// Whether it was answered from memory, `hit` or `miss`, where it might have been.
    pub cache: Option<&'static str>,
    /// Why it was refused.
    pub denied: Option<&'static str>,
    /// The status it was answered with, where Pingora did not write the answer.
    pub status: Option<u16>,
}

impl RequestContext {
    /// Starts the notes of a request.
    pub fn new() -> Self {
        Self {
            id: Uuid::now_v7().to_string(),
            started: Instant::now(),
            facts: connection::facts(),
            client: None,
            kind: Kind::Unknown,
            origin: String::new(),
            permit: None,
            sibling: None,
            dial_failure: DialFailure::default(),
            upstream: None,
            live: None,
            websocket: None,
            forwarded: None,
            upstream_took: None,
            body: None,
            cache: None,
            denied: None,
            status: None,
        }
    }

    /// Returns the host that it addresses as browsers write it, with its port.
    pub fn host(&self) -> &str {
        self.origin.strip_prefix(SCHEME).unwrap_or_default()
    }

    /// Tells whether it was left without an answer for too long.
    pub fn was_given_up(&self) -> bool {
        let upstream = self.upstream.as_ref();
        upstream.is_some_and(|handle| handle.was_given_up())
    }

    /// Tells whether it was let in as its workspace's owner's.
    pub fn is_owners(&self) -> bool {
        let permit = self.permit.as_ref();
        permit.is_some_and(|permit| permit.visit().is_owners())
    }
}

impl RequestContext {
    /// Tells whether it was let in to a port, and by a session.
    pub fn is_private_port(&self) -> bool {
        self.permit.as_ref().is_some_and(|permit| {
            let visit = permit.visit();
            matches!(visit.address.surface, Surface::Port(_)) && visit.right.is_some()
        })
    }
}

impl Default for RequestContext {
    fn default() -> Self {
        Self::new()
    }
}
