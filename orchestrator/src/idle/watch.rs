//! Looks at every workspace that is awake or asleep now and then, and puts to sleep or stops whose
//! time has come.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use kalpana_domain::Timestamp;
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::sleep::{IdleTime, at_most};
use kalpana_protocol::bridge::work::WorkSummary;
use kalpana_protocol::orchestrator::{Awake, Wakefulness};
use tokio_util::sync::CancellationToken;

use super::ask::Insiders;
use super::signs::Register;
use super::{Timers, Verdict};
use crate::feed::Published;
use crate::intent::{Change, IntentError, Intents};
use crate::logs::Journal;
use crate::metrics::Metrics;
use crate::reconcile::describe;

/// Longest time between two looks.
const INTERVAL: Duration = Duration::from_secs(30);

/// How long after its time somebody is put to sleep: gateways tell who is there a few seconds later.
const MARGIN: Duration = Duration::from_secs(10);

/// How long a sleeper is left alone at least by a process that has just started, whatever the clock
/// says of how long it has slept.
const CLOCK_GRACE: Duration = Duration::from_secs(600);

/// Bridges that are asked at once.
const ASKED_AT_ONCE: usize = 16;

/// Looks for who is idle.
pub(crate) struct Watch {
    pub(crate) insiders: Arc<dyn Insiders>,
    pub(crate) register: Register,
    pub(crate) intents: Intents,
    pub(crate) journal: Journal,
    /// Tells whether a workspace's container cannot be frozen.
    pub(crate) cannot_pause: Arc<dyn Fn(WorkspaceId) -> bool + Send + Sync>,
    pub(crate) metrics: Metrics,
    /// What holds where an owner wants nothing else.
    pub(crate) timers: Timers,
    /// The longest that owners may want; `None`: for ever.
    pub(crate) limits: SleepLimits,
}

/// The longest that an owner may have their workspaces be idle; `None`: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SleepLimits {
    /// Until it is put to sleep.
    pub(crate) pause_after: Option<Duration>,
    /// From falling asleep until it is stopped.
    pub(crate) stop_after: Option<Duration>,
}

