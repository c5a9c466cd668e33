//! Passes bytes between a client and a workspace, both ways, until either ends or the tunnel is cut.
//!
//! While nothing flows a pump holds no buffer: bytes are read into one of the thread's, and only
//! what the other side does not take at once is kept. Reading stops meanwhile, so that a slow
//! reader slows its sender and nobody else.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::control::{Control, Cut};
use super::frames::{self, Frames, PongFilter};

/// Most that is read at once. Unit: bytes; one TLS record.
const READ_SIZE: usize = 16 * 1024;

/// How long one side may go on after the other has ended.
const LINGER: Duration = Duration::from_secs(10);

/// How long a client may take to hear that it was cut.
const FAREWELL: Duration = Duration::from_secs(2);

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_SIZE].into_boxed_slice());
}

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client closed it.
    Client,
    /// The workspace closed it.
    Workspace,
    /// The client was not heard of, not even when asked.
    Silent,
    /// It was cut.
    Cut(Cut),
}

impl End {
    /// Every way a tunnel can end.
    pub const ALL: [Self; 7] = [
        Self::Client,
        Self::Workspace,
        Self::Silent,
        Self::Cut(Cut::SessionEnded),
        Self::Cut(Cut::SharingChanged),
        Self::Cut(Cut::Asleep),
        Self::Cut(Cut::GoingAway),
    ];

    /// Returns the name for the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Workspace => "workspace",
            Self::Silent => "silent",
            Self::Cut(cut) => cut.as_str(),
        }
    }
}

/// Bytes on their way in one direction.
#[derive(Debug, Default)]
struct Flow {
    frames: Frames,
    /// Read, and not yet taken by the other side.
    pending: Vec<u8>,
    written: usize,
    /// Nothing more will be read.
    is_ended: bool,
    /// The other side was told so.
    is_shut: bool,
    /// The other side takes nothing any more; what comes is dropped.
    is_broken: bool,
}

