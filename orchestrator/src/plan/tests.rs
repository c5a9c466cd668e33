//! The planner against every combination of row and world that it can meet.

use std::collections::BTreeSet;

use kalpana_domain::id::SnapshotId;
use kalpana_domain::lifecycle::FailureCode;
use kalpana_domain::snapshot::SnapshotRef;

use super::*;
use crate::network::Subnet;
use crate::testing::workspace;

const WANTED: &str = "wanted";

fn lifecycles() -> Vec<Lifecycle> {
    let at = Timestamp::UNIX_EPOCH;
    let reason = failure();
    vec![
        Lifecycle::Stopped,
        Lifecycle::Starting { since: at },
        Lifecycle::Running { since: at },
        Lifecycle::Paused { since: at },
        Lifecycle::Stopping { since: at },
        Lifecycle::Failed { at, reason },
        Lifecycle::Deleting { since: at },
    ]
}

fn failure() -> FailureReason {
    FailureReason::new(FailureCode::CloneFailed, "gone")
}

fn container(id: &str, generation: u64, spec_hash: &str, state: ContainerState) -> ContainerSeen {
    ContainerSeen {
        id: id.into(),
        name: format!("kal-abcdefghij01-g{generation}"),
        workspace: Some(workspace().id),
        generation: Some(Generation(generation)),
        assets: None,
        spec_hash: Some(spec_hash.into()),
        created_at: Timestamp::UNIX_EPOCH,
        state,
    }
}

fn network(is_internal: bool) -> NetworkSeen {
    NetworkSeen {
        id: "n".into(),
        name: "kal-abcdefghij01".into(),
        workspace: Some(workspace().id),
        subnets: vec![Subnet::parse("10.0.0.0/28").unwrap()],
        is_internal,
        is_open_inside: false,
        created_at: Timestamp::UNIX_EPOCH,
    }
}

fn nothing() -> Observed {
    Observed {
        containers: Vec::new(),
        network: None,
        has_run_directory: false,
        readiness: Readiness::Waiting,
        verified: None,
        wanted_spec_hash: WANTED.into(),
        overdue: None,
        put_away: None,
        orphaned_before: Timestamp::UNIX_EPOCH,
    }
}

/// Every combination of what can be there. The row's generation is 2.
fn worlds() -> Vec<Observed> {
    let death = Death {
        code: 1,
        is_out_of_memory: false,
    };
    let states = [
        ContainerState::Created,
        ContainerState::Running,
        ContainerState::Paused,
        ContainerState::Exited(death),
    ];
    let mut currents = vec![None];
    for state in states {
        for hash in [WANTED, "other"] {
            currents.push(Some(container("current", 2, hash, state)));
        }
    }
    let mut stales = vec![None];
    stales.extend(states.map(|state| Some(container("stale", 1, "other", state))));
    let mut worlds = Vec::new();
    for current in &currents {
        for stale in &stales {
            for network in [None, Some(network(false)), Some(network(true))] {
                for has_run_directory in [false, true] {
                    for readiness in [
                        Readiness::Waiting,
                        Readiness::Ready,
                        Readiness::Failed(failure()),
                    ] {
                        for verified in [None, Some("current".to_owned())] {
                            for overdue in [None, Some(failure())] {
                                worlds.push(Observed {
                                    containers: current.iter().chain(stale).cloned().collect(),
                                    network: network.clone(),
                                    has_run_directory,
                                    readiness: readiness.clone(),
                                    verified: verified.clone(),
                                    overdue,
                                    ..nothing()
                                });
                            }
                        }
                    }
                }
            }
        }
    }
    worlds
}

fn row(lifecycle: Lifecycle) -> Workspace {
    Workspace {
        lifecycle,
        generation: Generation(2),
        ..workspace()
    }
}

