//! How long sessions are taken for good while nobody can say that they have ended.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::monotonic;

/// The line to `web` is up.
const UP: u64 = 0;

/// Whether what was heard last is recent enough to let people in by.
#[derive(Debug)]
pub struct Lease {
    length: u64,
    /// When the line went down, or [`UP`].
    down_since: AtomicU64,
}

impl Lease {
    /// Makes a lease that lasts `length` from when the line goes down.
    pub fn new(length: Duration) -> Self {
        Self {
            length: u64::try_from(length.as_millis()).unwrap_or(u64::MAX),
            down_since: AtomicU64::new(UP),
        }
    }

    /// Notes that the line is up, or that it is not: it lasts from the first time that it is said.
    pub fn set(&self, is_up: bool) {
        if is_up {
            self.down_since.store(UP, Ordering::Relaxed);
        } else {
            let now = monotonic::now();
            let _ = self
                .down_since
                .compare_exchange(UP, now, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Tells whether it is over.
    pub fn is_over(&self) -> bool {
        match self.down_since.load(Ordering::Relaxed) {
            UP => false,
            since => monotonic::now().saturating_sub(since) >= self.length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lasts_from_when_the_line_goes_down_until_it_is_up_again() {
        let at_once = Lease::new(Duration::ZERO);
        assert!(!at_once.is_over(), "the line is up");
        at_once.set(false);
        assert!(at_once.is_over());
        at_once.set(true);
        assert!(!at_once.is_over());

        let long = Lease::new(Duration::from_secs(1000));
        long.set(false);
        assert!(!long.is_over());
        long.down_since.store(7, Ordering::Relaxed);
        long.set(false);
        let since = long.down_since.load(Ordering::Relaxed);
        assert_eq!(since, 7, "dialling in vain does not make it longer");
    }
}
