//! Figures: what each workspace uses of the machine.
//!
//! The kernel counts it, in the control groups of the container: [`tree`] finds them, [`read`] reads
//! them, and [`rates`] makes figures of two readings. [`meter`] does that for a workspace, wherever its
//! container is, and tells through [`kills`] what the kernel ended because memory was used up. [`live`]
//! reads every two seconds what somebody watches, and nothing else. Once a minute every running
//! workspace is read for its history, a [`ring`] in a file of its own, which [`histories`] keeps.
//!
//! Figures are for people. Nothing is decided by them, so nothing breaks where there are none.

pub(crate) mod histories;
pub(crate) mod kills;
mod live;
pub(crate) mod meter;
mod rates;
mod read;
pub(crate) mod ring;
pub(crate) mod tree;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kalpana_domain::id::{Generation, WorkspaceId};
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_protocol::figures::{self as told, Now, RESOLUTION, Unavailable};
use tokio_util::sync::CancellationToken;

pub(crate) use histories::Histories;
pub(crate) use live::Watcher;
pub(crate) use meter::Meter;

use crate::feed::{Feeds, Published};
use live::Live;
use meter::Occasion;
use read::Counters;
use ring::Record;

/// How long somebody waits for the figures of the moment.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known of how workspaces use the machine. Clones know the same.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    meter: Arc<Meter>,
    feeds: Feeds,
    live: Live,
    histories: Histories,
}

/// What was read of running workspaces a minute ago.
type Before = HashMap<WorkspaceId, (Generation, Counters)>;

impl Figures {
    /// Reads with `meter` and keeps histories in `histories`. Readers end at `shutdown`.
    pub(crate) fn new(
        meter: Meter,
        feeds: Feeds,
        histories: Histories,
        shutdown: CancellationToken,
    ) -> Self {
        let meter = Arc::new(meter);
        Self {
            live: Live::new(Arc::clone(&meter), feeds.clone(), shutdown),
            meter,
            feeds,
            histories,
        }
    }

    /// Watches a workspace.
    pub(crate) fn watch(&self, workspace: WorkspaceId) -> Watcher {
        self.live.watch(workspace)
    }

    /// Returns what a workspace uses, and what it used in the last day.
    pub(crate) async fn of(&self, workspace: WorkspaceId) -> told::Figures {
        let mut watcher = self.watch(workspace);
        let now = tokio::time::timeout(PATIENCE, watcher.next()).await;
        let now = now.ok().flatten().unwrap_or(Now::Unavailable {
            reason: Unavailable::EngineAway,
        });
        let records = self.records(workspace).await;
        let limits = match &now {
            Now::Running { limits, .. } | Now::Paused { limits, .. } => *limits,
            Now::Stopped | Now::Unavailable { .. } => {
                records.last().map(|last| last.limits).unwrap_or_default()
            }
        };
        told::Figures {
            now,
            limits,
            resolution: RESOLUTION,
            history: records.into_iter().map(|record| record.sample).collect(),
        }
    }

    async fn records(&self, workspace: WorkspaceId) -> Vec<Record> {
        let (histories, now) = (self.histories.clone(), self.meter.clock.now());
        let reading = tokio::task::spawn_blocking(move || histories.read(workspace, now));
        match reading.await {
            Ok(Ok(records)) => records,
            Ok(Err(error)) => {
                tracing::warn!(workspace.id = %workspace, %error, "could not read a history: {error}");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    /// Reads every running workspace once a minute, until `shutdown`.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        let mut before = Before::new();
        // What the first minute is compared with.
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = self.look(&mut before) => {}
        }
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(self.until_next_minute()) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.minute(&mut before) => {}
            }
        }
    }

    fn until_next_minute(&self) -> Duration {
        let since = self.meter.clock.now().as_millisecond().rem_euclid(60_000);
        Duration::from_millis(60_000 - since.unsigned_abs())
    }

    /// Reads every running workspace, and keeps what was read.
    async fn minute(&self, before: &mut Before) {
        let records = self.look(before).await;
        let histories = self.histories.clone();
        let writing = tokio::task::spawn_blocking(move || {
            let written = records
                .iter()
                .map(|(id, record)| histories.append(*id, record).err());
            // All are tried; one says what is the matter.
            written.collect::<Vec<_>>().into_iter().flatten().next()
        });
        if let Ok(Some(error)) = writing.await {
            tracing::warn!(%error, "could not keep the figures of a minute: {error}");
        }
    }

    /// Reads every running workspace.
    async fn look(&self, before: &mut Before) -> Vec<(WorkspaceId, Record)> {
        let mut all = self.feeds.published_lifecycles();
        all.retain(|known| {
            matches!(
                known.lifecycle,
                Lifecycle::Running { .. } | Lifecycle::Paused { .. }
            )
        });
        let there: HashMap<WorkspaceId, Generation> = all
            .iter()
            .map(|known| (known.workspace, known.generation))
            .collect();
        self.meter.retain(|id| there.contains_key(&id));
        all.retain(|known| matches!(known.lifecycle, Lifecycle::Running { .. }));
        // Who slept in between did nothing for as long, which is no figure of the minute after it.
        let running: HashSet<WorkspaceId> = all.iter().map(|known| known.workspace).collect();
        before.retain(|id, (generation, _)| {
            running.contains(id) && there.get(id) == Some(generation)
        });
        self.meter.find_all(&mut all).await;
        let mut records = Vec::with_capacity(all.len());
        for known in &all {
            records.extend(self.look_at(known, before).await);
        }
        records
    }

    async fn look_at(
        &self,
        known: &Published,
        before: &mut Before,
    ) -> Option<(WorkspaceId, Record)> {
        let id = known.workspace;
        // What cannot be read is absent from the history; whoever watches is told why.
        let Ok(counters) = self.meter.read(known, Occasion::History).await else {
            before.remove(&id);
            return None;
        };
        let earlier = before.insert(id, (known.generation, counters));
        let now = self.meter.clock.now();
        let record = Record {
            minute: ring::minute_of(now),
            limits: rates::limits(&counters),
            sample: rates::sample(
                earlier.map(|(_, counters)| counters).as_ref(),
                &counters,
                now,
            ),
        };
        Some((id, record))
    }
}

#[cfg(test)]
pub(crate) mod tests;