impl Watch {
    /// Looks until `shutdown`.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        let shortest = [self.timers.pause_after, self.timers.stop_after];
        let shortest = shortest.into_iter().flatten().min();
        // Short times are for people who try it out; they are not to wait for us as well.
        let interval = shortest.map_or(INTERVAL, |shortest| (shortest / 4).min(INTERVAL));
        let interval = interval.max(Duration::from_millis(250));
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(interval) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.look() => {}
            }
        }
    }

    /// Looks at everybody once.
    pub(crate) async fn look(&self) {
        let published = self.intents.feeds.published_lifecycles();
        let known: std::collections::HashSet<WorkspaceId> =
            published.iter().map(|known| known.workspace).collect();
        self.register.retain(|id| known.contains(&id));
        stream::iter(published)
            .for_each_concurrent(ASKED_AT_ONCE, |known| async move {
                self.look_at(&known).await;
            })
            .await;
    }

    async fn look_at(&self, known: &Published) {
        let due = match known.lifecycle {
            Lifecycle::Running { since } => {
                let verdict = self.judge(known, since).await;
                let margin = self
                    .timers_of(known)
                    .pause_after
                    .unwrap_or(MARGIN)
                    .min(MARGIN);
                let due = verdict.sleeps_at.map(|at| at.saturating_add(margin));
                if due.is_none_or(|due| self.register.now() < due) {
                    self.metrics.idle_decision(verdict.kind.as_str());
                    return;
                }
                // Only once all gateways have told who came until then.
                let heard = self.register.heard_until();
                if heard.is_none_or(|heard| due.is_some_and(|due| heard < due)) {
                    self.metrics.idle_decision("gateway_silent");
                    return;
                }
                Change::Pause
            }
            Lifecycle::Paused { since } => {
                let slept = self.slept(known, since);
                if self
                    .timers_of(known)
                    .stop_after
                    .is_none_or(|limit| slept < limit)
                {
                    return;
                }
                Change::Stop
            }
            _ => return,
        };
        match self.act(known, due).await {
            Ok(true) => self.metrics.idle_decision(match due {
                Change::Pause => "paused",
                _ => "stopped",
            }),
            Ok(false) => {}
            Err(error) => {
                let text = describe(&error);
                tracing::warn!(
                    workspace.id = %known.workspace, error = text,
                    "{} is idle, and stays as it is for now: {text}", known.workspace
                );
            }
        }
    }

    /// Carries out what is due, if the workspace is still as it was seen.
    async fn act(&self, known: &Published, change: Change) -> Result<bool, IntentError> {
        let Some(row) = self.intents.store.workspace(known.workspace).await? else {
            return Ok(false);
        };
        if row.lifecycle != known.lifecycle || row.sleep != known.sleep {
            return Ok(false);
        }
        let is_done = self.intents.change_by_itself(&row, change).await?;
        if is_done {
            let what = match change {
                Change::Pause => "put to sleep: nobody was there",
                _ => "stopped: it was asleep for long",
            };
            tracing::info!(workspace.id = %row.id, "{} is {what}", row.id);
            self.journal.note(row.id, self.intents.clock.now(), what);
        }
        Ok(is_done)
    }

    /// Asks a running workspace's bridge what goes on, and judges.
    async fn judge(&self, known: &Published, since: Timestamp) -> Verdict {
        let id = known.workspace;
        let activity = self.insiders.activity(id, known.generation).await;
        let now = self.register.now();
        let timers = self.timers_of(known);
        self.register.signs(id, since, |signs| {
            match activity {
                Some(activity) => signs.activity(&activity, now),
                None => signs.silent(now),
            }
            signs.judge(timers, now)
        })
    }

    /// Returns the timers of a workspace: its owner's, within what the site allows, or the site's. One
    /// whose container cannot be frozen is never put to sleep.
    fn timers_of(&self, known: &Published) -> Timers {
        let cannot_pause = (self.cannot_pause)(known.workspace);
        let wanted = |own: Option<IdleTime>, usual| own.map_or(usual, IdleTime::duration);
        let pause_after = wanted(known.sleep.pause_after, self.timers.pause_after);
        let stop_after = wanted(known.sleep.stop_after, self.timers.stop_after);
        Timers {
            pause_after: at_most(pause_after, self.limits.pause_after).filter(|_| !cannot_pause),
            stop_after: at_most(stop_after, self.limits.stop_after),
            ..self.timers
        }
    }

    /// Returns how long a workspace is asleep.
    fn slept(&self, known: &Published, since: Timestamp) -> Duration {
        let passed = self.intents.clock.now().duration_since(since);
        let passed = Duration::try_from(passed).unwrap_or_default();
        // The clock may be wrong: it stops nobody before somebody had time to set it.
        let stop_after = self.timers_of(known).stop_after.unwrap_or(Duration::MAX);
        let passed = passed.min(stop_after.saturating_sub(CLOCK_GRACE));
        self.register.asleep_for(known.workspace, since, passed)
    }

    /// Says why a workspace is awake and when it goes to sleep, or when it is stopped.
    pub(crate) async fn wakefulness(&self, id: WorkspaceId) -> Wakefulness {
        let Some(known) = self.intents.feeds.published_lifecycle(id) else {
            return Wakefulness::default();
        };
        match known.lifecycle {
            Lifecycle::Running { since } => {
                let verdict = self.judge(&known, since).await;
                Wakefulness {
                    awake: Some(Awake {
                        kind: verdict.kind,
                        text: verdict.text,
                        at: self.on_the_clock(verdict.at),
                    }),
                    pauses_at: verdict.sleeps_at.map(|at| self.on_the_clock(at)),
                    stops_at: None,
                }
            }
            Lifecycle::Paused { since } => {
                let slept = self.slept(&known, since);
                let left = self
                    .timers_of(&known)
                    .stop_after
                    .map(|limit| limit.saturating_sub(slept));
                let stops_at = left.map(|left| self.on_the_clock(self.register.now() + left));
                Wakefulness {
                    stops_at,
                    ..Wakefulness::default()
                }
            }
            _ => Wakefulness::default(),
        }
    }

    /// Returns what is in the repositories of a workspace and nowhere else; `None` where nobody can
    /// look, as in one that does not run.
    pub(crate) async fn work(&self, id: WorkspaceId) -> Option<WorkSummary> {
        let known = self.intents.feeds.published_lifecycle(id)?;
        match known.lifecycle {
            Lifecycle::Running { .. } => self.insiders.work(id, known.generation).await,
            _ => None,
        }
    }

    /// Returns what the clock shows at a moment of uptime, RFC 3339.
    fn on_the_clock(&self, moment: Duration) -> String {
        let (now, uptime) = (self.intents.clock.now(), self.register.now());
        let moment = match moment.checked_sub(uptime) {
            Some(ahead) => now.checked_add(ahead),
            None => now.checked_sub(uptime - moment),
        };
        moment.unwrap_or(now).to_string()
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Watch").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
