//! How long to wait before a role that died is started again.

use std::time::{Duration, Instant};

/// Shortest wait.
const SHORTEST: Duration = Duration::from_millis(100);
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(10);
/// A role that lived this long is trusted again.
const TRUSTED_AFTER: Duration = Duration::from_secs(30);

/// Doubles from [`SHORTEST`] to [`LONGEST`] while a role keeps dying young.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Backoff {
    started: Option<Instant>,
    wait: Option<Duration>,
}

impl Backoff {
    /// Notes that the role was started.
    pub(super) fn started(&mut self, now: Instant) {
        self.started = Some(now);
    }

    /// Returns how long to wait after a death at `now`.
    pub(super) fn next(&mut self, now: Instant) -> Duration {
        let lived_long = self
            .started
            .is_none_or(|started| now.duration_since(started) >= TRUSTED_AFTER);
        let wait = match self.wait {
            Some(wait) if !lived_long => (wait * 2).min(LONGEST),
            _ => SHORTEST,
        };
        self.wait = Some(wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_start_over_after_a_long_life() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..9 {
            waits.push(backoff.next(now).as_millis());
            backoff.started(now);
            now += Duration::from_secs(1);
        }
        assert_eq!(
            waits,
            [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        );
        backoff.started(now);
        assert_eq!(backoff.next(now + TRUSTED_AFTER), SHORTEST);
    }
}
