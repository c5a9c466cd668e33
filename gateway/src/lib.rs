//! Every outside request: TLS, routing, authorisation, proxying.
//!
//! The story of a request. [`listener`] accepts the connection, reads from load balancers that are
//! trusted whose it is ([`proxy_protocol`]), lets it in if [`admission`] does, shakes hands with the
//! certificate that `kalpana-certs` serves over a lean [`socket`], and reads the first request's
//! [`head`]. A WebSocket to a workspace becomes a [`tunnel`]; everything else goes to Pingora by way
//! of [`front`], wrapped as a [`connection`] that keeps the time. For each request there [`proxy`]
//! goes through Pingora's phases. What is to be done with either is decided by [`judge`]: [`host`]
//! says whether the control plane or a workspace is meant; [`authenticate`] reads the workspace host's own session;
//! [`authorize`] makes a [`authorize::Permit`] of it, or says why not, in which case [`respond`]
//! answers and [`callback`] begins or ends a sign-in. With a permit [`upstream`] dials the
//! workspace's bridge, [`headers`] takes away what is not for others to see, and bytes flow both
//! ways until either side ends, or until the session does and [`live`] cuts it. [`access_log`] and
//! [`metrics`] remember it.
//!
//! The editor's own files are the same in all workspaces of an image: [`assets`] keeps them and gives
//! them to who has a permit, without asking the workspace.
//!
//! Judging does no I/O: [`routes`], [`sessions`] and [`sharing`] are tables in memory, which two feeds keep
//! fresh and which stay in force while their publishers are away. Until each was heard once,
//! workspaces are not served.
//!
//! Where hosts have certificates of their own, [`newcomers`] waits for that of a host that has none
//! yet. [`control`] is where `web` and operators ask about certificates, and [`reporter`] tells the audit log
//! what happened to them. What several gateways of a
//! site share of them lies on the [`shelf`] that `web` keeps, closed with [`seal`].
//!
//! [`handover`] passes the listening sockets, and the keys of [`ticketer`], to the process that
//! takes over in an upgrade. [`plain`] redirects http to https. [`server`] puts it all together.

#![warn(missing_debug_implementations)]

pub mod access_log;
pub mod admission;
pub mod assets;
pub mod authenticate;
pub mod authorize;
pub mod callback;
pub mod client;
pub mod connection;
pub mod control;
pub mod error;
pub mod framing;
pub mod front;
pub mod handover;
pub mod head;
pub mod headers;
pub mod host;
pub mod judge;
pub mod limit;
pub mod listener;
pub mod live;
pub mod metrics;
pub mod monotonic;
pub mod newcomers;
pub mod plain;
pub mod presence;
pub mod proxy;
pub mod proxy_protocol;
pub mod rate;
pub mod reporter;
pub mod request;
pub mod respond;
pub mod routes;
pub mod seal;
pub mod server;
pub mod sessions;
pub mod sharing;
pub mod shelf;
pub mod socket;
#[cfg(test)]
mod testing;
pub mod ticketer;
pub mod tunnel;
pub mod upstream;
pub mod waker;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use kalpana_config::Site;
use kalpana_domain::clock::Clock;
use kalpana_link::InternalToken;
use prometheus::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use error::Error;
pub use server::run;

/// What the gateway is given.
pub struct Dependencies {
    /// URLs and directories.
    pub site: Site,
    /// Its own section of the configuration.
    pub config: kalpana_config::Gateway,
    /// Where certificates come from.
    pub certs: kalpana_config::Certs,
    /// Whether certificates are shared with other gateways of the site.
    pub shares_certificates: bool,
    /// How it speaks with the other processes.
    pub peers: GatewayPeers,
    /// Where metrics are registered.
    pub registry: Registry,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Listening sockets that were opened for us; those of the configured addresses are used.
    pub inherited: Vec<std::net::TcpListener>,
    /// Whether to take over from the gateway that runs, without refusing anybody.
    pub takes_over: bool,
    /// Cancelled when another process has taken over from this one.
    pub left: CancellationToken,
    /// Becomes true when workspaces can be served.
    pub ready: watch::Sender<bool>,
    /// Becomes the addresses listened on, which a port of 0 leaves to the system.
    pub bound: watch::Sender<Option<Bound>>,
}

impl fmt::Debug for Dependencies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Dependencies")
            .finish_non_exhaustive()
    }
}

/// How the gateway speaks with the other processes.
#[derive(Debug, Clone, Default)]
pub struct GatewayPeers {
    /// The token that calls must carry where all roles run as one user.
    pub token: Option<InternalToken>,
    /// Who may ask at the control socket, beside our own user: `web`'s, and root.
    pub control_uids: Vec<u32>,
}

/// The addresses listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// TLS.
    pub tls: SocketAddr,
    /// Plain HTTP, where it is on.
    pub plain: Option<SocketAddr>,
}
