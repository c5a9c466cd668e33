//! From one gateway process to the next without refusing anybody.
//!
//! The one that serves offers a socket in the run directory. The next connects, and is given the
//! listening sockets themselves and the keys of TLS tickets; connections that arrive meanwhile wait
//! in the sockets' queues. When it has heard all routes and ended sessions it asks to take over.
//! The first then stops accepting, tells which sign-in tickets were used, so that none is used
//! again, and drains. If the next one ends before it has asked, nothing has changed.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener as StdListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kalpana_auth::ticket::UsedTicket;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::ticketer::TicketKey;

/// Longest wait for one step of the other process that needs no waiting.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// How long the next process may take until it asks to take over.
const PREPARE_LIMIT: Duration = Duration::from_secs(120);

/// Longest line. Unit: bytes. The used sign-in tickets are at most 65,536 of some 70 bytes.
const LINE_LIMIT: u64 = 8 << 20;

/// What the next process asks with.
const READY: &str = "ready\n";

/// A hand-over that came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// Nobody offers.
    #[error(
        "no gateway offers to be taken over at {path}; start one with `kalpana up` or `kalpana gateway`"
    )]
    Nobody {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something of another user's offers.
    #[error("what offers to be taken over at {path} runs as user {uid}, which is not ours")]
    Impostor {
        /// The socket.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
    },
    /// The other process did not keep to the protocol, or ended.
    #[error("the gateway that runs did not hand over: {0}")]
    Failed(#[from] io::Error),
}

/// What is handed over first, beside the sockets.
#[derive(Debug, Serialize, Deserialize)]
struct Opening {
    has_plain: bool,
    ticket_keys: Vec<TicketKey>,
}

/// What is handed over last.
#[derive(Debug, Serialize, Deserialize)]
struct Farewell {
    used_tickets: Vec<UsedTicket>,
}

/// The process that serves, as the next one sees it.
#[derive(Debug)]
pub struct Predecessor {
    stream: BufReader<UnixStream>,
}

/// What the next process starts with.
#[derive(Debug)]
pub struct Estate {
    /// The TLS listener.
    pub tls: TcpListener,
    /// The plain listener, where there is one.
    pub plain: Option<TcpListener>,
    /// The keys of TLS tickets.
    pub ticket_keys: Vec<TicketKey>,
}

/// Asks the process that offers at `path` for what it has.
///
/// # Errors
/// [`HandoverError`].
pub async fn take(path: &Path) -> Result<(Estate, Predecessor), HandoverError> {
    let stream = UnixStream::connect(path)
        .await
        .map_err(|source| HandoverError::Nobody {
            path: path.to_owned(),
            source,
        })?;
    let uid = stream.peer_cred()?.uid();
    if uid != rustix::process::geteuid().as_raw() {
        let path = path.to_owned();
        return Err(HandoverError::Impostor { path, uid });
    }
    let sockets = in_time(STEP_LIMIT, receive(&stream)).await?;
    let mut stream = BufReader::new(stream);
    let opening: Opening = in_time(STEP_LIMIT, read_line(&mut stream)).await?;
    let mut sockets = sockets.into_iter().map(adopt);
    let missing = || io::Error::other("a listening socket is missing");
    let tls = sockets.next().ok_or_else(missing)??;
    let plain = if opening.has_plain {
        Some(sockets.next().ok_or_else(missing)??)
    } else {
        None
    };
    let estate = Estate {
        tls,
        plain,
        ticket_keys: opening.ticket_keys,
    };
    Ok((estate, Predecessor { stream }))
}

impl Predecessor {
    /// Takes over: after this the other accepts nothing any more. Returns the sign-in tickets that
    /// were used there.
    ///
    /// # Errors
    /// [`HandoverError::Failed`] when it has ended, or does not answer.
    pub async fn release(mut self) -> Result<Vec<UsedTicket>, HandoverError> {
        self.stream.get_mut().write_all(READY.as_bytes()).await?;
        let farewell: Farewell = in_time(STEP_LIMIT, read_line(&mut self.stream)).await?;
        Ok(farewell.used_tickets)
    }
}

/// The offer of a process that serves.
#[derive(Debug)]
pub struct Offer {
    listener: UnixListener,
    tls: OwnedFd,
    plain: Option<OwnedFd>,
}

impl Offer {
    /// Offers the listeners at `path`, in place of whatever was there.
    ///
    /// # Errors
    /// The system's.
    pub fn new(path: &Path, tls: &TcpListener, plain: Option<&TcpListener>) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let duplicate = |listener: &TcpListener| listener.as_fd().try_clone_to_owned();
        Ok(Self {
            listener,
            tls: duplicate(tls)?,
            plain: plain.map(duplicate).transpose()?,
        })
    }

    /// Waits until another process takes over. `leave` is called when it does: it must stop this
    /// process from accepting, and returns the sign-in tickets that were used here.
    pub async fn wait(
        self,
        ticket_keys: impl Fn() -> Vec<TicketKey>,
        leave: impl FnOnce() -> Vec<UsedTicket>,
    ) {
        let (mut stream, used_tickets) = loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::error!(%error, "cannot be taken over any more: {error}");
                    std::future::pending().await
                }
            };
            match self.serve(stream, &ticket_keys).await {
                Ok(stream) => break (stream, leave()),
                Err(error) => tracing::warn!(%error, "a hand-over came to nothing: {error}"),
            }
        };
        tracing::info!("another process has taken over; draining");
        if let Err(error) = write_line(&mut stream, &Farewell { used_tickets }).await {
            tracing::warn!(%error, "the new process did not hear the last words: {error}");
        }
    }

    /// Hands over to whoever connected, until it asks to take over.
    async fn serve(
        &self,
        mut stream: UnixStream,
        ticket_keys: impl Fn() -> Vec<TicketKey>,
    ) -> io::Result<UnixStream> {
        let uid = stream.peer_cred()?.uid();
        if uid != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other(format!("it runs as user {uid}")));
        }
        let mut sockets = vec![self.tls.as_fd()];
        sockets.extend(self.plain.as_ref().map(AsFd::as_fd));
        in_time(STEP_LIMIT, send(&stream, &sockets)).await?;
        let opening = Opening {
            has_plain: self.plain.is_some(),
            ticket_keys: ticket_keys(),
        };
        in_time(STEP_LIMIT, write_line(&mut stream, &opening)).await?;
        let mut asked = [0; READY.len()];
        in_time(PREPARE_LIMIT, async { stream.read_exact(&mut asked).await }).await?;
        if asked == READY.as_bytes() {
            Ok(stream)
        } else {
            Err(io::Error::other("it said something else"))
        }
    }
}

fn adopt(socket: OwnedFd) -> io::Result<TcpListener> {
    let listener = StdListener::from(socket);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

async fn in_time<T>(limit: Duration, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(limit, step)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Sends descriptors with one byte.
async fn send(stream: &UnixStream, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let send_once = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(sockets));
        let sent = sendmsg(
            stream,
            &[IoSlice::new(b"S")],
            &mut control,
            SendFlags::empty(),
        )?;
        Ok(sent)
    };
    stream.async_io(Interest::WRITABLE, send_once).await?;
    Ok(())
}

/// Receives what [`send`] sent.
async fn receive(stream: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let receive_once = || {
        let mut byte = [0];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            stream,
            &mut [IoSliceMut::new(&mut byte)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let sockets = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
            _ => None,
        });
        Ok(sockets.flatten().collect())
    };
    stream.async_io(Interest::READABLE, receive_once).await
}

async fn write_line(stream: &mut UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

async fn read_line<T: DeserializeOwned>(stream: &mut BufReader<UnixStream>) -> io::Result<T> {
    let mut line = Vec::new();
    stream.take(LINE_LIMIT).read_until(b'\n', &mut line).await?;
    if !line.ends_with(b"\n") {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&line)?)
}
