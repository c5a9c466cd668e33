//! The TLS listener: our own accept loop, with the deadlines that Pingora's does not have.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use kalpana_certs::answers::ACME_TLS;
use pingora_core::apps::{HttpServerApp, ServerApp};
use pingora_proxy::HttpProxy;
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use socket2::{Domain, Protocol, Socket as RawSocket, TcpKeepalive, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::admission::{Admission, Admitted};
use crate::client::TrustedProxies;
use crate::connection::{self, Connection, Facts, Stream};
use crate::error::Error;
use crate::front::Front;
use crate::head::{self, First};
use crate::metrics::{Metrics, Open};
use crate::newcomers::{self, Newcomers};
use crate::proxy::Proxy;
use crate::proxy_protocol;
use crate::socket::Socket;
use crate::ticketer::Ticketer;
use crate::tunnel::Tunnels;
use crate::tunnel::control::Cut;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Pause after the system refused to accept: it is out of descriptors, most likely.
const BREATH: Duration = Duration::from_millis(100);

/// How long clients may take to hear that the gateway ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// When the system asks a quiet peer whether it is there, and how often until it gives up.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(15);
const PROBES: u32 = 4;

/// Binds a TCP listener. Must be called inside a Tokio runtime.
///
/// # Errors
/// [`Error`], which names the address and `setting`.
pub fn bind(address: SocketAddr, setting: &'static str) -> Result<TcpListener, Error> {
    let bound = || -> io::Result<TcpListener> {
        let socket = RawSocket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // So that a restart is not kept waiting by connections of the one before.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // `[::]` is both families, whatever the system's default is.
            socket.set_only_v6(false)?;
        }
        // Inherited by what is accepted: a peer that vanished without a word is found out.
        let probes = TcpKeepalive::new()
            .with_time(PROBE_AFTER)
            .with_interval(PROBE_EVERY)
            .with_retries(PROBES);
        socket.set_tcp_keepalive(&probes)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    bound().map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => Error::PortTaken { address, setting },
        io::ErrorKind::PermissionDenied => Error::PortForbidden { address, setting },
        _ => Error::Bind {
            address,
            setting,
            source,
        },
    })
}

/// Returns the one of `inherited` that listens on `address`, or binds it.
///
/// # Errors
/// As [`bind`].
pub fn inherit_or_bind(
    inherited: &mut Vec<StdListener>,
    address: SocketAddr,
    setting: &'static str,
) -> Result<TcpListener, Error> {
    let position = inherited
        .iter()
        .position(|listener| listener.local_addr().is_ok_and(|local| local == address));
    let Some(position) = position else {
        return bind(address, setting);
    };
    let listener = inherited.swap_remove(position);
    let adopted = listener
        .set_nonblocking(true)
        .and_then(|()| TcpListener::from_std(listener));
    adopted.map_err(|source| Error::Bind {
        address,
        setting,
        source,
    })
}

/// Makes the TLS side of the listener: aws-lc-rs, TLS 1.2 and 1.3, HTTP/2 before HTTP/1, and
/// resumption by tickets alone, which costs no memory per session.
///
/// # Errors
/// [`Error::Tls`] when the provider refuses.
pub fn server_config(
    resolver: Arc<dyn ResolvesServerCert>,
    ticketer: Arc<Ticketer>,
) -> Result<ServerConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(Error::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    // The last is for authorities that look whether a name is ours; others are refused with it.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), ACME_TLS.to_vec()];
    config.ticketer = ticketer;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// Deadlines of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Longest TLS handshake.
    pub handshake: Duration,
    /// Longest wait for the first byte after it.
    pub first_byte: Duration,
    /// Longest time from a request's first byte to the end of its head.
    pub head: Duration,
    /// How long open connections may go on after shutdown.
    pub drain: Duration,
    /// How long they may after another process has taken over.
    pub upgrade_drain: Duration,
}

/// When a listener ends.
#[derive(Debug, Clone)]
pub struct Ending {
    /// The process is to end.
    pub shutdown: CancellationToken,
    /// Another process has taken over.
    pub left: CancellationToken,
}

