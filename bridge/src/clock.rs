//! The only place that reads the wall clock.

/// Returns the time.
#[expect(
    clippy::disallowed_methods,
    reason = "a bridge shares no crate with the rooms that have a Clock; what decides takes the time as an argument"
)]
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Returns the time in whole seconds since 1970, as preambles carry it.
pub fn unix_seconds() -> u64 {
    u64::try_from(now().as_second()).unwrap_or(0)
}
