//! What to do next, decided from what was asked and what is there. Pure: no I/O, no clock.
//!
//! The plan is level-triggered. It does not remember what was done before; it looks at the row
//! and the world and names the actions that bring the world closer. Whoever carries them out then
//! looks again. So it does not matter where a process died: the next look sees the same world.

use kalpana_domain::Timestamp;
use kalpana_domain::id::Generation;
use kalpana_domain::lifecycle::{FailureReason, Lifecycle};
use kalpana_domain::snapshot::SnapshotRef;
use kalpana_domain::workspace::Workspace;

use crate::engine::{ContainerSeen, ContainerState, Death, NetworkSeen};
use crate::network;

/// What is there of one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Observed {
    /// Its containers, of any generation.
    pub(crate) containers: Vec<ContainerSeen>,
    /// Its network, if any.
    pub(crate) network: Option<NetworkSeen>,
    /// Whether it has a run directory on the host.
    pub(crate) has_run_directory: bool,
    /// What the bridge of its current generation said.
    pub(crate) readiness: Readiness,
    /// The container whose isolation this process has compared, if it has.
    pub(crate) verified: Option<String>,
    /// Hash of the definition that its container should be made from, while it is being started.
    pub(crate) wanted_spec_hash: String,
    /// Why the present transition has taken too long, if it has.
    pub(crate) overdue: Option<FailureReason>,
    /// The snapshot for which this process has seen to the volumes of an archived workspace.
    pub(crate) put_away: Option<SnapshotRef>,
    /// What was made before this and belongs to no workspace is removed.
    pub(crate) orphaned_before: Timestamp,
}

/// What a bridge said of the generation it was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It has not said that the editor answers.
    Waiting,
    /// The editor answered.
    Ready,
    /// The start cannot succeed.
    Failed(FailureReason),
}

/// One step. Each may be repeated, and may have been done although nobody heard of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// See that the image is on the host.
    CheckImage,
    /// Make the network.
    CreateNetwork,
    /// Remove a network.
    RemoveNetwork {
        /// The engine's id.
        id: String,
    },
    /// Make the volumes that are not there.
    EnsureVolumes,
    /// Remove the volumes, if the snapshot that the row names is an archive of all that is in them.
    PutVolumesAway,
    /// Replace all that is in the volumes, which are made, by the files of the snapshot that the row
    /// names.
    FillVolumes,
    /// Make the run directory afresh, with the launch file.
    PrepareRunDirectory,
    /// Remove the run directory, and with it the keys.
    RemoveRunDirectory,
    /// Make the container of the current generation.
    CreateContainer,
    /// Compare a container's isolation with what was asked.
    VerifyContainer {
        /// The engine's id.
        id: String,
    },
    /// Start a container.
    StartContainer {
        /// The engine's id.
        id: String,
    },
    /// Freeze a container.
    PauseContainer {
        /// The engine's id.
        id: String,
    },
    /// Let a frozen container go on.
    UnpauseContainer {
        /// The engine's id.
        id: String,
    },
    /// Ask a container to end.
    StopContainer {
        /// The engine's id.
        id: String,
    },
    /// Remove a container.
    RemoveContainer {
        /// The engine's id.
        id: String,
    },
    /// Record that the editor answers.
    MarkRunning,
    /// Record that nothing is left of the container.
    MarkStopped,
    /// Record a failure.
    MarkFailed(FailureReason),
    /// Record that the container ended, with its last words.
    MarkDied {
        /// The engine's id.
        id: String,
        /// How it ended.
        death: Death,
    },
    /// Record that the container is gone without a trace.
    MarkVanished,
    /// Record that the container of a sleeping workspace is gone: it is stopped, and nobody who was
    /// there lost anything they were doing.
    MarkGoneAsleep,
    /// Record that nothing but the volumes is left.
    FinishDeletion,
}

/// Returns the next actions, in order. None means that there is nothing to do but wait.
pub(crate) fn plan(row: Option<&Workspace>, observed: &Observed) -> Vec<Action> {
    let Some(row) = row else {
        return collect_orphans(observed);
    };
    match &row.lifecycle {
        Lifecycle::Starting { .. } => start(row, observed),
        Lifecycle::Running { .. } => keep_running(row, observed),
        Lifecycle::Paused { .. } => keep_asleep(row, observed),
        Lifecycle::Stopping { .. } => match (&observed.overdue, tear_down(observed)) {
            (Some(reason), actions) if !actions.is_empty() => {
                vec![Action::MarkFailed(reason.clone())]
            }
            (_, actions) => or_when_done(actions, Action::MarkStopped),
        },
        Lifecycle::Deleting { .. } => or_when_done(tear_down(observed), Action::FinishDeletion),
        Lifecycle::Stopped => match tear_down(observed) {
            actions if !actions.is_empty() => actions,
            // Nothing uses them any more.
            _ if row.is_archived() && observed.put_away != row.filled_from => {
                vec![Action::PutVolumesAway]
            }
            nothing => nothing,
        },
        Lifecycle::Failed { .. } => tear_down(observed),
    }
}

fn or_when_done(actions: Vec<Action>, done: Action) -> Vec<Action> {
    if actions.is_empty() {
        vec![done]
    } else {
        actions
    }
}

