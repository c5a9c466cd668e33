//! What `serve` asks of `init` and hears from it, over the socketpair between them: JSON, each
//! message after its length in four bytes.
//!
//! The children belong to `init`, so they live on when `serve` dies; the next `serve` asks
//! [`Ask::List`] and takes them over.

use std::collections::BTreeMap;

use futures_util::{SinkExt as _, StreamExt as _};
use kalpana_protocol::bridge::LogSource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

/// Longest message, in bytes.
const MESSAGE_LIMIT: usize = 1 << 20;

/// A request of `serve`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// What the answer will be under.
    pub id: u64,
    /// What is asked.
    pub ask: Ask,
}

/// What can be asked of `init`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Start a child. Refused while one of the same name runs.
    Spawn(Spawn),
    /// Signal a child and everything in its process group.
    Signal {
        /// The child's name.
        name: String,
        /// What to send.
        signal: Stop,
    },
    /// Name the children that run.
    List,
}

/// A child to start as the workspace's user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spawn {
    /// What it is called from now on.
    pub name: String,
    /// Where its output goes in the log.
    pub source: LogSource,
    /// The program and its arguments; no shell is involved.
    pub argv: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// Where it starts.
    pub cwd: String,
}

/// How to end a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// What `serve` hears.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The answer to a request.
    Answer {
        /// The request's.
        id: u64,
        /// What came of it.
        outcome: Result<Answer, String>,
    },
    /// A child wrote a line. Left out when `serve` is slow.
    Output {
        /// Which child.
        name: String,
        /// The line.
        text: String,
        /// Whether the next line is meant to be written over it.
        is_transient: bool,
    },
    /// A child ended, and its output before this was all there is.
    Exited {
        /// Which child.
        name: String,
        /// How.
        status: ExitStatus,
    },
}

/// An answer of `init`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It runs.
    Spawned {
        /// Its process id.
        pid: i32,
    },
    /// It was sent.
    Signalled,
    /// These run.
    Children(Vec<Running>),
}

/// A child that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its name.
    pub name: String,
    /// Its process id.
    pub pid: i32,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// By itself.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl std::fmt::Display for ExitStatus {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(formatter, "exit code {code}"),
            Self::Signal(signal) => write!(formatter, "signal {signal}"),
        }
    }
}

/// The reading end.
pub struct Reader(FramedRead<OwnedReadHalf, LengthDelimitedCodec>);

/// The writing end.
pub struct Writer(FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>);

/// Splits the socket between `init` and `serve` into its ends.
pub fn channel(stream: UnixStream) -> (Reader, Writer) {
    let mut codec = LengthDelimitedCodec::new();
    codec.set_max_frame_length(MESSAGE_LIMIT);
    let (read, write) = stream.into_split();
    (
        Reader(FramedRead::new(read, codec.clone())),
        Writer(FramedWrite::new(write, codec)),
    )
}

impl Reader {
    /// Returns the next message, or `None` when the other side is gone or talks nonsense.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Option<T> {
        let frame = self.0.next().await?.ok()?;
        serde_json::from_slice(&frame).ok()
    }
}

impl Writer {
    /// Sends a message.
    ///
    /// # Errors
    /// If the other side is gone, or the message is longer than a message may be.
    pub async fn send<T: Serialize>(&mut self, message: &T) -> std::io::Result<()> {
        let frame = serde_json::to_vec(message)?;
        self.0.send(tokio_util::bytes::Bytes::from(frame)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_arrive_whole_and_nonsense_ends_the_channel() {
        let (left, right) = UnixStream::pair().unwrap();
        let (_keep, mut writer) = channel(left);
        let (mut reader, _) = channel(right);
        let request = Request {
            id: 1,
            ask: Ask::List,
        };
        writer.send(&request).await.unwrap();
        writer.send(&"nonsense").await.unwrap();
        assert_eq!(reader.next::<Request>().await, Some(request));
        assert_eq!(reader.next::<Request>().await, None);
    }

    #[tokio::test]
    async fn oversized_message_is_refused_by_the_sender() {
        let (left, _right) = UnixStream::pair().unwrap();
        let (_keep, mut writer) = channel(left);
        assert!(writer.send(&"x".repeat(MESSAGE_LIMIT)).await.is_err());
    }
}
