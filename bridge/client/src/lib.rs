//! Dials a workspace's bridge: preamble, requests, events.
//!
//! [`Bridge`] knows one generation of one workspace and the key to it. [`Bridge::connect`] opens a
//! way to the editor or to a port and returns the raw stream; [`Bridge::rpc`] opens the
//! conversation with the bridge itself. Nothing that comes back is trusted: the other side runs
//! where the workspace's user does, so every answer is bounded, parsed and waited for only so long.

mod dial;
mod error;
mod rpc;

pub use dial::Bridge;
pub use error::{CallError, ConnectError};
pub use rpc::{Notification, Notifications, RpcClient};
