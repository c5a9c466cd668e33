//! Figures of workspaces, on the real engine and this host's kernel.

use http::Method;
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::workspace::Workspace;
use kalpana_protocol::figures::{Figures, Now};

use crate::world::{Setup, World};

const OWNER: &str = "64000";

/// Keeps one CPU busy, and holds 256 MiB.
const BURN: &str = "nohup node -e \"const held = Buffer.alloc(256 << 20, 1); for (;;) held[0]++\" \
                    > /dev/null 2>&1 & echo started";

/// Holds more than the smallest workspace may.
const TOO_MUCH: &str = "node --max-old-space-size=8000 -e \"const held = []; \
                        for (;;) held.push(Buffer.alloc(64 << 20, 1))\" > /dev/null 2>&1; echo over";

fn container(row: &Workspace) -> String {
    format!("kal-{}-g{}", row.id, row.generation)
}

impl World {
    async fn figures(&self, id: WorkspaceId) -> Figures {
        let path = format!("/v1/workspaces/{id}/figures");
        self.ask(Method::GET, &path, None::<&()>).await
    }

    async fn workspace_that_runs(&self) -> Workspace {
        let row = self.create(None).await;
        self.wait_for(row.id, "running").await
    }

    /// Returns the value of one of the orchestrator's counters.
    fn counted(&self, name: &str) -> u64 {
        let all = self.metrics();
        let mut values = all.lines().filter_map(|line| line.strip_prefix(name));
        let value = values.next().expect("it is counted from the start");
        value.trim().parse().expect(value)
    }
}

const LIVE_READINGS: &str = "kalpana_orchestrator_figures_readings_total{occasion=\"live\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_what_a_workspace_uses_is_shown_within_bounds_and_asleep_its_memory_alone() {
    let world = World::start(Setup::default()).await;
    let row = world.workspace_that_runs().await;
    assert_eq!(world.counted(LIVE_READINGS), 0, "nobody watched");
    world.exec(&container(&row), OWNER, BURN).await;
    let (limits, sample) = world
        .until(async || match world.figures(row.id).await.now {
            Now::Running { limits, sample } => {
                let is_busy = sample.cpu_cores.is_some_and(|cores| cores > 0.2);
                (is_busy && sample.memory_bytes > 256 << 20).then_some((limits, sample))
            }
            Now::Unavailable { .. } => None,
            other => panic!("expected figures, got {other:?}"),
        })
        .await;
    assert_eq!(limits.cpu_cores, Some(1.0));
    assert_eq!(limits.memory_bytes, Some(2 << 30));
    assert_eq!(limits.processes, Some(1024));
    // The kernel gives a limit out in slices, so a short window may see more than one second's.
    assert!(sample.cpu_cores.unwrap() < 1.6, "{sample:?}");
    assert!(sample.memory_bytes < 2 << 30, "{sample:?}");
    let processes = sample.processes.unwrap();
    assert!((5..1024).contains(&processes), "{sample:?}");
    assert!(sample.received_per_second.is_some(), "{sample:?}");

    world.change(row.id, "pause").await;
    world.wait_for(row.id, "paused").await;
    match world.figures(row.id).await.now {
        Now::Paused { sample, .. } => {
            assert_eq!(sample.cpu_cores, Some(0.0));
            assert!(sample.memory_bytes > 256 << 20, "{sample:?}");
        }
        other => panic!("expected one that sleeps, got {other:?}"),
    }
    let watchers = world.counted("kalpana_orchestrator_figures_watchers ");
    assert_eq!(watchers, 0, "nobody watches any more");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_processes_that_the_kernel_ended_are_counted_and_in_the_log() {
    let world = World::start(Setup::default()).await;
    let row = world.workspace_that_runs().await;
    world.figures(row.id).await;
    world.exec(&container(&row), OWNER, TOO_MUCH).await;
    let ended = world
        .until(async || match world.figures(row.id).await.now {
            Now::Running { sample, .. } => (sample.oom_kills > 0).then_some(sample.oom_kills),
            Now::Unavailable { .. } => None,
            // Where it was the bridge, the whole workspace has ended.
            other => panic!("expected figures, got {other:?}"),
        })
        .await;
    let counted = world.counted("kalpana_orchestrator_oom_kills_total ");
    assert!(counted >= ended, "{counted} of {ended}");
    let log = world.log(row.id).await;
    let said = log
        .iter()
        .find(|line| line.text.contains("memory was used up"));
    let said = said.expect("a line about it");
    assert_eq!(said.source, "kalpana");
    assert!(said.text.starts_with("the kernel ended"), "{said:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_a_minute_of_history_outlives_the_orchestrator_and_a_stop() {
    let mut world = World::start(Setup::default()).await;
    let row = world.workspace_that_runs().await;
    let kept = world
        .until(async || {
            let history = world.figures(row.id).await.history;
            (!history.is_empty()).then_some(history)
        })
        .await;
    assert!(kept[0].memory_bytes > 1 << 20, "{kept:?}");
    world.stop_orchestrator().await;
    world.start_orchestrator().await;
    world.change(row.id, "stop").await;
    world.wait_for(row.id, "stopped").await;
    let now = world.figures(row.id).await;
    assert_eq!(now.now, Now::Stopped);
    assert_eq!(now.history[0], kept[0]);
    assert_eq!(now.limits.memory_bytes, Some(2 << 30));
    world.end().await;
}
