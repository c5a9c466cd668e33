//! A time that only goes forward, small enough for an atomic.

use std::sync::LazyLock;
use std::time::Instant;

/// Returns the time since a moment early in the process's life. Unit: milliseconds. From 1 on, so
/// that 0 can mean that something has not happened.
pub fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let past = u64::try_from(START.elapsed().as_millis());
    past.map_or(u64::MAX - 1, |past| past + 1)
}
