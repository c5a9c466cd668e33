//! What workspaces use of the machine: CPU, memory, disk, network, processes.

use serde::{Deserialize, Serialize};

/// Seconds from one sample of a history to the next.
pub const RESOLUTION: u32 = 60;

/// Most samples of a history: a day.
pub const HISTORY: usize = 1440;

/// What a workspace uses, and what it used in the last day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// At this moment.
    pub now: Now,
    /// What it may use, as far as is known: of one that does not run, what it might when it last ran.
    pub limits: Limits,
    /// Seconds from one sample to the next.
    pub resolution: u32,
    /// A sample for each of the last 1,440 minutes that it was running in, newest last.
    pub history: Vec<Sample>,
}

/// What a workspace uses at this moment: one line of the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Now {
    /// It runs.
    Running {
        /// What it may use.
        limits: Limits,
        /// What it uses.
        sample: Sample,
    },
    /// It is asleep: it keeps its memory and uses nothing else.
    Paused {
        /// What it may use.
        limits: Limits,
        /// What it uses.
        sample: Sample,
    },
    /// It does not run, and uses nothing.
    Stopped,
    /// It runs, but what it uses cannot be read.
    Unavailable {
        /// Why.
        reason: Unavailable,
    },
}

/// Why there are no figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unavailable {
    /// The container engine does not answer.
    EngineAway,
    /// The container is not on this host, as with a remote engine, or not there any more.
    Elsewhere,
    /// The orchestrator's user may not read the control groups.
    Forbidden,
    /// The control groups are not what is understood here.
    Unreadable,
}

/// What a workspace may use. What is absent has no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// CPU seconds in each second.
    pub cpu_cores: Option<f64>,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
}

/// What a workspace used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When it was read, RFC 3339.
    pub at: String,
    /// CPU seconds in each second since it was read before.
    pub cpu_cores: Option<f64>,
    /// Bytes of memory without files that are merely cached: what counts towards the limit and cannot
    /// be had back at once.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Bytes in a second that came from the network.
    pub received_per_second: Option<u64>,
    /// Bytes in a second that went to the network.
    pub sent_per_second: Option<u64>,
    /// Bytes in a second that were read from disks.
    pub read_per_second: Option<u64>,
    /// Bytes in a second that were written to disks.
    pub written_per_second: Option<u64>,
    /// Processes that the kernel ended since the workspace was started, because memory was used up.
    pub oom_kills: u64,
}
