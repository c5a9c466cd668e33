//! Real authorities and name servers for tests: Pebble, the name server that it asks, and BIND.
//!
//! All of them listen on loopback, at ports that were free, and end with the test.

pub mod bind;
pub mod challenge;
pub mod pebble;
mod port;
mod process;
pub mod shim;

pub use bind::Bind;
pub use challenge::ChallengeServer;
pub use pebble::{Pebble, PebbleOptions};
pub use port::reserve_port;
pub use shim::Shim;
