//! When a transition has taken too long, and what is said of it.

use std::time::Duration;

use kalpana_domain::lifecycle::{FailureCode, FailureReason, Lifecycle};
use kalpana_domain::workspace::Workspace;
use kalpana_protocol::orchestrator::PhaseName;

use super::Reconciler;

impl Reconciler {
    /// Returns why a transition has taken too long, if it has.
    pub(super) fn overdue(&self, row: &Workspace) -> Option<FailureReason> {
        let (last_error, stopping_since) = self.memory(row.id, |memory| {
            (memory.last_error.clone(), memory.stopping_since)
        });
        match &row.lifecycle {
            Lifecycle::Starting { .. } => {
                let standing = self.board.standing(row.id)?;
                if standing.phase == PhaseName::Clone {
                    let limit = self.limits.clone;
                    return (standing.in_phase >= limit).then(|| clone_timed_out(limit));
                }
                let is_over = standing.silent >= self.limits.start;
                is_over.then(|| match last_error {
                    Some(error) => self.engine_failed(&error),
                    None => start_timed_out(standing.phase, self.limits.start),
                })
            }
            Lifecycle::Stopping { .. } => {
                let spent = self.uptime.now().saturating_sub(stopping_since?);
                let is_over = spent >= self.limits.stop + self.limits.start;
                let error = last_error.unwrap_or_else(|| "the container did not end".to_owned());
                is_over.then(|| self.engine_failed(&error))
            }
            // While the engine is away as a whole, nobody can say that this one cannot be thawed.
            Lifecycle::Running { .. } if self.is_engine_up() => {
                let refused_since = self.memory(row.id, |memory| memory.thaw_refused_since)?;
                let spent = self.uptime.now().saturating_sub(refused_since);
                let error = last_error.unwrap_or_else(|| "the container stays frozen".to_owned());
                (spent >= self.limits.start).then(|| self.engine_failed(&error))
            }
            _ => None,
        }
    }

    /// Tells whether the engine answered when it was last asked.
    fn is_engine_up(&self) -> bool {
        let known = self.state.is_engine_up.lock().expect("no holder panics");
        known.unwrap_or(false)
    }

    /// Returns the failure of a transition that the engine kept from ending.
    fn engine_failed(&self, error: &str) -> FailureReason {
        let is_up = self.is_engine_up();
        let message = if is_up {
            format!("Docker did not do what was asked: {error}.")
        } else {
            format!(
                "Docker does not answer at {}: start it with `systemctl start docker`, then try \
                 again.",
                self.engine_socket.display()
            )
        };
        FailureReason::new(FailureCode::EngineUnavailable, message)
    }
}

fn start_timed_out(phase: PhaseName, limit: Duration) -> FailureReason {
    let what = match phase {
        PhaseName::Network => "The network was not made",
        PhaseName::Volume => "The storage was not made",
        PhaseName::Container => "The container was not started",
        PhaseName::Boot => "The container's bridge did not answer",
        PhaseName::Clone => "The repository was not cloned",
        PhaseName::Editor => "The editor did not answer",
    };
    FailureReason::new(
        FailureCode::StartTimedOut,
        format!(
            "{what} within {} s; start the workspace again, or look at its log.",
            limit.as_secs()
        ),
    )
}

fn clone_timed_out(limit: Duration) -> FailureReason {
    let minutes = limit.as_secs().div_ceil(60);
    FailureReason::new(
        FailureCode::CloneFailed,
        format!(
            "The clone took longer than {minutes} min; try a smaller repository or a faster server."
        ),
    )
}
