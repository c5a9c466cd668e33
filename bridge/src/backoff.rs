//! How long to wait before starting a child again.

use std::time::Duration;

/// Delays that double from one failure to the next and start over after a good run.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    good_run: Duration,
    failures: u32,
}

impl Backoff {
    /// Makes a back-off from `first` to `longest`; a run of at least `good_run` starts it over.
    pub const fn new(first: Duration, longest: Duration, good_run: Duration) -> Self {
        Self {
            first,
            longest,
            good_run,
            failures: 0,
        }
    }

    /// Returns how long to wait after a run that lasted `ran`.
    pub fn next(&mut self, ran: Duration) -> Duration {
        if ran >= self.good_run {
            self.failures = 0;
        }
        let delay = self
            .first
            .saturating_mul(2u32.saturating_pow(self.failures.min(16)));
        self.failures = self.failures.saturating_add(1);
        delay.min(self.longest)
    }

    /// Returns how many runs in a row were short.
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_a_bound_and_start_over_after_a_good_run() {
        let millis = Duration::from_millis;
        let mut backoff = Backoff::new(millis(100), millis(1000), millis(60_000));
        let delays: Vec<_> = (0..6)
            .map(|_| backoff.next(millis(5)).as_millis())
            .collect();
        assert_eq!(delays, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.failures(), 6);
        assert_eq!(backoff.next(millis(60_000)), millis(100));
        for _ in 0..100 {
            assert!(backoff.next(millis(0)) <= millis(1000));
        }
    }
}
