//! Why the gateway could not start. Each says what to do next.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use kalpana_auth::KeyFileError;

use crate::handover::HandoverError;

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process listens there.
    #[error(
        "port {} is taken: another process listens on {address}; stop it, which `ss -ltnp 'sport = :{}'` names, or set {setting} to another address",
        address.port(),
        address.port()
    )]
    PortTaken {
        /// The address.
        address: SocketAddr,
        /// The setting that names it.
        setting: &'static str,
    },
    /// Ports below 1024 need a privilege.
    #[error(
        "not allowed to listen on {address}; run as root, grant CAP_NET_BIND_SERVICE, or set {setting} to a port from 1024"
    )]
    PortForbidden {
        /// The address.
        address: SocketAddr,
        /// The setting that names it.
        setting: &'static str,
    },
    /// The system refused for another reason.
    #[error("cannot listen on {address}; check {setting}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The setting that names it.
        setting: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A directory could not be made.
    #[error("cannot make the directory {path}; check the owner and the mode of its parent")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The key of workspace sessions cannot be used.
    #[error("cannot use the key of workspace sessions")]
    SessionKey(#[source] KeyFileError),
    /// No other process could be taken over.
    #[error("cannot take over from the gateway that runs")]
    Handover(#[from] HandoverError),
    /// The routes and ended sessions did not come in time to take over.
    #[error(
        "the routes and ended sessions were not heard within {seconds} s, so the gateway that runs was left in place; check that the orchestrator and web answer"
    )]
    NotReady {
        /// How long was waited.
        seconds: u64,
    },
    /// There is no certificate.
    #[error(transparent)]
    Certificate(#[from] kalpana_certs::Error),
    /// TLS could not be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// The metrics exist already.
    #[error("cannot register the gateway's metrics")]
    Metrics(#[source] prometheus::Error),
}
