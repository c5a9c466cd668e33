//! A stream of facts from one process to others: published here, followed there.

mod follower;
mod publisher;

pub use follower::{Follow, follow};
pub use publisher::{Acknowledged, Publisher, State};
