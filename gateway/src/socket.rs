//! The socket below TLS: it reads and writes in large pieces, and holds no memory between them.
//!
//! rustls asks for four kilobytes at a time and writes each record by itself. Reading what there
//! is into a buffer of the thread, and writing when told to flush, saves most of the system calls;
//! giving the buffers back when they are empty is what lets thousands of idle connections be kept.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Most that is read at once. Unit: bytes; four TLS records.
const READ_SIZE: usize = 64 * 1024;

/// How much is collected before it is written without being told to. Unit: bytes.
const WRITE_SIZE: usize = 32 * 1024;

thread_local! {
    /// Where every socket of a thread reads to, one after the other.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_SIZE].into_boxed_slice());
}

/// A TCP connection with buffers that come and go.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    /// Read, and not yet taken.
    incoming: Vec<u8>,
    taken: usize,
    /// Given, and not yet written.
    outgoing: Vec<u8>,
    written: usize,
}

impl Socket {
    /// Wraps a connection.
    pub fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            incoming: Vec::new(),
            taken: 0,
            outgoing: Vec::new(),
            written: 0,
        }
    }

    /// Returns the address that the client connected to.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Hands over what was read before, as far as it fits.
    fn take(&mut self, buffer: &mut ReadBuf<'_>) {
        let rest = &self.incoming[self.taken..];
        let length = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..length]);
        self.taken += length;
        if self.taken == self.incoming.len() {
            self.incoming = Vec::new();
            self.taken = 0;
        }
    }

    /// Writes what was collected, all of it.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.outgoing.len() {
            let rest = &self.outgoing[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        self.outgoing = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.incoming.is_empty() {
            this.take(buffer);
            return Poll::Ready(Ok(()));
        }
        if buffer.remaining() >= READ_SIZE {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut read))?;
            let (now, later) = read
                .filled()
                .split_at(read.filled().len().min(buffer.remaining()));
            buffer.put_slice(now);
            if !later.is_empty() {
                this.incoming = later.to_vec();
            }
            Poll::Ready(Ok(()))
        })
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        if this.outgoing.len() + length > WRITE_SIZE {
            ready!(this.poll_drain(context))?;
            if length > WRITE_SIZE {
                return Pin::new(&mut this.stream).poll_write_vectored(context, slices);
            }
        }
        for slice in slices {
            this.outgoing.extend_from_slice(slice);
        }
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (far, _) = listener.accept().await.unwrap();
        (Socket::new(near.unwrap()), far)
    }

    #[tokio::test]
    async fn what_does_not_fit_is_kept_and_given_back() {
        let (mut socket, mut far) = pair().await;
        let sent: Vec<u8> = (0..50_000_u32).map(|number| number as u8).collect();
        far.write_all(&sent).await.unwrap();
        drop(far);
        let mut received = Vec::new();
        let mut piece = [0; 999];
        loop {
            match socket.read(&mut piece).await.unwrap() {
                0 => break,
                length => received.extend_from_slice(&piece[..length]),
            }
        }
        assert!(received == sent);
        assert_eq!(socket.incoming.capacity(), 0, "given back");
    }

    #[tokio::test]
    async fn small_writes_go_out_together_when_flushed() {
        let (mut socket, mut far) = pair().await;
        for _ in 0..3 {
            socket.write_all(b"piece").await.unwrap();
        }
        assert_eq!(socket.outgoing.len(), 15, "not yet written");
        socket.flush().await.unwrap();
        assert_eq!(socket.outgoing.capacity(), 0, "given back");
        let mut received = [0; 15];
        far.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"piecepiecepiece");
    }

    #[tokio::test]
    async fn a_large_write_does_not_overtake_a_small_one() {
        let (mut socket, mut far) = pair().await;
        let reader = tokio::spawn(async move {
            let mut received = Vec::new();
            far.read_to_end(&mut received).await.unwrap();
            received
        });
        socket.write_all(b"first").await.unwrap();
        let large: Vec<u8> = (0..1_000_000_u32)
            .map(|number| (number >> 4) as u8)
            .collect();
        socket.write_all(&large).await.unwrap();
        socket.shutdown().await.unwrap();
        let received = reader.await.unwrap();
        assert!(received[..5] == *b"first" && received[5..] == large[..]);
    }
}
