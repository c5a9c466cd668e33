//! What is said to a bridge once a connection to `rpc` is open: JSON-RPC 2.0 in the text frames of
//! a WebSocket.
//!
//! A client sends [`initialize`] first and learns the phases so far; from then on the bridge sends
//! it [`phase`] and [`log`] notifications. Nothing a bridge says is to be trusted: it runs where
//! the workspace's user does.
//!
//! [`initialize`]: method::INITIALIZE
//! [`phase`]: notification::PHASE
//! [`log`]: notification::LOG

pub mod activity;
pub mod archive;
pub mod environment;
pub mod phase;
pub mod rpc;
pub mod work;

use serde::{Deserialize, Serialize};

pub use activity::Activity;
pub use archive::ArchiveEnd;
pub use environment::EnvironmentInfo;
pub use phase::{Phase, PhaseName, PhaseStatus};
pub use rpc::{Incoming, Outgoing, RequestId, RpcError};
pub use work::{RepositoryWork, WorkSummary};

/// The WebSocket subprotocol, which is also the protocol's version.
pub const SUBPROTOCOL: &str = "kalpana.bridge.v1";

/// Longest text frame either side sends, in bytes.
pub const FRAME_LIMIT: usize = 1 << 20;

/// Most requests of one connection that a bridge works on at once.
pub const IN_FLIGHT_LIMIT: usize = 64;

/// Longest text of a [`LogLine`] or of a phase's detail, in bytes.
pub const TEXT_LIMIT: usize = 8 << 10;

/// What can be asked of a bridge.
pub mod method {
    /// Opens the conversation: [`Initialize`](super::Initialize) →
    /// [`Initialized`](super::Initialized).
    pub const INITIALIZE: &str = "initialize";
    /// What goes on in the container: nothing → [`Activity`](super::Activity).
    pub const ACTIVITY: &str = "activity";
    /// What the container is: nothing → [`EnvironmentInfo`](super::EnvironmentInfo).
    pub const ENVIRONMENT_INFO: &str = "env/info";
    /// What of the workspace's repositories exists nowhere else: nothing →
    /// [`WorkSummary`](super::WorkSummary). Those who ask at once share one answer.
    pub const WORK_SUMMARY: &str = "work/summary";
    /// Gives up on a request: a notification, [`Cancel`](super::Cancel).
    pub const CANCEL: &str = "$/cancel";
}

/// What a bridge says unasked.
pub mod notification {
    /// A phase began, went on or ended: [`Phase`](super::Phase).
    pub const PHASE: &str = "phase";
    /// A child of the bridge wrote a line: [`LogLine`](super::LogLine).
    pub const LOG: &str = "log";
}

/// The first request of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Initialize {
    /// The protocol the client speaks: [`SUBPROTOCOL`].
    pub protocol: String,
    /// Who asks, for the log: `orchestrator 0.1.0`. At most 100 bytes are kept.
    pub client: String,
}

/// The answer to [`Initialize`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Initialized {
    /// The protocol the bridge speaks.
    pub protocol: String,
    /// The bridge's own version.
    pub version: String,
    /// The workspace it serves.
    pub workspace: String,
    /// The generation it serves.
    pub generation: u64,
    /// What it accepts.
    pub limits: Limits,
    /// The methods it answers, sorted.
    pub methods: Vec<String>,
    /// Every phase begun so far, in order, each at its latest.
    pub phases: Vec<Phase>,
}

/// What a bridge accepts on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Longest text frame, in bytes.
    pub frame_bytes: u64,
    /// Most requests at once.
    pub requests_in_flight: u32,
}

/// Names a request to give up on. It is then answered with [`RpcError::CANCELLED`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The request's id.
    pub id: RequestId,
}

/// A line that a child of the bridge wrote.
///
/// The container's own log holds the same lines as JSON, one each, with all three fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When the line was read.
    pub at: jiff::Timestamp,
    /// Who wrote it.
    pub source: LogSource,
    /// The line without its end, cut at [`TEXT_LIMIT`]; not to be trusted.
    pub text: String,
}

/// Who wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    /// The bridge itself.
    Bridge,
    /// Git, and what of ours runs it as the workspace's user.
    Git,
    /// The editor.
    Editor,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initialized_has_the_documented_form() {
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        let mut clone = Phase::running(PhaseName::Clone, at);
        clone.detail = Some("Receiving objects: 45%".into());
        let initialized = Initialized {
            protocol: SUBPROTOCOL.into(),
            version: "0.1.0".into(),
            workspace: "abcdefghijk1".into(),
            generation: 3,
            limits: Limits {
                frame_bytes: 1 << 20,
                requests_in_flight: 64,
            },
            methods: vec!["activity".into(), "env/info".into()],
            phases: vec![Phase::done(PhaseName::Boot, at), clone],
        };
        insta::assert_json_snapshot!(initialized, @r#"
        {
          "protocol": "kalpana.bridge.v1",
          "version": "0.1.0",
          "workspace": "abcdefghijk1",
          "generation": 3,
          "limits": {
            "frame_bytes": 1048576,
            "requests_in_flight": 64
          },
          "methods": [
            "activity",
            "env/info"
          ],
          "phases": [
            {
              "name": "boot",
              "status": "done",
              "at": "2026-01-02T03:04:05Z"
            },
            {
              "name": "clone",
              "status": "running",
              "at": "2026-01-02T03:04:05Z",
              "detail": "Receiving objects: 45%"
            }
          ]
        }
        "#);
    }
}
