//! The envelope of a stream of facts: one snapshot, then changes, each with its place in line.
//!
//! A feed is newline-delimited JSON, one [`Line`] each. It starts with a snapshot, unless the
//! reader named a sequence number (`?from=`) from which the publisher can still continue. A large
//! snapshot comes in several lines, of which only the last is called so. A
//! heartbeat is sent when nothing changed for [`HEARTBEAT`]; a reader that hears nothing for
//! [`SILENCE_LIMIT`] treats the feed as cut and dials again, keeping what it knows.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Longest time between two lines of a healthy feed.
pub const HEARTBEAT: Duration = Duration::from_millis(1000);

/// How long a reader waits for a line before it takes the feed for cut.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(5);

/// Longest line a reader accepts, in bytes.
pub const LINE_LIMIT: usize = 64 << 20;

/// One line of a feed. `S` is the whole state, `C` one change to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line<S, C> {
    /// A part of the snapshot that follows, true as of its `seq`. What no part names is not so, but
    /// that is known only with the last.
    Part {
        /// The part.
        state: S,
    },
    /// Everything, as of `seq`, or the last part of it. Replaces what the reader knew.
    Snapshot {
        /// Place in line.
        seq: u64,
        /// Which run of the publisher numbered it: sequences of different runs do not compare.
        epoch: u64,
        /// The state.
        state: S,
    },
    /// One change, which follows `seq - 1`.
    Change {
        /// Place in line.
        seq: u64,
        /// The change.
        change: C,
    },
    /// Nothing new.
    Heartbeat {
        /// The latest place in line.
        seq: u64,
    },
}

/// What a reader tells the publisher once it has applied everything up to `seq`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Which reader: its process's name and a random suffix, so that two gateways differ.
    pub reader: String,
    /// The run of the publisher that the sequence belongs to.
    pub epoch: u64,
    /// The highest place in line that is applied.
    pub seq: u64,
}
