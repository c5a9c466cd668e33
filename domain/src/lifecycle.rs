//! Where a workspace is in its life, and the only ways from one state to the next.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Where a workspace is in its life. Only `Running` has somewhere to send traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Lifecycle {
    /// No container; the volumes hold the user's files.
    Stopped,
    /// A container is being made ready.
    Starting {
        /// When the start was asked for.
        since: Timestamp,
    },
    /// The editor answers.
    Running {
        /// When the editor first answered.
        since: Timestamp,
    },
    /// The container is frozen, or about to be, with everything its programs hold in memory. A
    /// visit wakes it.
    Paused {
        /// When it was put to sleep.
        since: Timestamp,
    },
    /// The container is being ended.
    Stopping {
        /// When the stop was asked for.
        since: Timestamp,
    },
    /// The last start or run ended badly. Start again to retry; nothing of the user's is lost.
    Failed {
        /// When it was noticed.
        at: Timestamp,
        /// What happened and what to do.
        reason: FailureReason,
    },
    /// The container and network are being removed. The volumes stay.
    Deleting {
        /// When the deletion was asked for.
        since: Timestamp,
    },
}

/// Why a workspace failed: a stable code for programs, a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureReason {
    /// The stable code.
    pub code: FailureCode,
    /// One sentence a user can act on. Never a secret, at most 500 characters.
    pub message: String,
}

impl FailureReason {
    /// Longest message kept, in characters; anything a container says is cut to it.
    pub const MESSAGE_LIMIT: usize = 500;

    /// Makes a reason, cutting the message to [`Self::MESSAGE_LIMIT`].
    pub fn new(code: FailureCode, message: impl AsRef<str>) -> Self {
        let message = message.as_ref().chars().take(Self::MESSAGE_LIMIT).collect();
        Self { code, message }
    }
}

/// The stable codes of [`FailureReason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The container engine could not be reached or refused.
    EngineUnavailable,
    /// The workspace image is not on the host.
    ImageMissing,
    /// No subnet of the configured pool is free.
    NetworkExhausted,
    /// The host's packet filter is not in force, and no workspace must run without it.
    FirewallUnavailable,
    /// The engine did not apply the isolation that was asked for; the container was removed.
    IsolationMismatch,
    /// The files of the snapshot it was to begin with could not be put in place.
    SnapshotUnusable,
    /// The repository could not be cloned.
    CloneFailed,
    /// The editor did not come up.
    EditorFailed,
    /// The container was not ready within the time allowed.
    StartTimedOut,
    /// The container ended by itself.
    ContainerDied,
    /// The container used more memory than its size allows.
    OutOfMemory,
}

impl FailureCode {
    /// Returns the code as it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EngineUnavailable => "engine_unavailable",
            Self::ImageMissing => "image_missing",
            Self::NetworkExhausted => "network_exhausted",
            Self::FirewallUnavailable => "firewall_unavailable",
            Self::IsolationMismatch => "isolation_mismatch",
            Self::SnapshotUnusable => "snapshot_unusable",
            Self::CloneFailed => "clone_failed",
            Self::EditorFailed => "editor_failed",
            Self::StartTimedOut => "start_timed_out",
            Self::ContainerDied => "container_died",
            Self::OutOfMemory => "out_of_memory",
        }
    }
}

/// A transition that the state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a workspace that is {from} cannot be {to}")]
pub struct InvalidTransition {
    /// Name of the state it is in.
    pub from: &'static str,
    /// What was asked.
    pub to: &'static str,
}

impl Lifecycle {
    /// Every state's name, in the order a workspace usually passes them.
    pub const NAMES: [&'static str; 7] = [
        "stopped", "starting", "running", "paused", "stopping", "failed", "deleting",
    ];