/// Does to row and world what the actions say.
fn apply(row: &mut Workspace, observed: &mut Observed, actions: &[Action]) {
    let at = Timestamp::UNIX_EPOCH;
    for action in actions {
        match action {
            Action::CheckImage | Action::EnsureVolumes => {}
            Action::FillVolumes => {
                assert!(observed.containers.is_empty(), "nobody writes meanwhile");
                row.filled_from = None;
            }
            Action::PutVolumesAway => {
                assert!(observed.containers.is_empty(), "nobody uses them");
                observed.put_away = row.filled_from;
            }
            Action::CreateNetwork => observed.network = Some(network(false)),
            Action::RemoveNetwork { .. } => observed.network = None,
            Action::PrepareRunDirectory => observed.has_run_directory = true,
            Action::RemoveRunDirectory => observed.has_run_directory = false,
            Action::CreateContainer => {
                assert!(observed.containers.is_empty(), "one container at a time");
                assert!(observed.network.is_some() && observed.has_run_directory);
                observed
                    .containers
                    .push(container("current", 2, WANTED, ContainerState::Created));
            }
            Action::VerifyContainer { id } => observed.verified = Some(id.clone()),
            Action::StartContainer { id } => {
                assert_eq!(
                    observed.verified.as_ref(),
                    Some(id),
                    "nothing runs unverified"
                );
                for found in observed
                    .containers
                    .iter_mut()
                    .filter(|found| found.id == *id)
                {
                    found.state = ContainerState::Running;
                }
            }
            Action::PauseContainer { id } => {
                turn(
                    observed,
                    id,
                    (ContainerState::Running, ContainerState::Paused),
                );
            }
            Action::UnpauseContainer { id } => {
                turn(
                    observed,
                    id,
                    (ContainerState::Paused, ContainerState::Running),
                );
            }
            Action::StopContainer { id } => {
                assert!(
                    observed
                        .containers
                        .iter()
                        .all(|found| found.id != *id || found.state != ContainerState::Paused),
                    "what is frozen does not hear that it is to end"
                );
                let death = Death {
                    code: 143,
                    is_out_of_memory: false,
                };
                for found in observed
                    .containers
                    .iter_mut()
                    .filter(|found| found.id == *id)
                {
                    found.state = ContainerState::Exited(death);
                }
            }
            Action::RemoveContainer { id } => {
                observed.containers.retain(|found| found.id != *id);
                observed.verified = None;
            }
            Action::MarkRunning => row.lifecycle = row.lifecycle.clone().started(at).unwrap(),
            Action::MarkStopped => row.lifecycle = row.lifecycle.clone().stopped().unwrap(),
            Action::MarkFailed(reason) => {
                row.lifecycle = row.lifecycle.clone().fail(at, reason.clone()).unwrap();
                observed.overdue = None;
            }
            Action::MarkDied { .. } | Action::MarkVanished => {
                row.lifecycle = row.lifecycle.clone().fail(at, failure()).unwrap();
            }
            Action::MarkGoneAsleep => row.lifecycle = row.lifecycle.clone().stop(at).unwrap(),
            Action::FinishDeletion => row.desired = kalpana_domain::workspace::Desired::Deleted,
        }
    }
}

/// Brings a container from one state to another.
fn turn(observed: &mut Observed, id: &str, (from, to): (ContainerState, ContainerState)) {
    let meant = |found: &&mut ContainerSeen| found.id == id && found.state == from;
    for found in observed.containers.iter_mut().filter(meant) {
        found.state = to;
    }
}

