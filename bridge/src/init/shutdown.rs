//! An orderly end: SIGTERM to all, time to finish, then SIGKILL.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use super::{Init, child, is_pid_1};

/// How long children have to finish. The engine kills the container after 20 s.
const GRACE: Duration = Duration::from_secs(15);

/// How long processes that are nobody's children have after the last child is gone.
const STRAY_GRACE: Duration = Duration::from_secs(2);

/// How far an orderly end has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shutdown {
    stage: Stage,
    deadline: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Children were asked to finish.
    Asked,
    /// Children are gone, adopted processes are not.
    Strays,
    /// Everything was killed.
    Killed,
    /// Even the killed did not go: they hang in the kernel.
    GivenUp,
}

impl Shutdown {
    /// Returns when to become less patient.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Init {
    /// Begins an orderly end; asked again, ends it at once.
    pub(super) fn stop(&mut self, reason: &str) {
        if self.shutdown.is_some() {
            self.kill();
            return;
        }
        self.log.say(&format!("the bridge stops: {reason}"));
        self.signal_all(Signal::TERM);
        self.shutdown = Some(Shutdown {
            stage: Stage::Asked,
            deadline: Instant::now() + GRACE,
        });
    }

    /// Becomes less patient, because a deadline has passed.
    pub(super) fn escalate(&mut self) {
        match self.shutdown.map(|shutdown| shutdown.stage) {
            Some(Stage::Asked | Stage::Strays) => self.kill(),
            Some(Stage::Killed | Stage::GivenUp) => {
                self.shutdown = Some(Shutdown {
                    stage: Stage::GivenUp,
                    deadline: Instant::now() + STRAY_GRACE,
                });
            }
            None => {}
        }
    }

    /// Tells whether nothing is left to wait for.
    pub(super) fn is_finished(&mut self, is_all_gone: bool) -> bool {
        let Some(shutdown) = self.shutdown else {
            return false;
        };
        let has_children = self.serve.is_some() || !self.children.is_empty();
        if !has_children && shutdown.stage == Stage::Asked {
            self.shutdown = Some(Shutdown {
                stage: Stage::Strays,
                deadline: Instant::now() + STRAY_GRACE,
            });
        }
        is_all_gone || shutdown.stage == Stage::GivenUp
    }

    fn kill(&mut self) {
        self.signal_all(Signal::KILL);
        let deadline = Instant::now() + STRAY_GRACE;
        self.shutdown = Some(Shutdown {
            stage: Stage::Killed,
            deadline,
        });
    }

    fn signal_all(&self, signal: Signal) {
        self.children
            .values()
            .for_each(|child| child.signal(signal));
        if let Some(serve) = &self.serve {
            child::send(serve.pid, signal);
        }
        if is_pid_1() {
            everyone(signal);
        }
    }
}

/// Signals every process of the container but ourselves. Only PID 1 may call it: for any other
/// process "everyone" is the whole machine.
fn everyone(signal: Signal) {
    if let Ok(signal) = nix::sys::signal::Signal::try_from(signal.as_raw()) {
        // There may be nobody.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(-1), signal);
    }
}
