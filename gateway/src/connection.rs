//! A connection from outside, as Pingora sees it: with deadlines on requests that never come.
//!
//! Pingora bounds each read, not a whole request head: a client that sends one line every few
//! seconds would hold a connection for as long as it likes. So the stream that Pingora reads from
//! keeps the time itself, until the proxy says that a head is complete.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora_core::protocols::l4::socket::SocketAddr as PingoraAddress;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_rustls::server::TlsStream;

use crate::socket::Socket;

/// A TLS connection from outside.
pub type Stream = TlsStream<Socket>;

tokio::task_local! {
    /// What is known of the connection whose request the running task serves.
    static FACTS: Arc<Facts>;
}

/// What is known of a connection from outside.
#[derive(Debug)]
pub struct Facts {
    /// Whose it is.
    pub client: SocketAddr,
    /// Its TLS.
    pub tls: Tls,
    /// The name that its TLS was asked for.
    pub server_name: Option<Box<str>>,
    stage: Stage,
}

/// What is known of a connection's TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tls {
    /// Its version.
    pub version: &'static str,
    /// Whether it went on from an earlier connection's.
    pub is_resumed: bool,
    /// Whether it carries HTTP/2.
    pub is_h2: bool,
}

impl Facts {
    /// Takes down what a completed handshake says.
    pub fn new(client: SocketAddr, tls: &ServerConnection) -> Self {
        let version = match tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "unknown",
        };
        Self {
            client,
            tls: Tls {
                version,
                is_resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
                is_h2: tls.alpn_protocol() == Some(b"h2"),
            },
            server_name: tls.server_name().map(Box::from),
            stage: Stage::default(),
        }
    }
}

/// Returns what is known of the connection whose request the running task serves.
pub fn facts() -> Option<Arc<Facts>> {
    FACTS.try_with(Arc::clone).ok()
}

/// Serves a request with its connection's facts in reach.
pub async fn with_facts<F: Future>(facts: Arc<Facts>, serve: F) -> F::Output {
    FACTS.scope(facts, serve).await
}

/// What is expected from an HTTP/1 client next.
#[derive(Debug, Default)]
struct Stage(AtomicU8);

/// The first byte of a request.
const SILENT: u8 = 0;
/// The rest of a request's head.
const HEAD: u8 = 1;
/// Anything, at the proxy's own pace.
const OPEN: u8 = 2;

impl Stage {
    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, stage: u8) {
        self.0.store(stage, Ordering::Relaxed);
    }
}

/// Says that the head of the request that the running task serves is complete.
pub fn head_is_complete() {
    let _ = FACTS.try_with(|facts| facts.stage.set(OPEN));
}

/// Says that the running task has answered its request, so that the next may come.
///
/// How long it may take to begin is the keep-alive timeout's business.
pub fn request_has_ended() {
    let _ = FACTS.try_with(|facts| facts.stage.set(SILENT));
}

/// A stream that fails reads when a request is overdue.
pub struct Connection {
    stream: Box<Stream>,
    /// What was read before Pingora came in.
    read: Bytes,
    facts: Arc<Facts>,
    digest: Arc<SslDigest>,
    socket: Arc<SocketDigest>,
    /// Longest time from the first byte of a request to the end of its head.
    head_limit: Duration,
    deadline: Pin<Box<Sleep>>,
    /// The stage that the deadline was set for.
    timed: u8,
}

impl Connection {
    /// Wraps `stream`, of which `read` was read already. Each request's head must come within
    /// `head_limit` of its own first byte.
    pub fn new(stream: Box<Stream>, read: Bytes, facts: Arc<Facts>, head_limit: Duration) -> Self {
        let (socket, tls) = stream.get_ref();
        let cipher = tls
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str());
        let version = facts.tls.version;
        let digest = SslDigest::new(cipher.unwrap_or_default(), version, None, None, Vec::new());
        let digest_of_socket = SocketDigest::from_raw_fd(socket.as_raw_fd());
        // Told rather than asked for later, when the client may be gone.
        let _ = digest_of_socket
            .peer_addr
            .set(Some(PingoraAddress::Inet(facts.client)));
        if let Ok(local) = socket.local_addr() {
            let _ = digest_of_socket
                .local_addr
                .set(Some(PingoraAddress::Inet(local)));
        }
        Self {
            digest: Arc::new(digest),
            socket: Arc::new(digest_of_socket),
            stream,
            read,
            facts,
            head_limit,
            deadline: Box::pin(tokio::time::sleep(head_limit)),
            timed: SILENT,
        }
    }

    /// Tells whether the client is overdue, and arranges to be woken when it will be.
    fn poll_overdue(&mut self, context: &mut Context<'_>) -> bool {
        let stage = self.facts.stage.get();
        if stage != self.timed {
            self.timed = stage;
            if stage == HEAD {
                self.deadline
                    .as_mut()
                    .reset(Instant::now() + self.head_limit);
            }
        }
        stage == HEAD && self.deadline.as_mut().poll(context).is_ready()
    }

    fn heard(&mut self) {
        let stage = &self.facts.stage;
        if stage.get() == SILENT {
            // HTTP/2 bounds its heads by itself, and has many at once.
            stage.set(if self.facts.tls.is_h2 { OPEN } else { HEAD });
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connection")
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.read.is_empty() {
            let length = self.read.len().min(buffer.remaining());
            buffer.put_slice(&self.read.split_to(length));
            if self.read.is_empty() {
                self.read = Bytes::new();
            }
            self.heard();
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if matches!(read, Poll::Ready(Ok(()))) && buffer.filled().len() > before {
            self.heard();
        }
        if read.is_pending() && self.poll_overdue(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Connection {
    async fn shutdown(&mut self) {
        if let Err(error) = AsyncWriteExt::shutdown(self).await {
            tracing::debug!(%error, "a connection could not be closed: {error}");
        }
    }
}

impl UniqueID for Connection {
    fn id(&self) -> UniqueIDType {
        self.stream.get_ref().0.as_raw_fd()
    }
}

impl Ssl for Connection {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        Some(Arc::clone(&self.digest))
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        Some(if self.facts.tls.is_h2 {
            ALPN::H2
        } else {
            ALPN::H1
        })
    }
}

impl GetTimingDigest for Connection {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        // Read by nothing here.
        Vec::new()
    }
}

impl GetProxyDigest for Connection {
    fn get_proxy_digest(&self) -> Option<Arc<pingora_core::protocols::raw_connect::ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Connection {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.socket))
    }
}

impl Peek for Connection {}
