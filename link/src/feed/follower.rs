//! The side that listens: dials, applies, acknowledges, and dials again when the line is cut.

use std::io;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use http::Method;
use http_body_util::BodyExt;
use kalpana_protocol::feed::{Acknowledgement, LINE_LIMIT, Line, SILENCE_LIMIT};
use serde::de::DeserializeOwned;
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;

use crate::client::{CallError, Client};

/// Shortest and longest wait before dialling again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What is done with what is heard. Called in order, from one task, and must not block.
pub trait Follow: Send + Sync {
    /// The whole state.
    type State: DeserializeOwned + Send;
    /// One change.
    type Change: DeserializeOwned + Send;

    /// Replaces all that was known, by this and the parts heard since the line is up.
    fn snapshot(&self, state: Self::State);

    /// Takes a part of the snapshot that is still to come. Returns whether it could: only who
    /// follows a feed of many things reads it in parts.
    fn part(&self, _part: Self::State) -> bool {
        false
    }

    /// Makes one change.
    fn change(&self, change: Self::Change);

    /// Says whether the line is up. Facts heard before it went down stay in force.
    fn connected(&self, is_connected: bool);
}

/// Follows the feed at `path` of the process behind `client` until `shutdown`.
///
/// `reader` names this process among the publisher's readers. What was applied is acknowledged,
/// once for all the lines that arrived together.
pub async fn follow<F: Follow>(
    client: Client,
    path: &str,
    reader: &str,
    follower: &F,
    shutdown: CancellationToken,
) {
    let mut place = Place {
        epoch: None,
        seq: 0,
    };
    let mut wait = BACKOFF.0;
    while !shutdown.is_cancelled() {
        let heard_before = place.seq;
        let outcome = tokio::select! {
            () = shutdown.cancelled() => return,
            outcome = follow_once(&client, path, reader, follower, &mut place) => outcome,
        };
        follower.connected(false);
        let error = match outcome {
            Ok(()) => "the publisher closed it".to_owned(),
            Err(error) => describe(&error),
        };
        let peer = client.peer();
        tracing::warn!(
            peer,
            path,
            error,
            "lost the feed {path} of {peer}, dialling again: {error}"
        );
        wait = if place.seq == heard_before {
            (wait * 2).min(BACKOFF.1)
        } else {
            BACKOFF.0
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(wait.mul_f64(rand::random_range(0.5..1.0))) => {}
        }
    }
}

struct Place {
    epoch: Option<u64>,
    seq: u64,
}

async fn follow_once<F: Follow>(
    client: &Client,
    path: &str,
    reader: &str,
    follower: &F,
    place: &mut Place,
) -> Result<(), CallError> {
    let from = place
        .epoch
        .map(|epoch| format!("&epoch={epoch}&from={}", place.seq));
    let url = format!("{path}?reader={reader}{}", from.unwrap_or_default());
    let response = client.stream(&url, None).await?;
    let bytes = response
        .into_body()
        .into_data_stream()
        .map_err(io::Error::other);
    let mut lines = FramedRead::new(
        StreamReader::new(bytes),
        LinesCodec::new_with_max_length(LINE_LIMIT),
    );
    follower.connected(true);
    let mut unacknowledged = false;
    loop {
        // Acknowledge when nothing more is waiting, so that a burst costs one call.
        let next = if unacknowledged {
            match futures_util::poll!(lines.next()) {
                std::task::Poll::Ready(next) => next,
                std::task::Poll::Pending => {
                    acknowledge(client, path, reader, place).await?;
                    unacknowledged = false;
                    continue;
                }
            }
        } else {
            tokio::time::timeout(SILENCE_LIMIT, lines.next())
                .await
                .map_err(|elapsed| client.unavailable(elapsed))?
        };
        let Some(line) = next else { return Ok(()) };
        let line = line.map_err(|error| client.unavailable(error))?;
        let line: Line<F::State, F::Change> =
            serde_json::from_str(&line).map_err(|source| CallError::Unreadable {
                peer: client.peer(),
                source: source.into(),
            })?;
        unacknowledged |= apply(client, follower, place, line)?;
    }
}

/// Applies one line; returns whether there is something to acknowledge.
fn apply<F: Follow>(
    client: &Client,
    follower: &F,
    place: &mut Place,
    line: Line<F::State, F::Change>,
) -> Result<bool, CallError> {
    match line {
        Line::Part { state } => {
            // Until the whole was heard, what we know is of no one moment.
            place.epoch = None;
            match follower.part(state) {
                true => Ok(false),
                false => Err(client.unavailable("a feed that comes in parts")),
            }
        }
        Line::Snapshot { seq, epoch, state } => {
            follower.snapshot(state);
            *place = Place {
                epoch: Some(epoch),
                seq,
            };
            Ok(true)
        }
        Line::Change { seq, change } if place.epoch.is_some() && seq == place.seq + 1 => {
            follower.change(change);
            place.seq = seq;
            Ok(true)
        }
        Line::Heartbeat { seq } if seq == place.seq => Ok(false),
        Line::Change { .. } | Line::Heartbeat { .. } => {
            // A line is missing: what we know may be wrong, so ask for everything.
            place.epoch = None;
            Err(client.unavailable("a line of the feed is missing"))
        }
    }
}

async fn acknowledge(
    client: &Client,
    path: &str,
    reader: &str,
    place: &Place,
) -> Result<(), CallError> {
    let Some(epoch) = place.epoch else {
        return Ok(());
    };
    let heard = Acknowledgement {
        reader: reader.to_owned(),
        epoch,
        seq: place.seq,
    };
    client
        .call(Method::POST, &format!("{path}/ack"), None, Some(&heard))
        .await
}

fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
