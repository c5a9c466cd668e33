//! A freezer that is broken keeps nobody from stopping, deleting or using a workspace.

use super::*;

/// A life in calm weather, with a workspace that runs.
async fn with_one_that_runs() -> (Life, WorkspaceId) {
    // A seed whose first container comes up.
    for seed in 0.. {
        let life = Life::new(seed, directory());
        life.sky.set(Calm);
        let row = life.intents().create(&request(), None).await.unwrap();
        for _ in 0..8 {
            life.reconciler.pass(row.id).await;
        }
        let row = life.store.workspace(row.id).await.unwrap().unwrap();
        if matches!(row.lifecycle, Lifecycle::Running { .. }) {
            return (life, row.id);
        }
    }
    unreachable!("seven of ten come up")
}

async fn asked(life: &Life, id: WorkspaceId, change: Change) -> Workspace {
    let (intents, asker) = (life.intents(), asker());
    let asked = intents.change(id.as_str(), change, &asker, None);
    asked.await.unwrap()
}

async fn lifecycle(life: &Life, id: WorkspaceId) -> Lifecycle {
    life.store.workspace(id).await.unwrap().unwrap().lifecycle
}

#[test]
fn what_cannot_be_frozen_stays_awake_and_reachable() {
    runtime().block_on(async {
        let (life, id) = with_one_that_runs().await;
        life.engine.world.lock().unwrap().cannot_freeze = true;
        asked(&life, id, Change::Pause).await;
        assert_eq!(life.reconciler.pass(id).await, Outcome::Settled);
        assert!(matches!(
            lifecycle(&life, id).await,
            Lifecycle::Running { .. }
        ));
        let route = life.reconciler.feeds.published(id).unwrap();
        assert!(matches!(route.target, Target::Running { .. }), "{route:?}");
        let is_left_alone = |life: &Life| {
            let now = life.uptime.now();
            life.reconciler
                .memory(id, |memory| now < memory.no_pause_before)
        };
        assert!(is_left_alone(&life));
        life.advance(Duration::from_secs(601));
        assert!(!is_left_alone(&life));
    });
}

#[test]
fn what_cannot_be_thawed_is_stopped_and_deleted_all_the_same() {
    for change in [Change::Stop, Change::Delete] {
        runtime().block_on(async {
            let (life, id) = with_one_that_runs().await;
            asked(&life, id, Change::Pause).await;
            life.reconciler.pass(id).await;
            life.engine.world.lock().unwrap().cannot_thaw = true;
            asked(&life, id, change).await;
            assert_eq!(life.reconciler.pass(id).await, Outcome::Settled);
            let row = life.store.workspace(id).await.unwrap();
            match change {
                Change::Stop => assert_eq!(row.unwrap().lifecycle, Lifecycle::Stopped),
                _ => assert_eq!(row, None),
            }
            let world = life.engine.world.lock().unwrap();
            assert!(world.containers.is_empty() && world.volumes.len() == 2);
        });
    }
}

/// An engine that is away.
#[derive(Debug)]
struct Away;

impl Weather for Away {
    fn next(&mut self) -> Fate {
        Fate::Fails
    }
}

#[test]
fn what_was_woken_while_the_engine_was_away_wakes_when_it_is_back() {
    runtime().block_on(async {
        let (life, id) = with_one_that_runs().await;
        asked(&life, id, Change::Pause).await;
        life.reconciler.pass(id).await;
        asked(&life, id, Change::Wake).await;
        life.sky.set(Away);
        for _ in 0..3 {
            assert_eq!(life.reconciler.pass(id).await, Outcome::Failed);
            life.advance(Duration::from_secs(100));
        }
        life.sky.set(Calm);
        // Somebody else's pass finds out first that it answers.
        life.reconciler.engine_answered(None);
        assert_eq!(life.reconciler.pass(id).await, Outcome::Settled);
        assert!(matches!(
            lifecycle(&life, id).await,
            Lifecycle::Running { .. }
        ));
        let route = life.reconciler.feeds.published(id).unwrap();
        assert!(matches!(route.target, Target::Running { .. }), "{route:?}");
    });
}

#[test]
fn what_cannot_be_woken_says_so_when_its_time_is_over() {
    runtime().block_on(async {
        let (life, id) = with_one_that_runs().await;
        asked(&life, id, Change::Pause).await;
        life.reconciler.pass(id).await;
        life.engine.world.lock().unwrap().cannot_thaw = true;
        asked(&life, id, Change::Wake).await;
        assert_eq!(life.reconciler.pass(id).await, Outcome::Failed);
        // Whoever comes meanwhile waits with those who woke it.
        let route = life.reconciler.feeds.published(id).unwrap();
        assert_eq!(route.target, PAUSED);
        life.advance(Duration::from_secs(119));
        life.reconciler.pass(id).await;
        assert!(matches!(
            lifecycle(&life, id).await,
            Lifecycle::Running { .. }
        ));
        life.advance(Duration::from_secs(2));
        life.reconciler.pass(id).await;
        let Lifecycle::Failed { reason, .. } = lifecycle(&life, id).await else {
            panic!("it failed")
        };
        assert!(
            reason.message.contains("the freezer is broken"),
            "{reason:?}"
        );
        let world = life.engine.world.lock().unwrap();
        assert_eq!(world.volumes.len(), 2);
    });
}
