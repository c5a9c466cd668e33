//! What can go wrong between the host and a bridge.

use std::io;
use std::num::NonZeroU16;
use std::path::PathBuf;

use kalpana_protocol::bridge::RpcError;
use kalpana_protocol::preamble::Listening;

/// A connection did not come about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens: the container is not there, or not yet.
    #[error("no bridge listens at {}", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What is at the socket's path is no socket, or is another user's. Somebody in the container
    /// tries to lead us elsewhere.
    #[error("what is at {} is not the bridge: {reason}", path.display())]
    Impostor {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The bridge does not know the key, or the key does not open this.
    #[error("the bridge denied the connection")]
    Denied,
    /// The preamble was too old when it arrived: the clocks disagree.
    #[error("the bridge found the preamble expired")]
    Expired,
    /// The workspace has been started anew since the key was made.
    #[error("the bridge runs another generation")]
    WrongGeneration,
    /// The editor does not answer yet.
    #[error("the editor is not ready")]
    NotReady,
    /// Nobody listens on the port.
    #[error("nobody listens on port {port} of the workspace")]
    Refused {
        /// The port.
        port: NonZeroU16,
        /// Ports that somebody listens on.
        listening: Listening,
    },
    /// The other side does not speak as a bridge does.
    #[error("the bridge broke the protocol: {reason}")]
    Protocol {
        /// What it did.
        reason: &'static str,
    },
    /// The other side took too long.
    #[error("the bridge did not answer in time")]
    Timeout,
}

/// A request was not answered, or with an error.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The bridge refused it.
    #[error("the bridge answered with an error")]
    Rpc(#[source] RpcError),
    /// The answer is not the method's.
    #[error("the bridge's answer cannot be read")]
    Answer(#[source] serde_json::Error),
    /// The connection has ended.
    #[error("the connection to the bridge has ended")]
    Closed,
    /// The answer took too long; the bridge was told to give up.
    #[error("the bridge did not answer in time")]
    Timeout,
    /// The request is longer than a request may be.
    #[error("the request of {length} bytes is longer than a bridge accepts")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
}
