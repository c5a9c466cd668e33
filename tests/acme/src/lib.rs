//! Real authorities and name servers for tests: Pebble and the name server it asks, BIND.
//!
//! All of them listen on loopback, at ports that were free, and end with the test.

pub mod challenge;
pub mod pebble;
mod process;
pub mod shim;

pub use challenge::ChallengeServer;
pub use pebble::{Pebble, PebbleOptions};
pub use shim::Shim;