#[test]
fn every_row_and_world_converges_and_then_nothing_more_is_done() {
    let mut looked_at = 0;
    for lifecycle in lifecycles() {
        for world in worlds() {
            let (mut row, mut observed) = (row(lifecycle.clone()), world);
            let is_deleting = matches!(lifecycle, Lifecycle::Deleting { .. });
            let mut rounds = 0;
            loop {
                let actions = plan(Some(&row), &observed);
                let is_over = actions.is_empty() || actions == [Action::FinishDeletion];
                apply(&mut row, &mut observed, &actions);
                rounds += 1;
                assert!(
                    rounds < 12,
                    "{lifecycle:?} does not converge from {observed:?}"
                );
                if is_over {
                    break;
                }
            }
            looked_at += 1;
            let running = observed
                .containers
                .iter()
                .filter(|c| c.state == ContainerState::Running);
            match row.lifecycle {
                Lifecycle::Starting { .. } => {
                    assert_eq!(observed.readiness, Readiness::Waiting);
                    assert_eq!((running.count(), observed.containers.len()), (1, 1));
                }
                Lifecycle::Running { .. } => {
                    assert_eq!((running.count(), observed.containers.len()), (1, 1));
                }
                Lifecycle::Paused { .. } => {
                    let states: Vec<_> = observed.containers.iter().map(|c| c.state).collect();
                    assert_eq!(states, [ContainerState::Paused]);
                }
                Lifecycle::Stopped | Lifecycle::Failed { .. } | Lifecycle::Deleting { .. } => {
                    assert_eq!(observed.containers, vec![]);
                    assert_eq!(observed.network, None);
                    assert!(!observed.has_run_directory);
                    assert_eq!(
                        is_deleting,
                        matches!(row.lifecycle, Lifecycle::Deleting { .. })
                    );
                }
                Lifecycle::Stopping { .. } => panic!("a stop ends"),
            }
        }
    }
    assert_eq!(looked_at, 7 * 9 * 5 * 3 * 2 * 3 * 2 * 2);
}

#[test]
fn the_same_world_has_the_same_plan() {
    for lifecycle in lifecycles() {
        for world in worlds() {
            let row = row(lifecycle.clone());
            assert_eq!(plan(Some(&row), &world), plan(Some(&row), &world));
        }
    }
}

#[test]
fn only_an_answer_of_the_bridge_makes_a_workspace_running() {
    for world in worlds() {
        let actions = plan(
            Some(&row(Lifecycle::Starting {
                since: Timestamp::UNIX_EPOCH,
            })),
            &world,
        );
        if actions.contains(&Action::MarkRunning) {
            assert_eq!(world.readiness, Readiness::Ready);
            assert_eq!(world.verified.as_deref(), Some("current"));
            assert!(
                world
                    .containers
                    .iter()
                    .all(|found| found.state == ContainerState::Running)
            );
        }
    }
}

#[test]
fn a_running_container_of_the_right_generation_is_never_touched() {
    for world in worlds() {
        let is_fine = world.containers.iter().any(|found| {
            found.generation == Some(Generation(2)) && found.state == ContainerState::Running
        });
        if !is_fine {
            continue;
        }
        let actions = plan(
            Some(&row(Lifecycle::Running {
                since: Timestamp::UNIX_EPOCH,
            })),
            &world,
        );
        let touched: BTreeSet<_> = actions
            .iter()
            .map(|action| match action {
                Action::UnpauseContainer { id }
                | Action::StopContainer { id }
                | Action::RemoveContainer { id } => id.as_str(),
                other => panic!("a running workspace was planned to {other:?}"),
            })
            .collect();
        assert!(touched.iter().all(|id| *id == "stale"), "{touched:?}");
    }
}

#[test]
fn what_sleeps_is_frozen_and_what_is_awake_is_not() {
    let since = Timestamp::UNIX_EPOCH;
    let world = |state| Observed {
        containers: vec![container("c", 2, WANTED, state)],
        ..nothing()
    };
    let planned = |lifecycle, state| plan(Some(&row(lifecycle)), &world(state));
    let (paused, running) = (Lifecycle::Paused { since }, Lifecycle::Running { since });
    let id = || "c".to_owned();
    assert_eq!(
        planned(paused.clone(), ContainerState::Running),
        [Action::PauseContainer { id: id() }]
    );
    assert_eq!(planned(paused.clone(), ContainerState::Paused), []);
    assert_eq!(
        planned(running, ContainerState::Paused),
        [Action::UnpauseContainer { id: id() }]
    );
    // It failed nobody: nobody was there.
    assert_eq!(
        plan(Some(&row(paused)), &nothing()),
        [Action::MarkGoneAsleep]
    );
}

