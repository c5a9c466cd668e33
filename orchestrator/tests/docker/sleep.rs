//! Workspaces that sleep, on the real engine.

use std::time::Duration;

use kalpana_domain::lifecycle::Lifecycle;
use kalpana_protocol::orchestrator::{AwakeKind, Present};
use kalpana_protocol::routes::Target;

use crate::world::{Setup, World, inspect};

/// A workspace that a visit wakes.
const PAUSED: Target = Target::Paused {
    stays_asleep: false,
};

/// Writes down the time, again and again, where nobody waits for it to end.
const TICKING: &str = "(while :; do date +%s%N > /workspace/ticks; sleep 0.05; done) \
                       > /dev/null 2>&1 &";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_what_sleeps_stands_still_and_goes_on_where_it_was() {
    let mut world = World::start(Setup::default()).await;
    let row = world.create(None).await;
    let row = world.wait_for(row.id, "running").await;
    let name = format!("kal-{}-g1", row.id);
    world.exec(&name, "64000", TICKING).await;
    let before = inspect(&name).await;

    world.change(row.id, "pause").await;
    world.wait_for_container(&name, "paused").await;
    let asleep = world.wait_for(row.id, "paused").await;
    assert_eq!(asleep.generation, row.generation);
    assert_eq!(world.routes().await[0].target, PAUSED);
    // Asked for again, nothing changes.
    world.change(row.id, "pause").await;
    assert_eq!(world.wait_for(row.id, "paused").await, asleep);

    // A process that begins while it sleeps leaves it alone.
    world.stop_orchestrator().await;
    world.start_orchestrator().await;
    assert_eq!(world.routes().await[0].target, PAUSED);
    assert_eq!(world.wait_for(row.id, "paused").await, asleep);
    world.wait_for_container(&name, "paused").await;

    world.change(row.id, "wake").await;
    world.wait_for_container(&name, "running").await;
    let awake = world.wait_for(row.id, "running").await;
    assert_eq!(awake.generation, row.generation);
    world.wait_for_route(row.id).await;
    assert_eq!(world.healthz(row.id).await, 200);
    let after = inspect(&name).await;
    for fact in ["StartedAt", "Pid"] {
        assert_eq!(after["State"][fact], before["State"][fact], "{fact}");
    }
    // What ran goes on.
    let ticks = "a=$(cat /workspace/ticks); sleep 1; test \"$a\" != \"$(cat /workspace/ticks)\"";
    world.exec(&name, "64000", ticks).await;

    // A stop is heard in sleep too: everything is gone, and the files are there.
    world.change(row.id, "pause").await;
    world.wait_for_container(&name, "paused").await;
    world.change(row.id, "stop").await;
    world.wait_for(row.id, "stopped").await;
    assert_eq!(world.containers().await, Vec::<String>::new());
    assert_eq!(world.volumes().await.len(), 2);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_what_is_thawed_or_ended_behind_our_back_is_brought_in_order() {
    let world = World::start(Setup::default()).await;
    let row = world.create(None).await;
    world.wait_for(row.id, "running").await;
    let name = format!("kal-{}-g1", row.id);
    world.change(row.id, "pause").await;
    world.wait_for_container(&name, "paused").await;
    world.thaw(&name).await;
    world.wait_for_container(&name, "paused").await;
    // As when its host was started anew: nobody was there, so nothing failed.
    world.remove(&name).await;
    let row = world.wait_for(row.id, "stopped").await;
    assert_eq!(row.lifecycle, Lifecycle::Stopped);
    world.change(row.id, "start").await;
    let row = world.wait_for(row.id, "running").await;
    assert_eq!(row.generation.0, 2);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_who_is_idle_is_put_to_sleep_and_later_stopped_but_no_build_is() {
    let setup = Setup {
        idle: Some((Duration::from_secs(3), Duration::from_secs(4))),
        ..Setup::default()
    };
    let world = World::start(setup).await;
    let row = world.create(None).await;
    world.wait_for(row.id, "running").await;
    let name = format!("kal-{}-g1", row.id);

    // A build that nobody watches: it is awake for it, and says so.
    let pid = world
        .exec(
            &name,
            "64000",
            "sh -c 'while :; do :; done' > /dev/null 2>&1 & echo $!",
        )
        .await;
    let awake = world
        .until(async || {
            world.tell(Vec::new()).await;
            let told = world.wakefulness(row.id).await;
            told.awake.filter(|awake| awake.kind == AwakeKind::Busy)
        })
        .await;
    assert!(awake.text.contains("while :; do :; done"), "{awake:?}");
    let since = std::time::Instant::now();
    while since.elapsed() < Duration::from_secs(8) {
        world.tell(Vec::new()).await;
        assert_eq!(world.wait_for(row.id, "running").await.generation.0, 1);
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    world
        .exec(&name, "64000", &format!("kill {}", pid.trim()))
        .await;

    // Somebody who types is not put to sleep.
    world
        .until(async || {
            let typed = Present {
                workspace: row.id.to_string(),
                kind: AwakeKind::Typing,
                seconds_ago: 0,
            };
            world.tell(vec![typed]).await;
            let told = world.wakefulness(row.id).await;
            told.awake.filter(|awake| awake.kind == AwakeKind::Typing)
        })
        .await;

    // Nobody is there any more, and a gateway says so.
    world
        .until(async || {
            world.tell(Vec::new()).await;
            let found = inspect(&name).await;
            (found["State"]["Status"] == "paused").then_some(())
        })
        .await;
    world.wait_for(row.id, "paused").await;
    let told = world.wakefulness(row.id).await;
    assert!(told.awake.is_none() && told.stops_at.is_some(), "{told:?}");
    world.wait_for(row.id, "stopped").await;
    let metrics = world.metrics();
    for reason in ["paused", "stopped"] {
        let line = format!("kalpana_orchestrator_idle_decisions_total{{reason=\"{reason}\"}} 1");
        assert!(metrics.contains(&line), "{metrics}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_nobody_is_put_to_sleep_while_no_gateway_says_who_is_there() {
    let setup = Setup {
        idle: Some((Duration::from_secs(1), Duration::from_secs(1))),
        ..Setup::default()
    };
    let world = World::start(setup).await;
    let row = world.create(None).await;
    world.wait_for(row.id, "running").await;
    world
        .until(async || {
            let line = "kalpana_orchestrator_idle_decisions_total{reason=\"gateway_silent\"} 0";
            (!world.metrics().contains(line)).then_some(())
        })
        .await;
    assert_eq!(world.wait_for(row.id, "running").await.generation.0, 1);
    world.end().await;
}
