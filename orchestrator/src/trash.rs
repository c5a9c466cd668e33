//! The trash: when the volumes of deleted workspaces go.
//!
//! A deletion leaves the volumes. Here, and nowhere else, they are removed: once their workspace was
//! given up, which is written down first, by its owner or when its time is over. Volumes of living
//! workspaces, and volumes of which nothing is known, stay: those may belong to a store that was
//! restored from an older backup, and are for people to look at.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use kalpana_domain::Timestamp;
use kalpana_domain::audit::{Actor, AuditAction, AuditEvent};
use kalpana_domain::clock::Clock;
use kalpana_domain::id::{AuditId, WorkspaceId};
use kalpana_domain::workspace::{Desired, Workspace};
use kalpana_store::records::DeletedWorkspace;
use kalpana_store::repository::{Trash, Workspaces};
use kalpana_store::{StoreError, StoreResult};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::engine::{EngineError, EngineResult};
use crate::figures::Histories;
use crate::metrics::Metrics;
use crate::reconcile::describe;
use crate::snapshot::Shelf;
use crate::snapshot::shelf::ShelfError;
use crate::uptime::Uptime;

/// How often the trash is looked through.
const INTERVAL: Duration = Duration::from_secs(10 * 60);

/// By how much the clock may part from the time that passed, between two looks.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_hours(1);

/// For how long nothing is given up by its time after the clock jumped: a wrong date must not empty
/// the trash before somebody sets it right.
const DISTRUST: Duration = Duration::from_secs(24 * 3600);

/// The volumes of an engine. Apart from what carries out starts and stops, which thus cannot remove
/// one by mistake.
#[async_trait]
pub(crate) trait Volumes: fmt::Debug + Send + Sync {
    /// Lists the volumes of this instance that are a workspace's.
    async fn volumes(&self) -> EngineResult<Vec<VolumeSeen>>;

    /// Removes a volume and all that is in it. One that is not there is fine; one that a container
    /// uses is a conflict.
    async fn remove_volume(&self, name: &str) -> EngineResult<()>;
}

/// A volume of a workspace, as the engine lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VolumeSeen {
    /// Its name.
    pub(crate) name: String,
    /// The workspace on its label.
    pub(crate) workspace: WorkspaceId,
}

/// What is to become of a workspace's volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Its workspace lives.
    InUse,
    /// It can be restored.
    InTrash,
    /// Nothing is known of it.
    Unknown,
    /// Its time is over: it is to be given up, then removed.
    Due,
    /// It was given up.
    GivenUp,
}

/// Judges the volumes of a deleted workspace. `before` is when it must have been deleted for its time
/// to be over; `None` while the clock is not believed.
fn judge(deleted: &DeletedWorkspace, before: Option<Timestamp>) -> Verdict {
    if deleted.workspace.desired == Desired::Purged {
        Verdict::GivenUp
    } else if before.is_some_and(|before| deleted.deleted_at < before) {
        Verdict::Due
    } else {
        Verdict::InTrash
    }
}

/// Looks through the trash.
pub(crate) struct Emptier {
    pub(crate) volumes: Arc<dyn Volumes>,
    pub(crate) workspaces: Arc<dyn Workspaces>,
    pub(crate) trash: Arc<dyn Trash>,
    pub(crate) shelf: Shelf,
    pub(crate) histories: Histories,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) uptime: Arc<dyn Uptime>,
    pub(crate) metrics: Metrics,
    /// How long a deleted workspace can be restored.
    pub(crate) retention: Duration,
    /// Tells when something was given up.
    pub(crate) given_up: Arc<Notify>,
}

/// What is remembered from look to look. All of it can be lost at any time.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    last: Option<(Timestamp, Duration)>,
    /// Until when the clock is not believed, in uptime.
    distrusted_until: Duration,
    /// Volumes of which it was said that nothing is known of them.
    reported: BTreeSet<String>,
}

impl Looked {
    /// Takes the time of a look. Returns whether it is believed, by how the clock went since the last
    /// one. The first is not: a machine that has just started may not know the date yet.
    fn believes(&mut self, now: Timestamp, uptime: Duration) -> bool {
        let Some((then, up)) = self.last.replace((now, uptime)) else {
            return false;
        };
        let passed = SignedDuration::try_from(uptime.saturating_sub(up)).unwrap_or_default();
        let parted = (now.duration_since(then) - passed).abs();
        if parted > CLOCK_TOLERANCE {
            tracing::warn!(
                "the clock jumped by {} s, so nothing leaves the trash by its time for a day",
                parted.as_secs()
            );
            self.distrusted_until = uptime + DISTRUST;
        }
        uptime >= self.distrusted_until
    }
}

impl Emptier {
    /// Looks through the trash now and then, until `shutdown`.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        let mut looked = Looked::default();
        loop {
            let look = self.look(&mut looked);
            let wait = tokio::select! {
                () = shutdown.cancelled() => return,
                ended = look => match ended {
                    Ok(()) => INTERVAL,
                    Err(error) => {
                        let error = describe(&error);
                        tracing::warn!(error, "could not look through the trash, trying again: {error}");
                        INTERVAL / 10
                    }
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.given_up.notified() => {}
                () = tokio::time::sleep(wait.min(self.retention.max(Duration::from_secs(1)))) => {}
            }
        }
    }

