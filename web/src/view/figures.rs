//! What workspaces use of the machine.

use kalpana_protocol::figures::{Figures, Limits, Now, Sample, Unavailable};
use serde::Serialize;
use utoipa::ToSchema;

/// What a workspace uses, and what it used in the last day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Figures)]
pub(crate) struct FiguresView {
    /// What it uses at this moment.
    now: NowView,
    /// What it may use; of one that does not run, what it might when it last ran.
    limits: LimitsView,
    /// Seconds from one sample of the history to the next.
    resolution: u32,
    /// A sample for each of the last 1,440 minutes that it was running in, newest last.
    #[schema(max_items = 1440)]
    history: Vec<SampleView>,
}

/// What a workspace uses at this moment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FiguresNow)]
pub(crate) struct NowView {
    /// Whether there are figures, and of what.
    state: StateName,
    /// Why there are none, of one that runs.
    reason: Option<ReasonName>,
    /// What it may use, unless it is stopped.
    limits: Option<LimitsView>,
    /// What it uses, unless it is stopped.
    sample: Option<SampleView>,
}

/// Whether a workspace runs, is asleep, or does not run; or runs and cannot be read.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = FiguresState)]
pub(crate) enum StateName {
    Running,
    Paused,
    Stopped,
    Unavailable,
}

/// Why there are no figures: the container engine does not answer, the container is on another host, the
/// control groups may not be read, or say what is not understood.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = FiguresUnavailable)]
pub(crate) enum ReasonName {
    EngineAway,
    Elsewhere,
    Forbidden,
    Unreadable,
}

/// What a workspace may use. What is null has no limit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FiguresLimits)]
pub(crate) struct LimitsView {
    /// CPU seconds in each second.
    cpu_cores: Option<f64>,
    /// Bytes of memory.
    memory_bytes: Option<u64>,
    /// Processes and threads.
    processes: Option<u64>,
}

/// What a workspace used. What is null could not be told.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FiguresSample)]
pub(crate) struct SampleView {
    /// When it was read.
    #[schema(format = DateTime)]
    at: String,
    /// CPU seconds in each second since the reading before.
    cpu_cores: Option<f64>,
    /// Bytes of memory, without files that are merely cached.
    memory_bytes: u64,
    /// Processes and threads.
    processes: Option<u64>,
    /// Bytes in a second from the network.
    received_per_second: Option<u64>,
    /// Bytes in a second to the network.
    sent_per_second: Option<u64>,
    /// Bytes in a second from disks.
    read_per_second: Option<u64>,
    /// Bytes in a second to disks.
    written_per_second: Option<u64>,
    /// Processes that the kernel ended since the workspace was started, because memory was used up.
    oom_kills: u64,
}

impl From<Figures> for FiguresView {
    fn from(told: Figures) -> Self {
        Self {
            now: told.now.into(),
            limits: told.limits.into(),
            resolution: told.resolution,
            history: told.history.into_iter().map(SampleView::from).collect(),
        }
    }
}

impl From<Now> for NowView {
    fn from(now: Now) -> Self {
        let (state, limits, sample, reason) = match now {
            Now::Running { limits, sample } => {
                (StateName::Running, Some(limits), Some(sample), None)
            }
            Now::Paused { limits, sample } => (StateName::Paused, Some(limits), Some(sample), None),
            Now::Stopped => (StateName::Stopped, None, None, None),
            Now::Unavailable { reason } => (StateName::Unavailable, None, None, Some(reason)),
        };
        Self {
            state,
            reason: reason.map(ReasonName::from),
            limits: limits.map(LimitsView::from),
            sample: sample.map(SampleView::from),
        }
    }
}

impl From<Unavailable> for ReasonName {
    fn from(reason: Unavailable) -> Self {
        match reason {
            Unavailable::EngineAway => Self::EngineAway,
            Unavailable::Elsewhere => Self::Elsewhere,
            Unavailable::Forbidden => Self::Forbidden,
            Unavailable::Unreadable => Self::Unreadable,
        }
    }
}

impl From<Limits> for LimitsView {
    fn from(limits: Limits) -> Self {
        Self {
            cpu_cores: limits.cpu_cores,
            memory_bytes: limits.memory_bytes,
            processes: limits.processes,
        }
    }
}

impl From<Sample> for SampleView {
    fn from(sample: Sample) -> Self {
        Self {
            at: sample.at,
            cpu_cores: sample.cpu_cores,
            memory_bytes: sample.memory_bytes,
            processes: sample.processes,
            received_per_second: sample.received_per_second,
            sent_per_second: sample.sent_per_second,
            read_per_second: sample.read_per_second,
            written_per_second: sample.written_per_second,
            oom_kills: sample.oom_kills,
        }
    }
}
