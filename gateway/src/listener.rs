//! The TLS listener: our own accept loop, with the deadlines that Pingora's does not have.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use pingora_core::apps::{HttpServerApp, ServerApp};
use pingora_core::listeners::tls::Acceptor;
use pingora_core::protocols::l4::socket::SocketAddr as PingoraAddress;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::{GetSocketDigest, SocketDigest};
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::client::TrustedProxies;
use crate::connection::{self, Connection};
use crate::error::Error;
use crate::metrics::{Metrics, Open};
use crate::proxy_protocol;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Pause after the system refused to accept: it is out of descriptors, most likely.
const BREATH: Duration = Duration::from_millis(100);

/// Binds a TCP listener. Must be called inside a Tokio runtime.
///
/// # Errors
/// [`Error`], which names the address and `setting`.
pub fn bind(address: SocketAddr, setting: &'static str) -> Result<TcpListener, Error> {
    let bound = || -> io::Result<TcpListener> {
        let socket = Socket::new(
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

/// Makes the TLS side of the listener: aws-lc-rs, TLS 1.2 and 1.3, HTTP/2 before HTTP/1, and
/// resumption by tickets alone, which costs no memory per session.
///
/// # Errors
/// [`Error::Tls`] when the provider refuses.
pub fn server_config(resolver: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(Error::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(Error::Tls)?;
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
struct Service<A> {
    acceptor: Acceptor,
    app: Arc<A>,
    deadlines: Deadlines,
    entrance: Entrance,
    metrics: Metrics,
}

/// Accepts TLS connections and serves them with `app` until `shutdown`, then lets what is open end
/// within the drain deadline.
pub async fn serve<A>(
    listener: TcpListener,
    config: ServerConfig,
    app: Arc<A>,
    deadlines: Deadlines,
    entrance: Entrance,
    metrics: Metrics,
    shutdown: CancellationToken,
) where
    A: HttpServerApp + Send + Sync + 'static,
{
    let service = Arc::new(Service {
        acceptor: Acceptor::from_server_config(Arc::new(config)),
        app,
        deadlines,
        entrance,
        metrics,
    });
    let (stopping, stop) = watch::channel(false);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
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
    // HTTP/2 connections are told to go away, HTTP/1 ones end with their present request.
    stopping.send_replace(true);
    service.app.http_cleanup().await;
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(deadlines.drain, all_ended)
        .await
        .is_err()
    {
        let left = connections.len();
        tracing::info!(left, "closing {left} connections that are still open");
    }
    connections.shutdown().await;
}

impl<A: HttpServerApp + Send + Sync + 'static> Service<A> {
    async fn serve_one(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
        stop: &watch::Receiver<bool>,
    ) {
        // One deadline for all that comes before the first request.
        let deadline = Instant::now() + self.deadlines.handshake;
        let client = if self.entrance.announcing.contains(peer.ip()) {
            match timeout_at(deadline, proxy_protocol::read(&mut stream)).await {
                Ok(Ok(announced)) => announced.unwrap_or(peer),
                Ok(Err(error)) => {
                    self.metrics.handshake_failed("proxy_protocol");
                    tracing::warn!(%peer, %error, "hung up on {peer}: {error}");
                    return;
                }
                Err(_) => {
                    self.metrics.handshake_failed("timeout");
                    return;
                }
            }
        } else {
            peer
        };
        let _admitted = if self.entrance.trusted.contains(client.ip()) {
            None
        } else {
            match self.entrance.admission.admit(client.ip()) {
                Some(admitted) => Some(admitted),
                None => {
                    self.metrics.denied("connections");
                    tracing::debug!(%client, "hung up on {client}, which has too many connections");
                    return;
                }
            }
        };
        let stream = with_digest(stream, client);
        let handshake = timeout_at(deadline, self.acceptor.tls_handshake(stream));
        let stream = match handshake.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                // Scanners and browsers that do not trust us yet: worth a number, not a line.
                self.metrics.handshake_failed("error");
                tracing::debug!(%error, "a TLS handshake failed: {error}");
                return;
            }
            Err(_) => {
                self.metrics.handshake_failed("timeout");
                return;
            }
        };
        let (first_byte, head) = (self.deadlines.first_byte, self.deadlines.head);
        let (connection, stage) = Connection::new(stream, first_byte, head);
        let serve = self.app.process_new(Box::new(connection), stop);
        connection::with_stage(stage, serve).await;
    }
}

/// Makes a connection into what Pingora reads from, and tells it whose it is.
fn with_digest(stream: TcpStream, client: SocketAddr) -> Stream {
    let number = stream.as_raw_fd();
    let local = stream.local_addr();
    let mut stream: Stream = stream.into();
    let _ = stream.set_nodelay();
    let digest = SocketDigest::from_raw_fd(number);
    // Told rather than asked for later, when the client may be gone.
    let _ = digest.peer_addr.set(Some(PingoraAddress::Inet(client)));
    if let Ok(local) = local {
        let _ = digest.local_addr.set(Some(PingoraAddress::Inet(local)));
    }
    stream.set_socket_digest(digest);
    stream
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