#[test]
fn orphans_go_only_after_their_grace_and_the_network_after_the_container() {
    let running = container("c", 1, WANTED, ContainerState::Running);
    let orphaned = Observed {
        containers: vec![running],
        network: Some(network(false)),
        has_run_directory: true,
        ..nothing()
    };
    assert_eq!(plan(None, &orphaned), vec![]);
    let mut due = Observed {
        orphaned_before: Timestamp::from_second(1).unwrap(),
        ..orphaned
    };
    assert_eq!(
        plan(None, &due),
        vec![
            Action::StopContainer { id: "c".into() },
            Action::RemoveContainer { id: "c".into() }
        ]
    );
    due.containers.clear();
    assert_eq!(
        plan(None, &due),
        vec![
            Action::RemoveNetwork { id: "n".into() },
            Action::RemoveRunDirectory
        ]
    );
    assert_eq!(plan(None, &nothing()), vec![]);
}

#[test]
fn one_that_begins_with_a_snapshot_is_filled_before_its_container_is_made() {
    let mut row = row(Lifecycle::Starting {
        since: Timestamp::UNIX_EPOCH,
    });
    row.filled_from = Some(SnapshotRef {
        workspace: row.id,
        snapshot: SnapshotId::from_bytes([1; 16]),
    });
    let mut observed = nothing();
    let actions = plan(Some(&row), &observed);
    assert_eq!(actions.last(), Some(&Action::FillVolumes));
    assert!(!actions.contains(&Action::CreateContainer));
    // A container of an earlier start goes first: it has the volumes open.
    observed.containers = vec![container("stale", 1, WANTED, ContainerState::Running)];
    let actions = plan(Some(&row), &observed);
    assert!(!actions.contains(&Action::FillVolumes), "{actions:?}");
    observed.containers.clear();
    row.filled_from = None;
    let actions = plan(Some(&row), &observed);
    assert_eq!(actions.last(), Some(&Action::CreateContainer));
}

#[test]
fn the_volumes_of_an_archived_workspace_are_put_away_once_nothing_uses_them() {
    let to = SnapshotRef {
        workspace: workspace().id,
        snapshot: SnapshotId::from_bytes([7; 16]),
    };
    let mut archived = row(Lifecycle::Stopped);
    archived.filled_from = Some(to);
    assert_eq!(plan(Some(&archived), &nothing()), [Action::PutVolumesAway]);
    let done = Observed {
        put_away: Some(to),
        ..nothing()
    };
    assert_eq!(plan(Some(&archived), &done), []);
    for seen in worlds() {
        let is_bare =
            seen.containers.is_empty() && seen.network.is_none() && !seen.has_run_directory;
        let planned = plan(Some(&archived), &seen).contains(&Action::PutVolumesAway);
        assert_eq!(planned, is_bare, "{seen:?}");
    }
    // Whose files are in place keeps them, and so does whatever is not simply stopped.
    assert_eq!(plan(Some(&row(Lifecycle::Stopped)), &nothing()), []);
    let since = Timestamp::UNIX_EPOCH;
    for lifecycle in [
        Lifecycle::Starting { since },
        Lifecycle::Running { since },
        Lifecycle::Paused { since },
        Lifecycle::Stopping { since },
        Lifecycle::Deleting { since },
        Lifecycle::Failed {
            at: since,
            reason: FailureReason::new(FailureCode::SnapshotUnusable, "gone"),
        },
    ] {
        let other = Workspace {
            lifecycle,
            ..archived.clone()
        };
        for seen in worlds() {
            let planned = plan(Some(&other), &seen);
            assert!(!planned.contains(&Action::PutVolumesAway), "{other:?}");
        }
    }
}
