//! How the rest of the gateway reaches a tunnel: to cut it, and to see what it is doing.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Waker};

use futures_util::task::AtomicWaker;

/// Why something that is open is cut.
///
/// The numbers are WebSocket close codes. Those from 4000 are for applications to define, and
/// these are ours; 1001 is RFC 6455's, and 1013, "try again later", is in the IANA's registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The session that opened it has ended.
    SessionEnded,
    /// Who may reach it has changed.
    SharingChanged,
    /// The workspace was stopped, or put to sleep.
    Asleep,
    /// Nobody can say whether the session that opened it has ended.
    Unsure,
    /// This gateway ends, and something will take its place.
    GoingAway,
}

impl Cut {
    const ALL: [Self; 5] = [
        Self::SessionEnded,
        Self::SharingChanged,
        Self::Asleep,
        Self::Unsure,
        Self::GoingAway,
    ];

    /// Returns the close code that a WebSocket is given.
    pub fn code(self) -> u16 {
        match self {
            Self::SessionEnded => 4401,
            Self::SharingChanged => 4403,
            Self::Asleep => 4408,
            Self::Unsure => 1013,
            Self::GoingAway => 1001,
        }
    }

    /// Returns the reason, for the close frame and the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SessionEnded => "session ended",
            Self::SharingChanged => "sharing changed",
            Self::Asleep => "workspace asleep",
            Self::Unsure => "control plane away",
            Self::GoingAway => "gateway restarting",
        }
    }
}

/// What a tunnel has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Bytes from the client.
    pub received: u64,
    /// Bytes to the client.
    pub sent: u64,
    /// Bytes of messages from the client: what somebody typed, not what a browser does by itself.
    pub input: u64,
}

/// One tunnel's switch and counters.
#[derive(Debug, Default)]
pub struct Control {
    waker: AtomicWaker,
    /// Zero, or one more than the index of a [`Cut`].
    cut: AtomicU8,
    received: AtomicU64,
    sent: AtomicU64,
    input: AtomicU64,
}

impl Control {
    /// Cuts the tunnel. The first reason stays.
    pub fn cut(&self, cut: Cut) {
        let index = Cut::ALL.iter().position(|known| *known == cut).unwrap_or(0);
        let value = index as u8 + 1;
        let _ = self
            .cut
            .compare_exchange(0, value, Ordering::AcqRel, Ordering::Acquire);
        self.waker.wake();
    }

    /// Returns why the tunnel is to be cut, once it is; until then, wakes the task when it will be.
    pub fn poll_cut(&self, context: &Context<'_>) -> Option<Cut> {
        self.watch(context.waker());
        let index = self.cut.load(Ordering::Acquire).checked_sub(1)?;
        Some(Cut::ALL[usize::from(index)])
    }

    fn watch(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Counts bytes from the client, `data` of which began messages.
    pub fn received(&self, bytes: usize, data: u64) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        self.input.fetch_add(data, Ordering::Relaxed);
    }

    /// Counts bytes to the client.
    pub fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Returns what was counted.
    pub fn seen(&self) -> Seen {
        Seen {
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            input: self.input.load(Ordering::Relaxed),
        }
    }
}