impl Flow {
    fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Writes what is pending. Ready when nothing is.
    fn poll_drain(
        &mut self,
        writer: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.written < self.pending.len() {
            let rest = &self.pending[self.written..];
            match Pin::new(&mut *writer).poll_write(context, rest) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => self.written += written,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        self.pending = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

/// Asks a quiet client whether it is still there.
#[derive(Debug)]
struct Liveness {
    period: Duration,
    timer: Pin<Box<Sleep>>,
    /// Something came since the timer was set.
    is_heard: bool,
    /// It was asked, or does not take what it is sent.
    is_awaited: bool,
    pongs: PongFilter,
}

/// A tunnel's two ends and what is between them. Completes when it is over.
#[derive(Debug)]
pub struct Pump<C, W> {
    client: C,
    workspace: W,
    control: Arc<Control>,
    up: Flow,
    down: Flow,
    liveness: Liveness,
    /// Once one side has ended: how it ended, and when the other must have.
    ending: Option<(End, Pin<Box<Sleep>>)>,
    is_flushed: bool,
}

impl<C, W> Pump<C, W>
where
    C: AsyncRead + AsyncWrite + Unpin,
    W: AsyncRead + AsyncWrite + Unpin,
{
    /// Joins the two. `early` came from the workspace with its answer to the upgrade.
    ///
    /// A client that was quiet for `ping` is asked whether it is there, and is gone when it does
    /// not answer within the same time again.
    pub fn new(
        client: C,
        workspace: W,
        early: &[u8],
        ping: Duration,
        control: Arc<Control>,
    ) -> Self {
        let mut down = Flow::default();
        down.frames.follow(early);
        down.push(early);
        control.sent(early.len());
        Self {
            client,
            workspace,
            control,
            up: Flow::default(),
            down,
            liveness: Liveness {
                period: ping,
                timer: Box::pin(tokio::time::sleep(ping)),
                is_heard: false,
                is_awaited: false,
                pongs: PongFilter::default(),
            },
            ending: None,
            is_flushed: early.is_empty(),
        }
    }

    /// One side has ended: the other gets a while.
    fn end(&mut self, end: End, limit: Duration) {
        if self.ending.is_none() {
            self.ending = Some((end, Box::pin(tokio::time::sleep(limit))));
        }
    }

    /// Passes what the client sends. `Ready` when it got further.
    fn poll_up(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let was_pending = !self.up.pending.is_empty();
        match self.up.poll_drain(&mut self.workspace, context) {
            Poll::Ready(Ok(())) if was_pending => return Poll::Ready(()),
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => {
                self.workspace_is_gone();
                return Poll::Ready(());
            }
            Poll::Pending => return Poll::Pending,
        }
        if self.up.is_ended {
            if self.up.is_shut {
                return Poll::Pending;
            }
            let shut = Pin::new(&mut self.workspace).poll_shutdown(context);
            self.up.is_shut = shut.is_ready();
            // It may be gone already, which the other direction will find.
            return shut.map(|_| ());
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            match Pin::new(&mut self.client).poll_read(context, &mut read) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {}
                // A client that vanished is one that has ended.
                Poll::Ready(_) => {
                    self.up.is_ended = true;
                    self.end(End::Client, LINGER);
                    return Poll::Ready(());
                }
            }
            self.liveness.is_heard = true;
            if self.up.is_broken {
                return Poll::Ready(());
            }
            if self.liveness.is_awaited {
                let (passed, is_answered) =
                    self.liveness.pongs.filter(&self.up.frames, read.filled());
                if is_answered {
                    self.liveness.is_awaited = false;
                }
                let data = self.up.frames.follow(&passed);
                self.control.received(read.filled().len(), data);
                self.up.push(&passed);
                return Poll::Ready(());
            }
            let data = self.up.frames.follow(read.filled());
            self.control.received(read.filled().len(), data);
            if pass(&mut self.up, &mut self.workspace, read.filled(), context).is_err() {
                self.workspace_is_gone();
            }
            Poll::Ready(())
        })
    }

    /// The workspace takes nothing any more. What it said before is still passed on, and what the
    /// client says is read and dropped: to leave it unread would reset the connection, and with it
    /// the workspace's last words.
    fn workspace_is_gone(&mut self) {
        self.up.pending = Vec::new();
        self.up.written = 0;
        self.up.is_broken = true;
        self.end(End::Workspace, LINGER);
    }

    /// Passes what the workspace sends. `Ready` when it got further.
    fn poll_down(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let was_pending = !self.down.pending.is_empty();
        match self.down.poll_drain(&mut self.client, context) {
            Poll::Ready(Ok(())) if was_pending => {
                self.is_flushed = false;
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Ok(())) => {}
            other => return other,
        }
        if self.down.is_ended {
            if self.down.is_shut {
                return Poll::Pending;
            }
            let shut = Pin::new(&mut self.client).poll_shutdown(context);
            self.down.is_shut = shut.is_ready();
            return shut.map(|_| Ok(()));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            match Pin::new(&mut self.workspace).poll_read(context, &mut read) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {}
                Poll::Ready(_) => {
                    self.down.is_ended = true;
                    self.end(End::Workspace, LINGER);
                    return Poll::Ready(Ok(()));
                }
            }
            self.down.frames.follow(read.filled());
            self.control.sent(read.filled().len());
            self.is_flushed = false;
            Poll::Ready(pass(
                &mut self.down,
                &mut self.client,
                read.filled(),
                context,
            ))
        })
    }

    /// Begins to end a tunnel that was cut: the workspace hears nothing more, the client why.
    fn cut(&mut self, cut: Cut) {
        if self.down.frames.is_between() {
            let frame = frames::close(cut.code(), cut.as_str());
            self.down.frames.follow(&frame);
            self.down.push(&frame);
        } else {
            // In the middle of a message there is no place for a word of ours.
            self.down.pending = Vec::new();
            self.down.written = 0;
        }
        self.down.is_ended = true;
        self.up.pending = Vec::new();
        self.up.written = 0;
        self.ending = Some((End::Cut(cut), Box::pin(tokio::time::sleep(FAREWELL))));
    }

    /// Says a cut tunnel's last words, then waits until the client has closed.
    fn poll_farewell(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.poll_last_words(context).is_err() {
            return Poll::Ready(());
        }
        loop {
            let heard = SCRATCH.with_borrow_mut(|scratch| {
                let mut read = ReadBuf::new(scratch);
                let polled = Pin::new(&mut self.client).poll_read(context, &mut read);
                polled.map(|read_one| read_one.is_ok() && !read.filled().is_empty())
            });
            match heard {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_last_words(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let mut poll = || {
            std::task::ready!(self.down.poll_drain(&mut self.client, context))?;
            if !self.down.is_shut {
                std::task::ready!(Pin::new(&mut self.client).poll_shutdown(context))?;
                self.down.is_shut = true;
            }
            Poll::Ready(Ok(()))
        };
        match poll() {
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// Looks at the clock. Tells whether the client is gone.
    fn is_gone(&mut self, context: &mut Context<'_>) -> bool {
        while self.liveness.timer.as_mut().poll(context).is_ready() {
            // What is not read cannot be heard.
            let is_heard = self.liveness.is_heard || !self.up.pending.is_empty();
            if !is_heard {
                if self.liveness.is_awaited {
                    return true;
                }
                if self.down.pending.is_empty() && self.down.frames.is_between() {
                    let frame = frames::ping();
                    self.down.push(&frame);
                }
                // Else it is behind with reading, or in the middle of a long message.
                self.liveness.is_awaited = !self.down.pending.is_empty();
            } else if self.liveness.is_awaited {
                // It is there, and did not answer the ping: an answer may still come.
                self.liveness.is_awaited = false;
                let held = self.liveness.pongs.release();
                self.up.frames.follow(&held);
                self.up.push(&held);
            }
            self.liveness.is_heard = false;
            let next = Instant::now() + self.liveness.period;
            self.liveness.timer.as_mut().reset(next);
        }
        false
    }
}

/// Writes what was just read, and keeps what is not taken.
fn pass(
    flow: &mut Flow,
    writer: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    context: &mut Context<'_>,
) -> io::Result<()> {
    match Pin::new(writer).poll_write(context, bytes) {
        Poll::Ready(Ok(written)) => flow.push(&bytes[written..]),
        Poll::Ready(Err(error)) => return Err(error),
        Poll::Pending => flow.push(bytes),
    }
    Ok(())
}

impl<C, W> Future for Pump<C, W>
where
    C: AsyncRead + AsyncWrite + Unpin,
    W: AsyncRead + AsyncWrite + Unpin,
{
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<End> {
        let this = &mut *self;
        let is_cut = matches!(this.ending, Some((End::Cut(_), _)));
        if !is_cut && let Some(cut) = this.control.poll_cut(context) {
            this.cut(cut);
        }
        if let Some((end, limit)) = &mut this.ending {
            let end = *end;
            if limit.as_mut().poll(context).is_ready() {
                return Poll::Ready(end);
            }
            if matches!(end, End::Cut(_)) {
                return this.poll_farewell(context).map(|()| end);
            }
        } else if this.is_gone(context) {
            return Poll::Ready(End::Silent);
        }
        loop {
            let (up, down) = (this.poll_up(context), this.poll_down(context));
            match (&up, &down) {
                (_, Poll::Ready(Err(_))) => return Poll::Ready(End::Client),
                (Poll::Pending, Poll::Pending) => break,
                _ => {}
            }
            if let Some((end, limit)) = &mut this.ending {
                if this.up.is_shut && this.down.is_shut {
                    return Poll::Ready(*end);
                }
                // Asked here too, because it may just have been set.
                if limit.as_mut().poll(context).is_ready() {
                    return Poll::Ready(*end);
                }
            }
        }
        if !this.is_flushed {
            match Pin::new(&mut this.client).poll_flush(context) {
                Poll::Ready(Ok(())) => this.is_flushed = true,
                Poll::Ready(Err(_)) => return Poll::Ready(End::Client),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }
}