fn start(row: &Workspace, observed: &Observed) -> Vec<Action> {
    if let Some(reason) = &observed.overdue {
        return vec![Action::MarkFailed(reason.clone())];
    }
    let (current, stale) = by_generation(&observed.containers, row.generation);
    if !stale.is_empty() {
        return stale.into_iter().flat_map(end).collect();
    }
    let Some(container) = current else {
        return create(row, observed);
    };
    let id = container.id.clone();
    let is_verified = observed.verified.as_ref() == Some(&id);
    match container.state {
        // Made by a process that was set up otherwise: nobody has been let in yet, so make it anew.
        ContainerState::Created | ContainerState::Running | ContainerState::Paused
            if container.spec_hash.as_ref() != Some(&observed.wanted_spec_hash) =>
        {
            end(container)
        }
        ContainerState::Created => vec![
            Action::PrepareRunDirectory,
            Action::VerifyContainer { id: id.clone() },
            Action::StartContainer { id },
        ],
        ContainerState::Paused => vec![Action::UnpauseContainer { id }],
        ContainerState::Running if !is_verified => vec![Action::VerifyContainer { id }],
        ContainerState::Running => match &observed.readiness {
            Readiness::Waiting => Vec::new(),
            Readiness::Ready => vec![Action::MarkRunning],
            Readiness::Failed(reason) => vec![Action::MarkFailed(reason.clone())],
        },
        ContainerState::Exited(death) => vec![Action::MarkDied { id, death }],
    }
}

fn create(row: &Workspace, observed: &Observed) -> Vec<Action> {
    let mut actions = vec![Action::CheckImage];
    match &observed.network {
        Some(seen) if network::is_as_wanted(seen, row.spec.egress) => {}
        Some(seen) => {
            return vec![Action::RemoveNetwork {
                id: seen.id.clone(),
            }];
        }
        None => actions.push(Action::CreateNetwork),
    }
    // Written down before the container is made, so that what is in a volume by then stays.
    if row.filled_from.is_some() {
        actions.push(Action::FillVolumes);
        return actions;
    }
    actions.extend([
        Action::EnsureVolumes,
        Action::PrepareRunDirectory,
        Action::CreateContainer,
    ]);
    actions
}

/// A running workspace is left alone, whatever its definition would be today, until its container
/// has ended.
fn keep_running(row: &Workspace, observed: &Observed) -> Vec<Action> {
    let (current, stale) = by_generation(&observed.containers, row.generation);
    let mut actions: Vec<Action> = stale.into_iter().flat_map(end).collect();
    match current.map(|container| (&container.id, container.state)) {
        Some((_, ContainerState::Running)) => {}
        Some((id, ContainerState::Paused)) => actions.push(match &observed.overdue {
            Some(reason) => Action::MarkFailed(reason.clone()),
            None => Action::UnpauseContainer { id: id.clone() },
        }),
        Some((id, ContainerState::Exited(death))) => {
            actions.push(Action::MarkDied {
                id: id.clone(),
                death,
            });
        }
        // Made but not started: not the container that was running.
        Some((_, ContainerState::Created)) | None => actions.push(Action::MarkVanished),
    }
    actions
}

/// A sleeping workspace's container is frozen. One that ended in its sleep, as with its host, is
/// removed, and the workspace is stopped.
fn keep_asleep(row: &Workspace, observed: &Observed) -> Vec<Action> {
    let (current, stale) = by_generation(&observed.containers, row.generation);
    let mut actions: Vec<Action> = stale.into_iter().flat_map(end).collect();
    match current.map(|container| (&container.id, container.state)) {
        Some((_, ContainerState::Paused)) => {}
        Some((id, ContainerState::Running)) => {
            actions.push(Action::PauseContainer { id: id.clone() });
        }
        Some((_, ContainerState::Created | ContainerState::Exited(_))) | None => {
            actions.push(Action::MarkGoneAsleep);
        }
    }
    actions
}

/// Ends and removes all but the volumes: containers first, then what they used.
fn tear_down(observed: &Observed) -> Vec<Action> {
    if !observed.containers.is_empty() {
        return observed.containers.iter().flat_map(end).collect();
    }
    let mut actions = Vec::new();
    if let Some(network) = &observed.network {
        actions.push(Action::RemoveNetwork {
            id: network.id.clone(),
        });
    }
    if observed.has_run_directory {
        actions.push(Action::RemoveRunDirectory);
    }
    actions
}

fn end(container: &ContainerSeen) -> Vec<Action> {
    let id = container.id.clone();
    let remove = Action::RemoveContainer { id: id.clone() };
    match container.state {
        ContainerState::Running => vec![Action::StopContainer { id }, remove],
        // Thawed first, so that its programs hear that they are to end and can save; one that cannot
        // be is ended all the same.
        ContainerState::Paused => vec![
            Action::UnpauseContainer { id: id.clone() },
            Action::StopContainer { id },
            remove,
        ],
        ContainerState::Created | ContainerState::Exited(_) => vec![remove],
    }
}

/// Removes what bears our label and belongs to no workspace, once it is old enough not to be
/// something whose row we just did not see.
fn collect_orphans(observed: &Observed) -> Vec<Action> {
    let is_due = |created_at: Timestamp| created_at < observed.orphaned_before;
    let (due, young): (Vec<_>, Vec<_>) = observed
        .containers
        .iter()
        .partition(|container| is_due(container.created_at));
    if !due.is_empty() {
        return due.into_iter().flat_map(end).collect();
    }
    match &observed.network {
        Some(network) if young.is_empty() && is_due(network.created_at) => tear_down(&Observed {
            containers: Vec::new(),
            ..observed.clone()
        }),
        _ => Vec::new(),
    }
}

fn by_generation(
    containers: &[ContainerSeen],
    generation: Generation,
) -> (Option<&ContainerSeen>, Vec<&ContainerSeen>) {
    let (mut current, mut stale): (Vec<_>, Vec<_>) = containers
        .iter()
        .partition(|container| container.generation == Some(generation));
    // Names are unique per generation, so there can be one only; were there more, they would go.
    let first = if current.is_empty() {
        None
    } else {
        Some(current.remove(0))
    };
    stale.extend(current);
    (first, stale)
}

#[cfg(test)]
mod tests;
