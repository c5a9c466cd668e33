//! Fetches what was missed, from the workspace that missed it, and keeps it if the image vouches for
//! it.
//!
//! Whom to ask is taken from the permit of the request that missed. What a workspace does wrong
//! here costs only itself: it is not asked again for a while, and its own requests are served by
//! itself, as they would be without a cache. How much is fetched at once, for how long, and how much
//! may wait is bounded.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use kalpana_bridge_client::{Bridge, ConnectError};
use kalpana_domain::clock::Clock;
use kalpana_protocol::preamble::Target;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::cache::{Asset, Cache, Mismatch};
use super::manifest::{self, Digest, InvalidManifest, Manifest, Place};
use crate::metrics::Metrics;
use crate::upstream::CONNECT_LIMIT;

/// Largest file that is kept. The editor's largest has 19 MB.
const ASSET_LIMIT_BYTES: u32 = 32 << 20;

/// Files that are fetched at the same time. Each is held in memory whole until it is compressed.
const AT_ONCE: usize = 4;

/// Files that may wait to be fetched; an editor that opens asks for some dozens.
const WAITING: usize = 512;

/// Longest time that one file may take from its workspace.
const FETCH_LIMIT: Duration = Duration::from_secs(20);

/// How long a workspace that did not give what it should is not asked again.
const UNFIT_FOR: Duration = Duration::from_secs(300);

/// Workspaces that are remembered as such.
const UNFIT_LIMIT: u64 = 4096;

/// A file that was missed.
#[derive(Debug, Clone)]
pub struct Job {
    /// Whom to ask for it.
    pub bridge: Bridge,
    /// The workspace's host.
    pub host: String,
    /// The hash of the list that it should be on.
    pub manifest: Digest,
    /// The static root that it is below.
    pub root: String,
    /// Its path there.
    pub path: String,
}

impl Job {
    fn key(&self) -> (Digest, String) {
        (self.manifest, self.path.clone())
    }
}

