//! A connection from outside, as Pingora sees it: with deadlines on requests that never come.
//!
//! Pingora bounds each read, not a whole request head: a client that sends one line every few
//! seconds would hold a connection for as long as it likes. So the stream that Pingora reads from
//! keeps the time itself, until the proxy says that a head is complete.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::protocols::tls::{SslDigest, TlsRef};
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, IO, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

tokio::task_local! {
    /// The stage of the connection that the running task serves. Only HTTP/1 requests are served
    /// by their connection's own task, and only they need it.
    static STAGE: Arc<Stage>;
}

/// What is expected from the client next.
#[derive(Debug, Default)]
pub struct Stage(AtomicU8);

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
    let _ = STAGE.try_with(|stage| stage.set(OPEN));
}

/// Says that the running task has answered its request, so that the next may come.
///
/// How long it may take to begin is the keep-alive timeout's business.
pub fn request_has_ended() {
    let _ = STAGE.try_with(|stage| stage.set(SILENT));
}

/// Serves a connection with its stage in reach.
pub async fn with_stage<F: Future>(stage: Arc<Stage>, serve: F) -> F::Output {
    STAGE.scope(stage, serve).await
}

/// A stream that fails reads when a request is overdue.
pub struct Connection<S> {
    stream: S,
    stage: Arc<Stage>,
    /// Longest time from the first byte of a request to the end of its head.
    head_limit: Duration,
    deadline: Pin<Box<Sleep>>,
    /// The stage that the deadline was set for.
    timed: u8,
    /// Whether the first byte of all is still to come.
    is_new: bool,
}

impl<S: IO> Connection<S> {
    /// Wraps `stream`, whose first byte must come within `first_byte`, and each request's head
    /// within `head_limit` of its own first byte.
    pub fn new(stream: S, first_byte: Duration, head_limit: Duration) -> (Self, Arc<Stage>) {
        let stage = Arc::new(Stage::default());
        let connection = Self {
            stream,
            stage: Arc::clone(&stage),
            head_limit,
            deadline: Box::pin(tokio::time::sleep(first_byte)),
            timed: SILENT,
            is_new: true,
        };
        (connection, stage)
    }

    /// Tells whether the client is overdue, and arranges to be woken when it will be.
    fn poll_overdue(&mut self, context: &mut Context<'_>) -> bool {
        let stage = self.stage.get();
        if stage != self.timed {
            self.timed = stage;
            if stage == HEAD {
                self.deadline
                    .as_mut()
                    .reset(Instant::now() + self.head_limit);
            }
        }
        let is_timed = stage == HEAD || (stage == SILENT && self.is_new);
        is_timed && self.deadline.as_mut().poll(context).is_ready()
    }

    fn heard(&mut self) {
        self.is_new = false;
        if self.stage.get() == SILENT {
            // HTTP/2 bounds its heads by itself, and has many at once.
            let is_h2 = matches!(self.stream.selected_alpn_proto(), Some(ALPN::H2));
            self.stage.set(if is_h2 { OPEN } else { HEAD });
        }
    }
}

impl<S> fmt::Debug for Connection<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connection")
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

impl<S: IO> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
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

impl<S: IO> AsyncWrite for Connection<S> {
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
impl<S: IO> Shutdown for Connection<S> {
    async fn shutdown(&mut self) {
        self.stream.shutdown().await;
    }
}

impl<S: IO> UniqueID for Connection<S> {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl<S: IO> Ssl for Connection<S> {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.stream.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl<S: IO> GetTimingDigest for Connection<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }
}

impl<S: IO> GetProxyDigest for Connection<S> {
    fn get_proxy_digest(&self) -> Option<Arc<pingora_core::protocols::raw_connect::ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl<S: IO> GetSocketDigest for Connection<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

impl<S: IO> Peek for Connection<S> {}
