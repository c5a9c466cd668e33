//! Figures of a host that is a directory, in time that is moved.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use kalpana_domain::Timestamp;
use kalpana_domain::clock::ManualClock;
use kalpana_domain::workspace::Workspace;
use kalpana_protocol::figures::{Limits, Sample};
use tokio::time::Instant;

use super::kills::KERNEL_LOG;
use super::tree::Tree;
use super::*;
use crate::engine::ContainerState;
use crate::engine::fake::{Calm, Container, FakeEngine, Fate, Sky, Weather};
use crate::feed::{Reach, testing};
use crate::logs::Journal;
use crate::metrics::Metrics;
use crate::testing::{capabilities, host, workspace};
use crate::uptime::Uptime;

const ID: &str = "7a94fbdd4f50873d6e54ddb8a0de17d48b56b5698776e178b544a052d9ccc8e3";

/// Time that goes as the runtime's does, which tests move.
#[derive(Debug)]
struct Moved(Mutex<Option<Instant>>);

impl Uptime for Moved {
    fn now(&self) -> Duration {
        let now = Instant::now();
        now - *self.0.lock().unwrap().get_or_insert(now)
    }
}

fn meter(engine: &FakeEngine, tree: Tree, log: &Path, journal: &Journal) -> Meter {
    let clock = ManualClock::new(Timestamp::from_second(1_800_000_000).unwrap());
    Meter::new(
        Arc::new(engine.clone()),
        tree,
        log.to_owned(),
        journal.clone(),
        Metrics::register(&prometheus::Registry::new()).unwrap(),
        Arc::new(clock),
        Arc::new(Moved(Mutex::default())),
    )
}

/// Figures of a host on which there is nothing.
pub(crate) fn figures(feeds: &Feeds, engine: &FakeEngine, journal: &Journal) -> Figures {
    let nowhere = PathBuf::from("/nonexistent");
    let tree = Tree {
        groups: nowhere.clone(),
        processes: nowhere.clone(),
        interfaces: nowhere,
    };
    let directory = tempfile::tempdir().unwrap();
    let histories = Histories::open(directory.path().join("figures")).unwrap();
    let meter = meter(engine, tree, Path::new(KERNEL_LOG), journal);
    Figures::new(meter, feeds.clone(), histories, CancellationToken::new())
}

struct World {
    figures: Figures,
    feeds: Feeds,
    engine: FakeEngine,
    journal: Journal,
    directory: tempfile::TempDir,
    version: u64,
}

impl World {
    /// A workspace that runs, in control groups of version 2.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree {
            groups: directory.path().join("cgroup"),
            processes: directory.path().join("proc"),
            interfaces: directory.path().join("net"),
        };
        let (feeds, journal) = (testing(), Journal::default());
        let engine = FakeEngine::new(Sky::new(Calm));
        let meter = meter(&engine, tree, &directory.path().join("kmsg"), &journal);
        let histories = Histories::open(directory.path().join("figures")).unwrap();
        let figures = Figures::new(meter, feeds.clone(), histories, CancellationToken::new());
        let mut world = Self {
            figures,
            feeds,
            engine,
            journal,
            directory,
            version: 1,
        };
        world.be(Lifecycle::Running {
            since: Timestamp::UNIX_EPOCH,
        });
        let definition = crate::container::definition(
            &host(),
            &capabilities(),
            &workspace(),
            world.directory.path().to_owned(),
        );
        let container = Container {
            definition,
            state: ContainerState::Running,
            created_at: Timestamp::from_second(1_800_000_001).unwrap(),
            starts: 1,
        };
        let mut engine = world.engine.world.lock().unwrap();
        engine.containers.insert(ID.to_owned(), container);
        drop(engine);
        world.write("cgroup.controllers", "cpu");
        for (file, content) in [
            ("cpu.stat", "usage_usec 0\n"),
            ("cpu.max", "200000 100000\n"),
            ("memory.current", "5000\n"),
            ("memory.stat", "inactive_file 1000\n"),
            ("memory.max", "8000\n"),
            ("memory.events", "oom_kill 0\n"),
            ("pids.current", "7\n"),
        ] {
            world.count(file, content);
        }
        world
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.directory.path().join("cgroup").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn count(&self, file: &str, content: &str) {
        self.write(&format!("docker/{ID}/{file}"), content);
    }

    fn be(&mut self, lifecycle: Lifecycle) {
        self.version += 1;
        let row = Workspace {
            lifecycle,
            version: self.version,
            ..workspace()
        };
        self.feeds.row(&row, Some(Reach::default()));
    }

    fn readings(&self, occasion: Occasion) -> u64 {
        self.figures.meter.metrics.figures_readings(occasion)
    }

    fn watch(&self) -> Watcher {
        self.figures.watch(workspace().id)
    }
}

fn sample(now: Option<Now>) -> Sample {
    match now {
        Some(Now::Running { sample, limits }) => {
            let expected = Limits {
                cpu_cores: Some(2.0),
                memory_bytes: Some(8000),
                processes: None,
            };
            assert_eq!(limits, expected);
            sample
        }
        other => panic!("expected figures of one that runs, got {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_watches_and_nothing_is_read() {
    let world = World::new();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.readings(Occasion::Live), 0);
    let mut watcher = world.watch();
    watcher.next().await.unwrap();
    assert_eq!(world.readings(Occasion::Live), 2);
    drop(watcher);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.readings(Occasion::Live), 2, "nobody watches any more");
    assert!(world.figures.live.is_at_rest());
}

