//! Figures while somebody watches: one reader for each workspace that is watched, however many watch
//! it, and none for those that nobody does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use kalpana_domain::id::{Generation, WorkspaceId};
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_protocol::figures::Now;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::meter::{Meter, Occasion};
use super::rates;
use super::read::Counters;
use crate::feed::Feeds;

/// How often a workspace is read that somebody watches.
const INTERVAL: Duration = Duration::from_secs(2);

/// How soon it is read the second time, which makes the first figures.
const FIRST: Duration = Duration::from_millis(500);

/// Reads for those who watch. Clones read together.
#[derive(Debug, Clone)]
pub(super) struct Live {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    meter: Arc<Meter>,
    feeds: Feeds,
    shutdown: CancellationToken,
    readers: Mutex<HashMap<WorkspaceId, watch::Sender<Option<Now>>>>,
}

/// One who watches a workspace. Whoever drops it does not watch any more.
#[derive(Debug)]
pub(crate) struct Watcher {
    news: watch::Receiver<Option<Now>>,
    meter: Arc<Meter>,
}

impl Watcher {
    /// Returns the figures that were not returned yet, waiting for them. `None` when there will be no
    /// more. What came meanwhile to one who was slow is left out.
    pub(crate) async fn next(&mut self) -> Option<Now> {
        loop {
            self.news.changed().await.ok()?;
            if let Some(now) = self.news.borrow_and_update().clone() {
                return Some(now);
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.meter.metrics.figures_watchers(-1);
    }
}

impl Live {
    pub(super) fn new(meter: Arc<Meter>, feeds: Feeds, shutdown: CancellationToken) -> Self {
        Self {
            shared: Arc::new(Shared {
                meter,
                feeds,
                shutdown,
                readers: Mutex::default(),
            }),
        }
    }

    /// Watches a workspace. What is known of it already comes at once.
    pub(super) fn watch(&self, workspace: WorkspaceId) -> Watcher {
        let mut readers = self.shared.lock();
        let mut news = match readers.get(&workspace) {
            Some(reader) => reader.subscribe(),
            None => {
                let (reader, news) = watch::channel(None);
                readers.insert(workspace, reader.clone());
                let shared = Arc::clone(&self.shared);
                tokio::spawn(async move { shared.follow(workspace, &reader).await });
                news
            }
        };
        news.mark_changed();
        drop(readers);
        self.shared.meter.metrics.figures_watchers(1);
        Watcher {
            news,
            meter: Arc::clone(&self.shared.meter),
        }
    }

    /// Tells whether nothing is read.
    #[cfg(test)]
    pub(super) fn is_at_rest(&self) -> bool {
        self.shared.lock().is_empty()
    }
}

impl Shared {
    /// Reads a workspace until nobody watches it.
    async fn follow(&self, workspace: WorkspaceId, reader: &watch::Sender<Option<Now>>) {
        let mut before = None;
        loop {
            let is_first = before.is_none();
            let now = self.look(workspace, &mut before).await;
            // A rate needs two readings. Nobody waits long for the second.
            let wait = if is_first && before.is_some() {
                FIRST
            } else {
                reader.send_if_modified(|told| {
                    let is_news = told.as_ref() != Some(&now);
                    *told = Some(now);
                    is_news
                });
                INTERVAL
            };
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                () = reader.closed() => {}
                () = tokio::time::sleep(wait) => continue,
            }
            // Under the lock, so that nobody comes to a reader that has left.
            let mut readers = self.lock();
            if reader.receiver_count() == 0 {
                readers.remove(&workspace);
                return;
            }
        }
        self.lock().remove(&workspace);
    }

    async fn look(
        &self,
        workspace: WorkspaceId,
        before: &mut Option<(Generation, Counters)>,
    ) -> Now {
        let known = self.feeds.published_lifecycle(workspace);
        let is_awake = known.as_ref().map(|known| match known.lifecycle {
            Lifecycle::Running { .. } => Some(true),
            Lifecycle::Paused { .. } => Some(false),
            _ => None,
        });
        let (Some(known), Some(Some(is_awake))) = (known, is_awake) else {
            *before = None;
            return Now::Stopped;
        };
        let counters = match self.meter.read(&known, Occasion::Live).await {
            Ok(counters) => counters,
            Err(error) => {
                *before = None;
                return Now::Unavailable {
                    reason: error.into(),
                };
            }
        };
        let earlier = before.replace((known.generation, counters));
        let earlier = earlier.filter(|(generation, _)| *generation == known.generation);
        let earlier = earlier.map(|(_, counters)| counters);
        let (limits, at) = (rates::limits(&counters), self.meter.clock.now());
        if is_awake {
            let sample = rates::sample(earlier.as_ref(), &counters, at);
            Now::Running { limits, sample }
        } else {
            let sample = rates::frozen(&counters, at);
            Now::Paused { limits, sample }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, watch::Sender<Option<Now>>>> {
        self.readers.lock().expect("no holder panics")
    }
}
