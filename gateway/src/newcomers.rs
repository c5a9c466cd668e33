//! Hosts whose certificate is ordered when somebody first comes to them, where no wildcard serves
//! all.
//!
//! Only for hosts of workspaces that there are: to order for whatever a stranger names would spend
//! the authority's patience on nothing.

use std::fmt;
use std::sync::Arc;

use kalpana_certs::Certs;
use kalpana_domain::id::WorkspaceId;
use rustls::ServerConfig;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use crate::connection::Stream;
use crate::host::{Host, Hosts, Ports};
use crate::routes::Routes;
use crate::socket::Socket;

/// Most certificates of one workspace: its editor's and those of its ports. Whoever owns one could
/// spend everybody's otherwise.
const PER_WORKSPACE: usize = 10;

/// Who has a certificate ordered by coming.
pub struct Newcomers {
    certs: Arc<Certs>,
    hosts: Hosts,
    routes: Arc<Routes>,
}

impl Newcomers {
    /// Orders from `certs` for hosts that `routes` know.
    pub fn new(certs: Arc<Certs>, hosts: Hosts, routes: Arc<Routes>) -> Self {
        Self {
            certs,
            hosts,
            routes,
        }
    }

    /// Returns the certificates.
    pub fn certs(&self) -> &Certs {
        &self.certs
    }

    /// Tells whether `host` is of a workspace that there is. While it is not known which there are,
    /// any workspace is taken to be.
    pub fn exists(&self, host: &str) -> bool {
        let workspace = self.named(host);
        workspace.is_some_and(|id| !self.routes.is_known() || self.routes.find(id).is_some())
    }

    fn workspace(&self, host: &str) -> Option<WorkspaceId> {
        self.named(host)
            .filter(|id| self.routes.find(*id).is_some())
    }

    /// Returns the workspace that `host` is of, were there one.
    fn named(&self, host: &str) -> Option<WorkspaceId> {
        match self.hosts.parse(host.as_bytes(), Ports::Any) {
            Host::Workspace(address) => Some(address.workspace),
            _ => None,
        }
    }

    /// Shakes hands; before, waits for the certificate of a host that has none yet.
    ///
    /// # Errors
    /// The handshake's.
    pub async fn accept(
        &self,
        socket: Socket,
        config: Arc<ServerConfig>,
    ) -> std::io::Result<Stream> {
        let started = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), socket).await?;
        let hello = started.client_hello();
        let is_authority = hello.alpn().is_some_and(|mut offered| {
            offered.any(|protocol| protocol == kalpana_certs::answers::ACME_TLS)
        });
        let host = hello.server_name().map(str::to_ascii_lowercase);
        if let Some(host) = host.as_deref()
            && is_authority
        {
            // Another gateway may be the one that orders.
            self.certs.answers().find_tls(host).await;
        }
        if let Some(host) = host
            && !is_authority
            && self.certs.lacks(&host)
            && let Some(workspace) = self.workspace(&host)
            && self.has_room(&host, workspace)
        {
            self.certs.want(&host).await;
        }
        started.into_stream(config).await
    }

    /// Tells whether a workspace may have one more.
    fn has_room(&self, host: &str, workspace: WorkspaceId) -> bool {
        let of_same = |other: &str| self.workspace(other) == Some(workspace);
        self.certs.knows(host) || self.certs.count_single_hosts(&of_same) < PER_WORKSPACE
    }
}

impl fmt::Debug for Newcomers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Newcomers").finish_non_exhaustive()
    }
}

/// Shakes hands, by way of `newcomers` where hosts have certificates of their own.
///
/// # Errors
/// The handshake's.
pub async fn accept(
    newcomers: Option<&Newcomers>,
    acceptor: &TlsAcceptor,
    socket: Socket,
) -> std::io::Result<Stream> {
    match newcomers {
        None => acceptor.accept(socket).await,
        Some(newcomers) => {
            let config = Arc::clone(acceptor.config());
            Box::pin(newcomers.accept(socket, config)).await
        }
    }
}
