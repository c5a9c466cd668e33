//! Volumes as archives and back, with real files.
//!
//! Everything here runs as root and as anybody else; owners are those of whoever runs it.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[path = "archive/changing.rs"]
mod changing;
#[path = "archive/hostile.rs"]
mod hostile;
#[path = "archive/round_trip.rs"]
mod round_trip;
#[path = "archive/support.rs"]
mod support;