impl Ending {
    /// Waits until no more is to be accepted.
    pub async fn begun(&self) {
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            () = self.left.cancelled() => {}
        }
    }
}

/// Who gets in, and how it is told who that is.
#[derive(Debug, Clone)]
pub struct Entrance {
    /// Caps by visitor.
    pub admission: Arc<Admission>,
    /// Proxies that carry many visitors, for whom the caps do not hold.
    pub trusted: TrustedProxies,
    /// Load balancers that say whose connection they pass on.
    pub announcing: TrustedProxies,
}

/// What every connection is served with.
pub struct Service {
    /// The TLS side.
    pub acceptor: TlsAcceptor,
    /// Serves requests.
    pub proxy: Arc<HttpProxy<Proxy>>,
    /// Serves WebSockets.
    pub tunnels: Arc<Tunnels>,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// Who gets in.
    pub entrance: Entrance,
    /// Largest head of a request. Unit: bytes.
    pub head_limit: usize,
    /// Waits for certificates, where hosts have their own.
    pub newcomers: Option<Newcomers>,
    /// Counts.
    pub metrics: Metrics,
}

impl fmt::Debug for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Service").finish_non_exhaustive()
    }
}

/// Accepts TLS connections and serves them until `shutdown`, then lets what is open end within the
/// drain deadline. It does not wait when nothing is open.
pub async fn serve(listener: TcpListener, service: Arc<Service>, ending: Ending) {
    let (stopping, stop) = watch::channel(false);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = ending.begun() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::error!(%error, "could not accept a connection: {error}");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let (service, stop) = (Arc::clone(&service), stop.clone());
        connections.spawn(async move {
            let _open = Open::count(&service.metrics.connections);
            service.serve_one(stream, client, &stop).await;
        });
    }
    drop(listener);
    drain(&service, stopping, connections, &ending).await;
}

async fn drain(
    service: &Service,
    stopping: watch::Sender<bool>,
    mut connections: JoinSet<()>,
    ending: &Ending,
) {
    // From now on each answer is its connection's last.
    stopping.send_replace(true);
    let Deadlines {
        drain,
        upgrade_drain,
        ..
    } = service.deadlines;
    // Whoever has taken over serves newcomers, so there is time: a connection that waits for its
    // next request gets an answer to that still, because to close it might meet the request on its
    // way.
    let mut has_ended = tokio::select! {
        biased;
        () = ending.shutdown.cancelled() => false,
        has_ended = all_ended(&mut connections, upgrade_drain) => has_ended,
    };
    // Wakes the connections that wait for their next request.
    service.proxy.http_cleanup().await;
    if !has_ended && ending.shutdown.is_cancelled() {
        has_ended = all_ended(&mut connections, drain).await;
    }
    if has_ended {
        return;
    }
    service.tunnels.judge.live.cut_tunnels(Cut::GoingAway);
    if !all_ended(&mut connections, FAREWELL).await {
        let left = connections.len();
        tracing::info!(left, "closing {left} connections that are still open");
    }
    connections.shutdown().await;
}

/// Waits until every connection has ended; `false` when that takes longer than `limit`.
async fn all_ended(connections: &mut JoinSet<()>, limit: Duration) -> bool {
    let ended = async { while connections.join_next().await.is_some() {} };
    tokio::time::timeout(limit, ended).await.is_ok()
}

impl Service {
    /// Serves one connection. What is needed for a while only is in futures of its own, so that
    /// the memory of a connection that stays open does not hold it.
    async fn serve_one(&self, stream: TcpStream, peer: SocketAddr, stop: &watch::Receiver<bool>) {
        let Some((stream, facts, _admitted)) = Box::pin(self.enter(stream, peer)).await else {
            return;
        };
        let mut stream = Box::new(stream);
        let Some(first) = Box::pin(self.first(&mut stream, &facts)).await else {
            return;
        };
        match first {
            First::WebSocket { head, read } if self.tunnels.judge.is_for_workspace(&head) => {
                let serve = self.tunnels.serve_http1(stream, head, read.len(), facts);
                Box::pin(serve).await;
            }
            First::WebSocket { read, .. } | First::Other(read) => {
                let head_limit = self.deadlines.head;
                let connection = Connection::new(stream, read, Arc::clone(&facts), head_limit);
                let (proxy, tunnels) = (Arc::clone(&self.proxy), Arc::clone(&self.tunnels));
                let front = Arc::new(Front::new(proxy, tunnels, Arc::clone(&facts)));
                let serve = front.process_new(Box::new(connection), stop);
                connection::with_facts(facts, serve).await;
            }
        }
    }