    /// Returns the state's name, as it stands in the API, in metrics and in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting { .. } => "starting",
            Self::Running { .. } => "running",
            Self::Paused { .. } => "paused",
            Self::Stopping { .. } => "stopping",
            Self::Failed { .. } => "failed",
            Self::Deleting { .. } => "deleting",
        }
    }

    /// Tells whether the workspace holds or is getting a container.
    pub fn is_active(&self) -> bool {
        matches!(
            self,
            Self::Starting { .. }
                | Self::Running { .. }
                | Self::Paused { .. }
                | Self::Stopping { .. }
        )
    }

    /// Begins a start.
    ///
    /// # Errors
    /// [`InvalidTransition`] unless `Stopped` or `Failed`.
    pub fn start(self, now: Timestamp) -> Result<Self, InvalidTransition> {
        match self {
            Self::Stopped | Self::Failed { .. } => Ok(Self::Starting { since: now }),
            other => Err(other.refuse("started")),
        }
    }

    /// Marks the editor as answering.
    ///
    /// # Errors
    /// [`InvalidTransition`] unless `Starting`.
    pub fn started(self, now: Timestamp) -> Result<Self, InvalidTransition> {
        match self {
            Self::Starting { .. } => Ok(Self::Running { since: now }),
            other => Err(other.refuse("marked running")),
        }
    }

    /// Puts to sleep: nothing is sent there any more, and the container is frozen next.
    ///
    /// # Errors
    /// [`InvalidTransition`] unless `Running`.
    pub fn pause(self, now: Timestamp) -> Result<Self, InvalidTransition> {
        match self {
            Self::Running { .. } => Ok(Self::Paused { since: now }),
            other => Err(other.refuse("paused")),
        }
    }

    /// Wakes: the container is thawed next, and what it was doing goes on.
    ///
    /// # Errors
    /// [`InvalidTransition`] unless `Paused`.
    pub fn wake(self, now: Timestamp) -> Result<Self, InvalidTransition> {
        match self {
            Self::Paused { .. } => Ok(Self::Running { since: now }),
            other => Err(other.refuse("woken")),
        }
    }

    /// Begins a stop.
    ///
    /// # Errors
    /// [`InvalidTransition`] unless `Starting`, `Running`, `Paused` or `Failed` (whose container may
    /// linger).
    pub fn stop(self, now: Timestamp) -> Result<Self, InvalidTransition> {
        match self {
            Self::Starting { .. }
            | Self::Running { .. }
            | Self::Paused { .. }
            | Self::Failed { .. } => Ok(Self::Stopping { since: now }),
            other => Err(other.refuse("stopped")),
        }
    }

    /// Marks the container as gone after a stop.
    ///
    /// # Errors
    /// [`InvalidTransition`] unless `Stopping`.
    pub fn stopped(self) -> Result<Self, InvalidTransition> {
        match self {
            Self::Stopping { .. } => Ok(Self::Stopped),
            other => Err(other.refuse("marked stopped")),
        }
    }

    /// Marks the workspace as failed.
    ///
    /// # Errors
    /// [`InvalidTransition`] when `Stopped`, `Failed` already, or `Deleting`.
    pub fn fail(self, now: Timestamp, reason: FailureReason) -> Result<Self, InvalidTransition> {
        match self {
            Self::Starting { .. }
            | Self::Running { .. }
            | Self::Paused { .. }
            | Self::Stopping { .. } => Ok(Self::Failed { at: now, reason }),
            other => Err(other.refuse("marked failed")),
        }
    }

    /// Begins a deletion, which every state allows: a workspace can always be removed.
    pub fn delete(self, now: Timestamp) -> Self {
        match self {
            Self::Deleting { since } => Self::Deleting { since },
            _ => Self::Deleting { since: now },
        }
    }

    /// Takes a deletion back that is under way: what is left of the container is removed, and the
    /// workspace is stopped.
    ///
    /// # Errors
    /// [`InvalidTransition`] unless `Deleting`.
    pub fn restore(self, now: Timestamp) -> Result<Self, InvalidTransition> {
        match self {
            Self::Deleting { .. } => Ok(Self::Stopping { since: now }),
            other => Err(other.refuse("restored")),
        }
    }

    fn refuse(&self, to: &'static str) -> InvalidTransition {
        InvalidTransition {
            from: self.name(),
            to,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_state() -> Vec<Lifecycle> {
        let at = Timestamp::UNIX_EPOCH;
        let reason = FailureReason::new(FailureCode::CloneFailed, "gone");
        vec![
            Lifecycle::Stopped,
            Lifecycle::Starting { since: at },
            Lifecycle::Running { since: at },
            Lifecycle::Paused { since: at },
            Lifecycle::Stopping { since: at },
            Lifecycle::Failed { at, reason },
            Lifecycle::Deleting { since: at },
        ]
    }

    /// Rows: from. Columns: start, started, pause, wake, stop, stopped, fail, restore.
    #[test]
    fn the_table_of_legal_transitions_is_exact() {
        let at = Timestamp::UNIX_EPOCH;
        let reason = FailureReason::new(FailureCode::ContainerDied, "it died");
        let table: Vec<(&str, [bool; 8])> = every_state()
            .into_iter()
            .map(|state| {
                (
                    state.name(),
                    [
                        state.clone().start(at).is_ok(),
                        state.clone().started(at).is_ok(),
                        state.clone().pause(at).is_ok(),
                        state.clone().wake(at).is_ok(),
                        state.clone().stop(at).is_ok(),
                        state.clone().stopped().is_ok(),
                        state.clone().fail(at, reason.clone()).is_ok(),
                        state.clone().restore(at).is_ok(),
                    ],
                )
            })
            .collect();
        assert_eq!(
            table,
            vec![
                (
                    "stopped",
                    [true, false, false, false, false, false, false, false]
                ),
                (
                    "starting",
                    [false, true, false, false, true, false, true, false]
                ),
                (
                    "running",
                    [false, false, true, false, true, false, true, false]
                ),
                (
                    "paused",
                    [false, false, false, true, true, false, true, false]
                ),
                (
                    "stopping",
                    [false, false, false, false, false, true, true, false]
                ),
                (
                    "failed",
                    [true, false, false, false, true, false, false, false]
                ),
                (
                    "deleting",
                    [false, false, false, false, false, false, false, true]
                ),
            ]
        );
    }

    #[test]
    fn every_state_can_be_deleted_and_a_deletion_keeps_its_start() {
        let later = Timestamp::from_second(60).expect("in range");
        for state in every_state() {
            let was_deleting = matches!(state, Lifecycle::Deleting { .. });
            let expected = if was_deleting {
                Timestamp::UNIX_EPOCH
            } else {
                later
            };
            assert_eq!(state.delete(later), Lifecycle::Deleting { since: expected });
        }
    }

    #[test]
    fn names_cover_every_state() {
        let names: Vec<_> = every_state().iter().map(Lifecycle::name).collect();
        assert_eq!(names, Lifecycle::NAMES);
    }

    #[test]
    fn a_long_message_from_a_container_is_cut() {
        let reason = FailureReason::new(FailureCode::CloneFailed, "é".repeat(10_000));
        assert_eq!(reason.message.chars().count(), FailureReason::MESSAGE_LIMIT);
    }
}