/// Why a file was not kept.
#[derive(Debug, thiserror::Error)]
enum FillError {
    #[error("the workspace cannot be reached")]
    Connect(#[from] ConnectError),
    #[error("the path makes no request")]
    Path(#[from] http::Error),
    #[error("the workspace broke off")]
    Http(#[from] hyper::Error),
    #[error("the workspace took longer than {} s", FETCH_LIMIT.as_secs())]
    TimedOut,
    #[error("the workspace answered {0}")]
    Status(StatusCode),
    #[error("the workspace compressed it unasked")]
    Encoded,
    #[error("the workspace sent more than {limit} bytes")]
    TooLong { limit: u32 },
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    #[error(transparent)]
    Manifest(#[from] InvalidManifest),
    #[error("what compresses it stopped")]
    Compression(#[source] tokio::task::JoinError),
}

impl FillError {
    /// Tells whether the workspace did what no workspace of its image does, or held up the others.
    fn is_unfit(&self) -> bool {
        matches!(
            self,
            Self::Mismatch(_) | Self::TooLong { .. } | Self::Encoded | Self::TimedOut
        )
    }
}

/// How a job ended well.
enum Filled {
    Kept,
    /// The list does not have it, or has it as too large.
    NotListed,
}

/// What waits to be fetched, each file once.
#[derive(Debug)]
pub struct Queue {
    waiting: Mutex<HashSet<(Digest, String)>>,
    jobs: mpsc::Sender<Job>,
}

impl Queue {
    /// Has a file fetched, unless it is under way or too many are.
    pub fn ask(&self, job: Job) {
        let mut waiting = self.waiting.lock().expect("no holder panics");
        let key = job.key();
        if !waiting.contains(&key) && self.jobs.try_send(job).is_ok() {
            waiting.insert(key);
        }
    }

    fn done(&self, job: &Job) {
        let mut waiting = self.waiting.lock().expect("no holder panics");
        waiting.remove(&job.key());
    }
}

/// Makes a queue, and what works it off into `cache`.
pub fn queue(cache: Arc<Cache>, clock: Arc<dyn Clock>, metrics: Metrics) -> (Arc<Queue>, Filler) {
    let (sender, jobs) = mpsc::channel(WAITING);
    let queue = Arc::new(Queue {
        waiting: Mutex::default(),
        jobs: sender,
    });
    let fetcher = Fetcher {
        queue: Arc::clone(&queue),
        cache,
        clock,
        metrics,
        listing: tokio::sync::Mutex::default(),
        unfit: moka::sync::Cache::builder()
            .max_capacity(UNFIT_LIMIT)
            .time_to_live(UNFIT_FOR)
            .build(),
    };
    (queue, Filler { jobs, fetcher })
}

/// Works off what is missed.
#[derive(Debug)]
pub struct Filler {
    jobs: mpsc::Receiver<Job>,
    fetcher: Fetcher,
}

struct Fetcher {
    queue: Arc<Queue>,
    cache: Arc<Cache>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    /// Held while a list is fetched, so that those who need the same wait for it.
    listing: tokio::sync::Mutex<()>,
    unfit: moka::sync::Cache<String, ()>,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Fetcher")
            .field("queue", &self.queue)
            .field("unfit", &self.unfit.entry_count())
            .finish_non_exhaustive()
    }
}

impl Filler {
    /// Fills the cache until `until` is cancelled.
    pub async fn run(mut self, until: CancellationToken) {
        let fetcher = &self.fetcher;
        let jobs = stream::poll_fn(|context| self.jobs.poll_recv(context));
        let work = jobs.for_each_concurrent(AT_ONCE, |job| fetcher.perform(job));
        tokio::select! {
            () = until.cancelled() => {}
            () = work => {}
        }
    }
}

impl Fetcher {
    async fn perform(&self, job: Job) {
        let workspace = &job.bridge.workspace;
        let outcome = if self.unfit.contains_key(workspace) {
            "skipped"
        } else {
            match self.fill(&job).await {
                Ok(Filled::Kept) => "kept",
                Ok(Filled::NotListed) => "not_listed",
                Err(error) if error.is_unfit() => {
                    self.unfit.insert(workspace.clone(), ());
                    tracing::warn!(
                        workspace.id = %workspace, path = job.path, %error,
                        "nothing of {workspace}'s editor is kept for others for a while: {error}"
                    );
                    "unfit"
                }
                Err(error) => {
                    tracing::info!(
                        workspace.id = %workspace, path = job.path, %error,
                        "a file of the editor could not be fetched from {workspace}: {error}"
                    );
                    "failed"
                }
            }
        };
        self.queue.done(&job);
        self.metrics.asset_filled(outcome, self.cache.bytes());
    }

    async fn fill(&self, job: &Job) -> Result<Filled, FillError> {
        let manifest = self.manifest(job).await?;
        let place = Place {
            root: &job.root,
            path: &job.path,
        };
        let listed = manifest.find(place);
        let Some(file) = listed.filter(|file| file.bytes <= ASSET_LIMIT_BYTES) else {
            return Ok(Filled::NotListed);
        };
        // Another path may have the same content.
        if self.cache.asset(file.hash).is_none() {
            let bytes = self.fetch(job, &job.path, file.bytes).await?;
            let verified = tokio::task::spawn_blocking(move || Asset::verify(bytes, file));
            let asset = verified.await.map_err(FillError::Compression)??;
            self.cache.keep(asset);
        }
        Ok(Filled::Kept)
    }

    /// Returns the list that a job's workspace should have, and fetches it if nobody has yet.
    async fn manifest(&self, job: &Job) -> Result<Arc<Manifest>, FillError> {
        if let Some(known) = self.cache.manifest(job.manifest) {
            return Ok(known);
        }
        let _listing = self.listing.lock().await;
        if let Some(known) = self.cache.manifest(job.manifest) {
            return Ok(known);
        }
        let bytes = self
            .fetch(job, manifest::PATH, manifest::LIMIT_BYTES)
            .await?;
        if Digest::of(&bytes) != job.manifest {
            return Err(Mismatch.into());
        }
        let manifest = Arc::new(Manifest::parse(&bytes)?);
        self.cache
            .keep_manifest(job.manifest, Arc::clone(&manifest));
        Ok(manifest)
    }

    /// Returns a file below the job's static root, whatever it is.
    async fn fetch(&self, job: &Job, path: &str, limit: u32) -> Result<Vec<u8>, FillError> {
        let now = self.clock.now();
        let stream = job
            .bridge
            .connect(Target::Editor, now, CONNECT_LIMIT)
            .await?;
        let exchange = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            // With nothing of the client's in it: neither cookies nor what it accepts.
            let request = Request::get(format!("{}{path}", job.root))
                .header(HOST, &job.host)
                .header(ACCEPT_ENCODING, "identity")
                .body(Empty::<Bytes>::new())?;
            let reading = async move {
                let answer = sender.send_request(request).await?;
                if answer.status() != StatusCode::OK {
                    return Err(FillError::Status(answer.status()));
                }
                if answer.headers().contains_key(CONTENT_ENCODING) {
                    return Err(FillError::Encoded);
                }
                read(answer.into_body(), limit).await
            };
            // The connection ends when the sender is dropped, so neither outlives the other.
            let (_, read) = tokio::join!(connection, reading);
            read
        };
        tokio::time::timeout(FETCH_LIMIT, exchange)
            .await
            .map_err(|_| FillError::TimedOut)?
    }
}

async fn read(mut body: hyper::body::Incoming, limit: u32) -> Result<Vec<u8>, FillError> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if bytes.len() + data.len() > limit as usize {
                return Err(FillError::TooLong { limit });
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}
