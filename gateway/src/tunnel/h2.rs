//! One stream of an HTTP/2 connection as a stream of bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::SendStream;
use pingora_core::protocols::http::v2::server::HttpSession;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a client sends as its request's body, and is sent as the answer's.
pub(super) struct H2Stream {
    session: HttpSession,
    sender: SendStream<Bytes>,
    /// Received, and not yet taken.
    received: Bytes,
    is_shut: bool,
}

impl H2Stream {
    /// Takes over a request whose answer's head was sent; `None` when it was not.
    pub(super) fn new(mut session: HttpSession) -> Option<Self> {
        let sender = session.take_response_body_writer()?;
        Some(Self {
            session,
            sender,
            received: Bytes::new(),
            is_shut: false,
        })
    }
}

impl Drop for H2Stream {
    fn drop(&mut self) {
        if !self.is_shut {
            // An end in the middle must not look like an end.
            self.sender.send_reset(h2::Reason::CANCEL);
        }
    }
}

impl AsyncRead for H2Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.received.is_empty() {
            match ready!(self.session.poll_read_body_bytes(context)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(bytes)) => self.received = bytes,
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            }
        }
        let length = self.received.len().min(buffer.remaining());
        buffer.put_slice(&self.received[..length]);
        self.received.advance(length);
        if self.received.is_empty() {
            self.received = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for H2Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.sender.reserve_capacity(bytes.len());
        loop {
            match ready!(self.sender.poll_capacity(context)) {
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                Some(Ok(0)) => {}
                Some(Ok(capacity)) => {
                    let length = capacity.min(bytes.len());
                    let piece = Bytes::copy_from_slice(&bytes[..length]);
                    self.sender
                        .send_data(piece, false)
                        .map_err(io::Error::other)?;
                    return Poll::Ready(Ok(length));
                }
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            self.is_shut = true;
            self.sender
                .send_data(Bytes::new(), true)
                .map_err(io::Error::other)?;
        }
        Poll::Ready(Ok(()))
    }
}
