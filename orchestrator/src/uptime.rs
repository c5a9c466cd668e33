//! Time since the process started, which no step of the clock shortens. Deadlines count in it.

use std::fmt;
use std::time::{Duration, Instant};

/// Tells how long the process has been up.
pub(crate) trait Uptime: fmt::Debug + Send + Sync {
    /// Returns the time since some fixed moment.
    fn now(&self) -> Duration;
}

/// The machine's monotonic clock.
#[derive(Debug)]
pub(crate) struct SinceStart(Instant);

impl SinceStart {
    /// Starts counting.
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Uptime for SinceStart {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// An uptime that stands still until it is moved.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct ManualUptime(std::sync::Mutex<Duration>);

#[cfg(test)]
impl ManualUptime {
    /// Moves it forward.
    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

#[cfg(test)]
impl Uptime for ManualUptime {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}