    /// Lets a connection in and shakes hands, within one deadline for all that comes before the
    /// first request.
    async fn enter(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
    ) -> Option<(Stream, Arc<Facts>, Option<Admitted>)> {
        let deadline = Instant::now() + self.deadlines.handshake;
        let client = if self.entrance.announcing.contains(peer.ip()) {
            match timeout_at(deadline, proxy_protocol::read(&mut stream)).await {
                Ok(Ok(announced)) => announced.unwrap_or(peer),
                Ok(Err(error)) => {
                    self.metrics.handshake_failed("proxy_protocol");
                    tracing::warn!(%peer, %error, "hung up on {peer}: {error}");
                    return None;
                }
                Err(_) => {
                    self.metrics.handshake_failed("timeout");
                    return None;
                }
            }
        } else {
            peer
        };
        let admitted = if self.entrance.trusted.contains(client.ip()) {
            None
        } else {
            let admitted = self.entrance.admission.admit(client.ip());
            if admitted.is_none() {
                self.metrics.denied("connections");
                tracing::debug!(%client, "hung up on {client}, which has too many connections");
                return None;
            }
            admitted
        };
        let _ = stream.set_nodelay(true);
        let (newcomers, socket) = (self.newcomers.as_ref(), Socket::new(stream));
        let handshake = newcomers::accept(newcomers, &self.acceptor, socket);
        match timeout_at(deadline, handshake).await {
            // The certificate was all that an authority wanted to see.
            Ok(Ok(mut stream)) if stream.get_ref().1.alpn_protocol() == Some(ACME_TLS) => {
                let _ = timeout_at(deadline, stream.shutdown()).await;
                None
            }
            Ok(Ok(stream)) => {
                let facts = Arc::new(Facts::new(client, stream.get_ref().1));
                self.metrics.shaken(facts.tls);
                Some((stream, facts, admitted))
            }
            Ok(Err(error)) => {
                // Scanners and browsers that do not trust us yet: worth a number, not a line.
                self.metrics.handshake_failed("error");
                tracing::debug!(%error, "a TLS handshake failed: {error}");
                None
            }
            Err(_) => {
                self.metrics.handshake_failed("timeout");
                None
            }
        }
    }

    /// Reads what a connection begins with: the first request's head, where it is HTTP/1.
    async fn first(&self, stream: &mut Stream, facts: &Facts) -> Option<First> {
        let started = Instant::now();
        let mut first_byte = [0];
        let (silence, whole) = (self.deadlines.first_byte, self.deadlines.head);
        let length = timeout_at(started + silence, stream.read(&mut first_byte)).await;
        if !matches!(length, Ok(Ok(1))) {
            if length.is_err() {
                self.metrics.denied("silent");
            }
            return None;
        }
        let first = async {
            if facts.tls.is_h2 {
                head::read_preface(stream, first_byte[0]).await
            } else {
                head::read(stream, first_byte[0], self.head_limit).await
            }
        };
        match timeout_at(Instant::now() + whole, first).await {
            Ok(first) => first.ok(),
            Err(_) => {
                self.metrics.denied("slow_head");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named_with_the_way_to_find_its_owner() {
        let first = bind("127.0.0.1:0".parse().unwrap(), "gateway.listen").unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(address, "gateway.listen").unwrap_err().to_string();
        let port = address.port();
        for part in [
            format!("port {port} is taken"),
            format!("ss -ltnp 'sport = :{port}'"),
            "gateway.listen".to_owned(),
        ] {
            assert!(error.contains(&part), "{error}");
        }
    }
}