    /// Judges every volume once, and removes what was given up.
    ///
    /// # Errors
    /// [`LookError`]; what was not looked at is looked at the next time.
    pub(crate) async fn look(&self, looked: &mut Looked) -> Result<(), LookError> {
        let now = self.clock.now();
        let before = looked
            .believes(now, self.uptime.now())
            .then(|| SignedDuration::try_from(self.retention).ok())
            .flatten()
            .and_then(|retention| now.checked_sub(retention).ok());
        // In this order: what is made meanwhile is listed as living, or not at all.
        let mut by_workspace: BTreeMap<WorkspaceId, Vec<String>> = BTreeMap::new();
        for volume in self.volumes.volumes().await? {
            by_workspace
                .entry(volume.workspace)
                .or_default()
                .push(volume.name);
        }
        for workspace in self.shelf.workspaces()? {
            by_workspace.entry(workspace).or_default();
        }
        // Figures are not worth a volume that nobody removes: without their list they wait, nothing else.
        let with_history = self.histories.workspaces().unwrap_or_else(|error| {
            tracing::warn!(%error, "could not list histories, leaving those of deleted workspaces: {error}");
            Vec::new()
        });
        for workspace in with_history {
            by_workspace.entry(workspace).or_default();
        }
        let living = self.workspaces.all_workspaces().await?;
        // Snapshots that a workspace is still to be filled from.
        let filling = living
            .iter()
            .filter_map(|row| Some(row.filled_from?.workspace));
        let needed: BTreeSet<WorkspaceId> = filling.collect();
        let living: BTreeSet<WorkspaceId> = living.into_iter().map(|row| row.id).collect();
        let mut counts = BTreeMap::from([("in_use", 0), ("in_trash", 0), ("unknown", 0)]);
        for (id, names) in by_workspace {
            let verdict = match living.contains(&id) {
                true => Verdict::InUse,
                false => match self.settle(id, now, before).await? {
                    Some(verdict) => verdict,
                    None => continue,
                },
            };
            let kind = match verdict {
                Verdict::Due | Verdict::GivenUp => {
                    self.remove(id, &names, needed.contains(&id)).await;
                    continue;
                }
                Verdict::InUse => "in_use",
                Verdict::InTrash => "in_trash",
                Verdict::Unknown => {
                    let fresh = |name: &&String| looked.reported.insert((*name).clone());
                    for name in names.iter().filter(fresh) {
                        tracing::warn!(
                            workspace.id = %id, volume = name,
                            "the volume {name} belongs to no workspace that the store knows of; it \
                             is kept, and `docker volume rm {name}` removes it"
                        );
                    }
                    "unknown"
                }
            };
            *counts.entry(kind).or_default() += i64::try_from(names.len()).unwrap_or(i64::MAX);
        }
        self.metrics.volumes(&counts);
        Ok(())
    }

    /// Says what is to become of the volumes of a workspace that does not live, and gives them up
    /// when their time is over. `None` when something else has just become of them.
    async fn settle(
        &self,
        id: WorkspaceId,
        now: Timestamp,
        before: Option<Timestamp>,
    ) -> StoreResult<Option<Verdict>> {
        let Some(deleted) = self.trash.deleted_workspace(id).await? else {
            let is_back = self.workspaces.workspace(id).await?.is_some();
            return Ok((!is_back).then_some(Verdict::Unknown));
        };
        match judge(&deleted, before) {
            Verdict::Due => {
                let is_given_up = self.give_up(deleted.workspace, now).await?;
                Ok(is_given_up.then_some(Verdict::GivenUp))
            }
            verdict => Ok(Some(verdict)),
        }
    }

    /// Gives up a workspace whose time is over. `false` when somebody was faster, who may have
    /// restored it.
    async fn give_up(&self, workspace: Workspace, now: Timestamp) -> StoreResult<bool> {
        let given_up = Workspace {
            updated_at: now,
            ..workspace
        };
        let event = AuditEvent {
            id: AuditId::generate(),
            at: now,
            organization: Some(given_up.organization),
            actor: Actor::System,
            action: AuditAction::WorkspacePurge,
            subject: given_up.id.to_string(),
            address: None,
            request_id: None,
        };
        match self.trash.purge_workspace(&given_up, event).await {
            Ok(()) => {
                tracing::info!(
                    workspace.id = %given_up.id,
                    "the time of the deleted workspace {} is over; its volumes are removed",
                    given_up.id
                );
                Ok(true)
            }
            Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the history, the snapshots and the volumes of a workspace that was given up. What is left
    /// is tried again at the next look.
    async fn remove(&self, id: WorkspaceId, names: &[String], are_snapshots_needed: bool) {
        if let Err(error) = self.histories.remove(id) {
            tracing::warn!(
                workspace.id = %id, %error,
                "could not remove the history of {id}, trying again: {error}"
            );
        }
        if !are_snapshots_needed && let Err(error) = self.shelf.remove_all(id) {
            tracing::warn!(
                workspace.id = %id, %error,
                "could not remove the snapshots of {id}, trying again: {error}"
            );
        }
        for name in names {
            match self.volumes.remove_volume(name).await {
                Ok(()) => {
                    self.metrics.volume_removed();
                    tracing::info!(workspace.id = %id, volume = name, "removed the volume {name}");
                }
                Err(error) => {
                    let error = describe(&error);
                    tracing::warn!(
                        workspace.id = %id, volume = name, error,
                        "could not remove the volume {name}, trying again: {error}"
                    );
                }
            }
        }
    }
}

/// Why a look at the trash ended before its time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Shelf(#[from] ShelfError),
}

impl fmt::Debug for Emptier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Emptier").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
