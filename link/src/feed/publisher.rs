//! The side that knows: one state, its changes in order, and who has heard of them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State as Extract};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use bytes::Bytes;
use futures_util::StreamExt;
use http::StatusCode;
use kalpana_protocol::feed::{Acknowledgement, HEARTBEAT, Line};
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::server::Stopping;

/// Changes kept for readers that were away for a moment, and the most that a slow reader may be
/// behind before it gets a fresh snapshot instead: more than are published while a million routes
/// are told, at a thousand changes a second.
const BACKLOG: usize = 16_384;

/// Something that can be published: a whole, and how a change alters it.
pub trait State: Clone + Serialize + Send + Sync + 'static {
    /// One change.
    type Change: Clone + Serialize + Send + Sync + 'static;

    /// Makes the change.
    fn apply(&mut self, change: &Self::Change);

    /// Takes a part out of a whole that is too much for one line. `None` when what is left fits.
    fn split_off(&mut self) -> Option<Self> {
        None
    }
}

/// Publishes a state and its changes. Clones publish the same.
#[derive(Debug)]
pub struct Publisher<S: State> {
    shared: Arc<Shared<S>>,
}

impl<S: State> Clone for Publisher<S> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

#[derive(Debug)]
struct Shared<S: State> {
    epoch: u64,
    inner: Mutex<Inner<S>>,
    lines: broadcast::Sender<(u64, Bytes)>,
    /// Raised whenever a reader comes, goes or acknowledges.
    readers_changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner<S> {
    state: S,
    seq: u64,
    backlog: VecDeque<(u64, Bytes)>,
    readers: HashMap<String, Reader>,
}

#[derive(Debug, Default)]
struct Reader {
    connections: usize,
    acknowledged: u64,
}

/// Which readers have applied a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Readers that have.
    pub done: Vec<String>,
    /// Connected readers that have not said so in time.
    pub waiting: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Wanted {
    reader: String,
    epoch: Option<u64>,
    from: Option<u64>,
}

impl<S: State> Publisher<S> {
    /// Starts publishing from `state`.
    pub fn new(state: S) -> Self {
        let inner = Inner {
            state,
            seq: 0,
            backlog: VecDeque::new(),
            readers: HashMap::new(),
        };
        let shared = Shared {
            // 53 bits, so that the number survives readers that hold numbers as doubles.
            epoch: rand::random::<u64>() >> 11,
            inner: Mutex::new(inner),
            lines: broadcast::channel(BACKLOG).0,
            readers_changed: watch::channel(0).0,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Makes a change and tells every reader. Returns its place in line.
    pub fn publish(&self, change: S::Change) -> u64 {
        let mut inner = self.lock();
        inner.state.apply(&change);
        inner.seq += 1;
        let seq = inner.seq;
        let line = to_line::<S>(&Line::Change { seq, change });
        inner.backlog.push_back((seq, line.clone()));
        if inner.backlog.len() > BACKLOG {
            inner.backlog.pop_front();
        }
        // Sent under the lock, so that lines leave in order; there may be nobody to hear.
        let _ = self.shared.lines.send((seq, line));
        seq
    }

    /// Returns what is published now.
    pub fn state(&self) -> S {
        self.lock().state.clone()
    }

    /// Waits until every connected reader has applied `seq`, or `patience` is over.
    pub async fn wait_acknowledged(&self, seq: u64, patience: Duration) -> Acknowledged {
        let mut changed = self.shared.readers_changed.subscribe();
        let settled = async {
            while !self.acknowledged(seq).waiting.is_empty() {
                if changed.changed().await.is_err() {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(patience, settled).await;
        self.acknowledged(seq)
    }

    /// Returns the routes that serve this feed: `GET /` follows it, `POST /ack` acknowledges.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/", get(subscribe::<S>))
            .route("/ack", post(acknowledge::<S>))
            .with_state(self.clone())
    }

    fn acknowledged(&self, seq: u64) -> Acknowledged {
        let inner = self.lock();
        let connected = inner
            .readers
            .iter()
            .filter(|(_, reader)| reader.connections > 0);
        let (done, waiting): (Vec<_>, Vec<_>) =
            connected.partition(|(_, reader)| reader.acknowledged >= seq);
        let names = |readers: Vec<(&String, &Reader)>| {
            readers.into_iter().map(|(name, _)| name.clone()).collect()
        };
        Acknowledged {
            done: names(done),
            waiting: names(waiting),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        self.shared.inner.lock().expect("no holder panics")
    }

    fn connect(&self, wanted: &Wanted) -> Tail<S> {
        let mut inner = self.lock();
        let reader = inner.readers.entry(wanted.reader.clone()).or_default();
        reader.connections += 1;
        let continues = wanted.epoch == Some(self.shared.epoch);
        let oldest = inner.backlog.front().map_or(inner.seq + 1, |(seq, _)| *seq);
        let first = match wanted.from {
            Some(from) if continues && from <= inner.seq && from + 1 >= oldest => {
                let missed = inner.backlog.iter().filter(|(seq, _)| *seq > from);
                Ahead::Lines(missed.map(|(_, line)| line.clone()).collect())
            }
            _ => Ahead::Snapshot(inner.state.clone()),
        };
        // Subscribed under the lock: nothing published falls between.
        Tail {
            ahead: first,
            epoch: self.shared.epoch,
            seq: inner.seq,
            lines: self.shared.lines.subscribe(),
        }
    }

    /// Returns a snapshot and all that is published after it.
    fn start_over(&self) -> Tail<S> {
        let inner = self.lock();
        Tail {
            ahead: Ahead::Snapshot(inner.state.clone()),
            epoch: self.shared.epoch,
            seq: inner.seq,
            lines: self.shared.lines.subscribe(),
        }
    }

    fn disconnect(&self, reader: &str) {
        let mut inner = self.lock();
        if let Some(known) = inner.readers.get_mut(reader) {
            known.connections -= 1;
            if known.connections == 0 {
                inner.readers.remove(reader);
            }
        }
        drop(inner);
        self.shared.readers_changed.send_modify(|count| *count += 1);
    }
}

/// What a reader has still to hear.
struct Tail<S> {
    /// Before anything new.
    ahead: Ahead<S>,
    epoch: u64,
    /// The place in line of the last line that was sent, or is ahead.
    seq: u64,
    /// What is published after that.
    lines: broadcast::Receiver<(u64, Bytes)>,
}

/// Written out only as it is sent: a reader that is slow, or goes, costs no more than it takes.
enum Ahead<S> {
    Lines(VecDeque<Bytes>),
    Snapshot(S),
}

impl<S: State> Tail<S> {
    /// Returns a line that was ahead.
    fn next_ahead(&mut self) -> Option<Bytes> {
        let (line, is_last) = match &mut self.ahead {
            Ahead::Lines(lines) => return lines.pop_front(),
            Ahead::Snapshot(state) => match state.split_off() {
                Some(part) => (to_line::<S>(&Line::Part { state: part }), false),
                None => {
                    let (seq, epoch, state) = (self.seq, self.epoch, state.clone());
                    (to_line::<S>(&Line::Snapshot { seq, epoch, state }), true)
                }
            },
        };
        if is_last {
            self.ahead = Ahead::Lines(VecDeque::new());
        }
        Some(line)
    }
}

fn to_line<S: State>(line: &Line<S, S::Change>) -> Bytes {
    let mut text = serde_json::to_vec(line).expect("a published state is plain data");
    text.push(b'\n');
    text.into()
}

/// Takes the reader off the list when its connection ends, however it ends.
struct Connected<S: State> {
    publisher: Publisher<S>,
    reader: String,
}

impl<S: State> Drop for Connected<S> {
    fn drop(&mut self) {
        self.publisher.disconnect(&self.reader);
    }
}

async fn subscribe<S: State>(
    Extract(publisher): Extract<Publisher<S>>,
    stopping: Option<Extension<Stopping>>,
    Query(wanted): Query<Wanted>,
) -> Response {
    if wanted.reader.is_empty() || wanted.reader.len() > 100 {
        return (
            StatusCode::BAD_REQUEST,
            "a reader's name has 1 to 100 bytes",
        )
            .into_response();
    }
    let tail = publisher.connect(&wanted);
    let connected = Connected {
        publisher,
        reader: wanted.reader,
    };
    let stream =
        futures_util::stream::unfold((connected, tail), |(connected, mut tail)| async move {
            let line = next_line(&connected.publisher, &mut tail).await?;
            Some((Ok::<_, std::convert::Infallible>(line), (connected, tail)))
        });
    // Without a server of ours around it nothing ever asks to stop.
    let stopping = stopping.map_or_else(CancellationToken::new, |Extension(Stopping(token))| token);
    Body::from_stream(stream.take_until(stopping.cancelled_owned())).into_response()
}

async fn next_line<S: State>(publisher: &Publisher<S>, tail: &mut Tail<S>) -> Option<Bytes> {
    if let Some(line) = tail.next_ahead() {
        return Some(line);
    }
    match tokio::time::timeout(HEARTBEAT, tail.lines.recv()).await {
        Ok(Ok((seq, line))) => {
            tail.seq = seq;
            Some(line)
        }
        Ok(Err(broadcast::error::RecvError::Lagged(_))) => {
            // Too slow for the queue: start over from now.
            *tail = publisher.start_over();
            tail.next_ahead()
        }
        Ok(Err(broadcast::error::RecvError::Closed)) => None,
        Err(_) => Some(to_line::<S>(&Line::Heartbeat { seq: tail.seq })),
    }
}

async fn acknowledge<S: State>(
    Extract(publisher): Extract<Publisher<S>>,
    Json(heard): Json<Acknowledgement>,
) -> StatusCode {
    if heard.epoch == publisher.shared.epoch {
        let mut inner = publisher.lock();
        if let Some(reader) = inner.readers.get_mut(&heard.reader) {
            reader.acknowledged = reader.acknowledged.max(heard.seq);
        }
        drop(inner);
        publisher
            .shared
            .readers_changed
            .send_modify(|count| *count += 1);
    }
    StatusCode::NO_CONTENT
}
