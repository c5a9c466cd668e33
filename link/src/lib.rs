//! The private line between our own processes on one host.
//!
//! [`listener`] binds a Unix socket and lets in only those whom [`peer`] allows; [`server`] serves
//! an axum router on it. [`client`] calls such a socket, with a deadline on everything. [`feed`]
//! publishes a stream of facts and follows one: a snapshot, then changes, acknowledged.
//!
//! Why a room of its own: four processes need the same check on both ends of a socket. Kept in
//! each of them it would be four chances to get it wrong, and `protocol` may not do I/O.

pub mod client;
pub mod feed;
pub mod listener;
pub mod peer;
pub mod server;

pub use client::{CallError, Client};
pub use listener::{BindError, Listener};
pub use peer::{InternalToken, PeerPolicy};

/// Header that carries a request's id from process to process.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