#[tokio::test(start_paused = true)]
async fn all_who_watch_share_one_reader() {
    let world = World::new();
    let mut watchers: Vec<Watcher> = (0..50).map(|_| world.watch()).collect();
    let began = Instant::now();
    for watcher in &mut watchers {
        watcher.next().await.unwrap();
    }
    assert_eq!(
        began.elapsed(),
        Duration::from_millis(500),
        "nobody waits long"
    );
    assert_eq!(world.readings(Occasion::Live), 2);
    // One who comes later has what is known at once.
    let mut late = world.watch();
    late.next().await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_millis(500));
    world.count("cpu.stat", "usage_usec 3000000\n");
    let told = sample(late.next().await);
    assert_eq!((told.cpu_cores, told.memory_bytes), (Some(1.5), 4000));
    assert_eq!(told.processes, Some(7));
    assert_eq!(world.readings(Occasion::Live), 3);
    assert_eq!(began.elapsed(), Duration::from_millis(2500));
}

#[tokio::test(start_paused = true)]
async fn what_sleeps_keeps_its_memory_and_what_is_stopped_uses_nothing() {
    let mut world = World::new();
    let mut watcher = world.watch();
    sample(watcher.next().await);
    world.count("cpu.stat", "usage_usec 500000\n");
    let since = Timestamp::UNIX_EPOCH;
    world.be(Lifecycle::Paused { since });
    match watcher.next().await {
        Some(Now::Paused { sample, .. }) => {
            assert_eq!((sample.cpu_cores, sample.memory_bytes), (Some(0.0), 4000));
        }
        other => panic!("expected figures of one that sleeps, got {other:?}"),
    }
    world.be(Lifecycle::Stopping { since });
    assert_eq!(watcher.next().await, Some(Now::Stopped));
    let readings = world.readings(Occasion::Live);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(
        world.readings(Occasion::Live),
        readings,
        "there is nothing to read"
    );
    world.be(Lifecycle::Running { since });
    sample(watcher.next().await);
}

#[derive(Debug)]
struct Away;

impl Weather for Away {
    fn next(&mut self) -> Fate {
        Fate::Fails
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_said_and_not_guessed() {
    let world = World::new();
    let unavailable = |reason| Some(Now::Unavailable { reason });
    std::fs::rename(
        world.directory.path().join("cgroup/docker"),
        world.directory.path().join("cgroup/other"),
    )
    .unwrap();
    let mut watcher = world.watch();
    assert_eq!(watcher.next().await, unavailable(Unavailable::Elsewhere));
    world.engine.sky.set(Away);
    assert_eq!(watcher.next().await, unavailable(Unavailable::EngineAway));
    world.engine.sky.set(Calm);
    std::fs::rename(
        world.directory.path().join("cgroup/other"),
        world.directory.path().join("cgroup/docker"),
    )
    .unwrap();
    sample(watcher.next().await);
    // The engine is not asked for each reading.
    world.engine.sky.set(Away);
    world.count("memory.current", "6000");
    sample(watcher.next().await);
    world.count("memory.current", "much");
    assert_eq!(watcher.next().await, unavailable(Unavailable::Unreadable));
}

#[tokio::test(start_paused = true)]
async fn running_workspaces_are_kept_by_the_minute_and_no_others() {
    let mut world = World::new();
    let mut before = Before::new();
    world.figures.look(&mut before).await;
    tokio::time::advance(Duration::from_secs(60)).await;
    world.count("cpu.stat", "usage_usec 30000000\n");
    world.figures.minute(&mut before).await;
    let since = Timestamp::UNIX_EPOCH;
    world.be(Lifecycle::Paused { since });
    world.figures.minute(&mut before).await;
    world.be(Lifecycle::Stopped);
    world.figures.minute(&mut before).await;
    assert_eq!(world.readings(Occasion::History), 2);
    assert!(before.is_empty());
    let told = world.figures.of(workspace().id).await;
    assert_eq!((told.now, told.resolution), (Now::Stopped, 60));
    assert_eq!(told.limits.memory_bytes, Some(8000), "as when it last ran");
    assert_eq!(told.history.len(), 1);
    let kept = &told.history[0];
    let at = world.figures.meter.clock.now().to_string();
    assert_eq!((kept.cpu_cores, &kept.at), (Some(0.5), &at));
}

#[tokio::test(start_paused = true)]
async fn the_minute_after_a_sleep_is_not_spread_over_the_sleep() {
    let mut world = World::new();
    let mut before = Before::new();
    let since = Timestamp::UNIX_EPOCH;
    world.figures.look(&mut before).await;
    world.be(Lifecycle::Paused { since });
    for _ in 0..60 {
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(world.figures.look(&mut before).await, []);
    }
    world.be(Lifecycle::Running { since });
    let first = world.figures.look(&mut before).await;
    assert_eq!(
        first[0].1.sample.cpu_cores, None,
        "there is nothing to compare with"
    );
    tokio::time::advance(Duration::from_secs(60)).await;
    world.count("cpu.stat", "usage_usec 60000000\n");
    let second = world.figures.look(&mut before).await;
    assert_eq!(second[0].1.sample.cpu_cores, Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn what_the_kernel_ended_is_in_the_log_once() {
    let world = World::new();
    let mut watcher = world.watch();
    sample(watcher.next().await);
    let line = format!(
        "6,1,1,-;oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/docker/{ID},task_memcg=/docker/{ID},task=python3,pid=7,uid=0\n"
    );
    std::fs::write(world.directory.path().join("kmsg"), line).unwrap();
    world.count("memory.events", "oom 9\noom_kill 1\n");
    assert_eq!(sample(watcher.next().await).oom_kills, 1);
    world.count("memory.current", "6000");
    watcher.next().await;
    world.figures.minute(&mut Before::new()).await;
    let (lines, _) = world.journal.read(workspace().id);
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(
        texts,
        ["the kernel ended a process because memory was used up: python3"]
    );
}
