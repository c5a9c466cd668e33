//! Runs passes: one worker for each workspace that needs one, woken by intents, by events of the
//! engine and by the clock.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::StreamExt as _;
use kalpana_domain::id::WorkspaceId;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Outcome, Reconciler, describe};

/// How long after an event of the engine its lists are looked at again.
const SECOND_LOOK: Duration = Duration::from_millis(500);

/// First and longest wait after a pass that failed.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(15));

/// How often a workspace that is not settled is looked at, whatever is heard of it.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Hands out work. Clones hand out the same.
#[derive(Debug, Clone)]
pub(crate) struct Work(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    reconciler: Arc<Reconciler>,
    workers: Mutex<HashMap<WorkspaceId, Worker>>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    sweep: Notify,
}

#[derive(Debug)]
struct Worker {
    news: Arc<Notify>,
    /// Whether there is news that no pass has begun to look at.
    has_news: bool,
}

impl Work {
    /// Makes a hand that has no work yet.
    pub(crate) fn new(reconciler: Arc<Reconciler>, shutdown: CancellationToken) -> Self {
        Self(Arc::new(Shared {
            reconciler,
            workers: Mutex::default(),
            tasks: TaskTracker::new(),
            shutdown,
            sweep: Notify::new(),
        }))
    }

    /// Says that something may have changed for a workspace.
    pub(crate) fn wake(&self, id: WorkspaceId) {
        let mut workers = self.lock();
        if let Some(worker) = workers.get_mut(&id) {
            worker.has_news = true;
            worker.news.notify_one();
            return;
        }
        let news = Arc::new(Notify::new());
        workers.insert(
            id,
            Worker {
                news: Arc::clone(&news),
                has_news: true,
            },
        );
        let (this, shutdown) = (self.clone(), self.0.shutdown.clone());
        // A pass may be cut short at any point; that is what it is made for.
        self.0.tasks.spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = this.run(id, &news) => {}
            }
        });
    }

    /// Has everything compared soon.
    pub(crate) fn look_soon(&self) {
        self.0.sweep.notify_one();
    }

    /// Waits until no work is under way. To be called after the shutdown.
    pub(crate) async fn ended(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    async fn run(&self, id: WorkspaceId, news: &Notify) {
        let mut failures = 0;
        loop {
            if let Some(worker) = self.lock().get_mut(&id) {
                worker.has_news = false;
            }
            let outcome = self.0.reconciler.pass(id).await;
            failures = if outcome == Outcome::Failed {
                failures + 1
            } else {
                0
            };
            let wait = match outcome {
                Outcome::Settled if self.retire(id) => return,
                Outcome::Settled => continue,
                Outcome::Failed => backoff(failures, rand::random_range(0.5..1.0)),
                Outcome::Waiting(limit) => limit.min(LOOK_AGAIN),
                Outcome::Queued => {
                    let starts = Arc::clone(&self.0.reconciler.starts);
                    tokio::select! {
                        () = news.notified() => {}
                        // Given back at once: the pass takes its own.
                        _ = starts.acquire() => {}
                        () = tokio::time::sleep(LOOK_AGAIN) => {}
                    }
                    continue;
                }
            };
            tokio::select! {
                () = news.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Ends a worker, unless there is news.
    fn retire(&self, id: WorkspaceId) -> bool {
        let mut workers = self.lock();
        let has_news = workers.get(&id).is_some_and(|worker| worker.has_news);
        if !has_news {
            workers.remove(&id);
        }
        !has_news
    }

    /// Compares everything, each `interval` and whenever the engine's events were cut, until the
    /// shutdown. `is_store_up` hears whether the store answered.
    pub(crate) async fn sweep(&self, interval: Duration, is_store_up: &watch::Sender<bool>) {
        let mut is_up = true;
        loop {
            is_up = self.look_around(is_up).await;
            is_store_up.send_if_modified(|known| std::mem::replace(known, is_up) != is_up);
            let counts = self.0.reconciler.feeds.counts();
            self.0.reconciler.metrics.workspaces_by_state(&counts);
            let soon = if is_up {
                interval
            } else {
                interval.min(Duration::from_secs(1))
            };
            tokio::select! {
                () = self.0.shutdown.cancelled() => return,
                () = self.0.sweep.notified() => {}
                () = tokio::time::sleep(soon) => {}
            }
        }
    }

    /// Wakes a worker for whatever the store or the engine knows of. Returns whether the store
    /// answered, and says so when it is not as before.
    async fn look_around(&self, was_store_up: bool) -> bool {
        let reconciler = &self.0.reconciler;
        let mut ids = HashSet::new();
        let rows = reconciler.store.all_workspaces().await;
        let is_store_up = match rows {
            Ok(rows) => {
                ids.extend(rows.iter().map(|row| row.id));
                if !was_store_up {
                    tracing::info!("the store lists workspaces again");
                }
                true
            }
            Err(error) => {
                if was_store_up {
                    let error = describe(&error);
                    tracing::error!(
                        error,
                        "the store does not list workspaces; those that run go on: {error}"
                    );
                }
                false
            }
        };
        let containers = reconciler.engine.containers(None).await;
        reconciler.engine_answered(containers.as_ref().err());
        ids.extend(
            containers
                .iter()
                .flatten()
                .filter_map(|container| container.workspace),
        );
        if let Ok(networks) = reconciler.engine.networks().await {
            ids.extend(networks.into_iter().filter_map(|network| network.workspace));
        }
        for id in ids {
            self.wake(id);
        }
        is_store_up
    }

    /// Wakes workers by what the engine tells, until the shutdown.
    pub(crate) async fn listen(&self) {
        let mut failures = 0;
        loop {
            let mut events = self.0.reconciler.engine.events();
            // What happened while nobody listened is found by looking.
            self.0.sweep.notify_one();
            loop {
                let event = tokio::select! {
                    () = self.0.shutdown.cancelled() => return,
                    event = events.next() => event,
                };
                match event {
                    Some(Ok(event)) => {
                        failures = 0;
                        if let Some(id) = event.workspace {
                            self.wake(id);
                            self.wake_later(id);
                        }
                    }
                    Some(Err(error)) => {
                        self.0.reconciler.engine_answered(Some(&error));
                        break;
                    }
                    None => break,
                }
            }
            failures += 1;
            let wait = backoff(failures, rand::random_range(0.5..1.0));
            tokio::select! {
                () = self.0.shutdown.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Wakes a worker again in a moment: the engine tells of a death before its own lists show it,
    /// so a look at once may still see the container running.
    fn wake_later(&self, id: WorkspaceId) {
        let this = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = this.0.shutdown.cancelled() => {}
                () = tokio::time::sleep(SECOND_LOOK) => this.wake(id),
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Worker>> {
        self.0.workers.lock().expect("no holder panics")
    }
}

/// Returns how long to wait after `failures` in a row. `jitter`, from 0 to 1, spreads those who
/// failed together.
fn backoff(failures: u32, jitter: f64) -> Duration {
    let doubled = BACKOFF
        .0
        .saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(BACKOFF.1).mul_f64(jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit() {
        let waits: Vec<u128> = (1..=9).map(|n| backoff(n, 1.0).as_millis()).collect();
        assert_eq!(
            waits,
            [200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000]
        );
        assert_eq!(backoff(u32::MAX, 0.5), BACKOFF.1 / 2);
    }
}
