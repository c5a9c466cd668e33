//! The watch over a real store, with time that is moved by hand.

use std::sync::Mutex;

use async_trait::async_trait;
use kalpana_domain::audit::{Actor, AuditAction};
use kalpana_domain::id::Generation;
use kalpana_domain::sleep::SleepPolicy;
use kalpana_domain::workspace::Workspace;
use kalpana_protocol::bridge::Activity;
use kalpana_protocol::bridge::work::WorkSummary;
use kalpana_protocol::orchestrator::AwakeKind;
use kalpana_store::PageRequest;

use super::*;
use crate::feed::Reach;
use crate::intent::tests::{Fixture, fixture};
use crate::uptime::ManualUptime;

/// Bridges that all see the same; `None` do not answer.
#[derive(Debug)]
struct Same(Mutex<Option<Activity>>);

#[async_trait]
impl Insiders for Same {
    async fn activity(&self, _: WorkspaceId, _: Generation) -> Option<Activity> {
        self.0.lock().unwrap().clone()
    }

    async fn work(&self, _: WorkspaceId, _: Generation) -> Option<WorkSummary> {
        None
    }
}

/// A watch whose bridges see nothing at work, with a quarter of an hour until sleep.
pub(crate) fn watch(intents: Intents, uptime: Arc<ManualUptime>) -> Watch {
    Watch {
        insiders: Arc::new(Same(Mutex::new(Some(Activity::default())))),
        register: Register::new(uptime),
        intents,
        journal: Journal::default(),
        cannot_pause: Arc::new(|_| false),
        metrics: Metrics::register(&prometheus::Registry::new()).unwrap(),
        timers: Timers {
            pause_after: Some(minutes(15)),
            stop_after: Some(minutes(120)),
            unattended: None,
        },
        limits: SleepLimits {
            pause_after: None,
            stop_after: None,
        },
    }
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

struct World {
    fixture: Fixture,
    watch: Watch,
    uptime: Arc<ManualUptime>,
    id: WorkspaceId,
}

impl World {
    /// A workspace that runs, and was just looked at.
    async fn new(adjust: impl FnOnce(&mut Watch)) -> Self {
        let fixture = fixture().await;
        let uptime = Arc::new(ManualUptime::default());
        let mut watch = watch(fixture.intents.clone(), uptime.clone());
        adjust(&mut watch);
        let row = fixture
            .intents
            .create(&fixture.request, None)
            .await
            .unwrap();
        let world = Self {
            fixture,
            watch,
            uptime,
            id: row.id,
        };
        let since = world.fixture.intents.clock.now();
        world
            .change(|row| row.lifecycle = Lifecycle::Running { since })
            .await;
        world.watch.look().await;
        world
    }

    async fn row(&self) -> Workspace {
        self.fixture
            .store
            .workspace(self.id)
            .await
            .unwrap()
            .unwrap()
    }

    /// Changes the row, and tells of it.
    async fn change(&self, change: impl FnOnce(&mut Workspace)) {
        let mut row = self.row().await;
        change(&mut row);
        let row = self
            .fixture
            .store
            .update_workspace(&row, None)
            .await
            .unwrap();
        let feeds = &self.fixture.intents.feeds;
        feeds.row(&row, Some(Reach::default()));
    }

    /// Lets time pass, a minute and a look after another; a gateway is there and sees nobody.
    async fn pass(&self, count: u64) {
        for _ in 0..count {
            self.uptime.advance(minutes(1));
            self.watch.register.heard("a", false);
            self.watch.look().await;
        }
    }

    async fn state(&self) -> &'static str {
        self.row().await.lifecycle.name()
    }
}

#[tokio::test]
async fn who_is_idle_is_put_to_sleep_then_stopped_and_the_audit_log_says_by_whom() {
    let world = World::new(|_| ()).await;
    world.pass(15).await;
    assert_eq!(world.state().await, "running");
    world.pass(1).await;
    assert_eq!(world.state().await, "paused");
    world.pass(119).await;
    assert_eq!(world.state().await, "paused");
    world.pass(3).await;
    assert_eq!(world.state().await, "stopping");
    let page = PageRequest::first();
    let events = world.fixture.store.audit_events(page).await.unwrap().items;
    let by_itself: Vec<_> = events
        .iter()
        .filter(|event| event.actor == Actor::System)
        .map(|event| event.action)
        .collect();
    assert_eq!(
        by_itself,
        [AuditAction::WorkspaceStop, AuditAction::WorkspacePause]
    );
}

#[tokio::test]
async fn nobody_is_put_to_sleep_unless_a_gateway_tells_who_is_there() {
    let world = World::new(|_| ()).await;
    world.uptime.advance(minutes(600));
    world.watch.look().await;
    assert_eq!(world.state().await, "running");
    world.watch.register.heard("a", false);
    world.watch.look().await;
    assert_eq!(world.state().await, "paused");
}

#[tokio::test]
async fn a_visit_gives_it_its_time_anew() {
    let world = World::new(|_| ()).await;
    world.pass(14).await;
    let register = &world.watch.register;
    register.used(world.id, AwakeKind::Visit, Duration::ZERO);
    world.pass(15).await;
    assert_eq!(world.state().await, "running");
    let told = world.watch.wakefulness(world.id).await;
    let awake = told.awake.unwrap();
    assert_eq!((awake.kind, told.stops_at), (AwakeKind::Visit, None));
    assert!(told.pauses_at.unwrap() > awake.at);
    world.pass(1).await;
    assert_eq!(world.state().await, "paused");
}

#[tokio::test]
async fn an_owner_may_want_it_otherwise_within_what_the_site_allows() {
    let never = SleepPolicy {
        pause_after: Some(IdleTime::NEVER),
        stop_after: None,
        archive_after: None,
        stays_asleep: false,
    };
    let world = World::new(|_| ()).await;
    world.change(|row| row.sleep = never).await;
    world.pass(1000).await;
    assert_eq!(world.state().await, "running");
    assert_eq!(world.watch.wakefulness(world.id).await.pauses_at, None);

    let world = World::new(|watch| watch.limits.pause_after = Some(minutes(60))).await;
    world.change(|row| row.sleep = never).await;
    world.pass(60).await;
    assert_eq!(world.state().await, "running");
    world.pass(1).await;
    assert_eq!(world.state().await, "paused");
}

#[tokio::test]
async fn one_whose_container_cannot_be_frozen_stays_awake() {
    let world = World::new(|watch| watch.cannot_pause = Arc::new(|_| true)).await;
    world.pass(100).await;
    assert_eq!(world.state().await, "running");
}

#[tokio::test]
async fn what_somebody_asked_meanwhile_comes_first() {
    let world = World::new(|_| ()).await;
    world.pass(14).await;
    // The feeds have not told of it yet.
    let mut row = world.row().await;
    row.lifecycle = row
        .lifecycle
        .stop(world.fixture.intents.clock.now())
        .unwrap();
    world
        .fixture
        .store
        .update_workspace(&row, None)
        .await
        .unwrap();
    world.pass(5).await;
    assert_eq!(world.state().await, "stopping");
}

#[tokio::test]
async fn a_workspace_woken_between_two_looks_has_all_its_time_again() {
    let world = World::new(|_| ()).await;
    world.pass(16).await;
    assert_eq!(world.state().await, "paused");
    let since = world.fixture.intents.clock.now();
    world
        .change(|row| row.lifecycle = Lifecycle::Running { since })
        .await;
    world.pass(15).await;
    assert_eq!(world.state().await, "running");
    world.pass(2).await;
    assert_eq!(world.state().await, "paused");
}

#[tokio::test]
async fn one_of_which_nobody_can_say_what_is_at_work_stays_awake_for_as_long_as_work_may() {
    let silent = |watch: &mut Watch| {
        watch.insiders = Arc::new(Same(Mutex::new(None)));
        watch.timers.unattended = Some(minutes(60));
    };
    let world = World::new(silent).await;
    world.pass(60).await;
    assert_eq!(world.state().await, "running");
    world.pass(1).await;
    assert_eq!(world.state().await, "paused");
}

#[tokio::test]
async fn nobody_is_put_to_sleep_before_every_gateway_told_who_came_until_then() {
    let world = World::new(|_| ()).await;
    world.pass(15).await;
    world.watch.register.heard("b", false);
    // It fell silent a minute ago, and may know of somebody until then.
    world.pass(1).await;
    assert_eq!(world.state().await, "running");
    // Whoever it served has come to the other, by now.
    world.pass(1).await;
    assert_eq!(world.state().await, "paused");
}

#[tokio::test]
async fn what_a_hostile_container_says_breaks_nothing() {
    let hostile = Activity {
        typed_seconds_ago: Some(u64::MAX),
        cpu_millis: u64::MAX,
        disk_bytes_per_second: u64::MAX,
        window_seconds: u64::MAX,
        busiest: Vec::new(),
        keepers: vec![kalpana_protocol::bridge::activity::Keeper {
            pid: u32::MAX,
            command: "\u{0}".repeat(10_000),
            seconds_left: u64::MAX,
        }],
    };
    let world = World::new(|watch| {
        watch.insiders = Arc::new(Same(Mutex::new(Some(hostile))));
    })
    .await;
    world.pass(3).await;
    let told = world.watch.wakefulness(world.id).await;
    assert!(told.awake.is_some_and(|awake| awake.text.len() < 1000));
    assert_eq!(world.state().await, "running");
}

#[tokio::test]
async fn a_port_that_is_used_counts_as_work_and_not_as_a_person() {
    let world = World::new(|watch| watch.timers.unattended = Some(minutes(60))).await;
    for _ in 0..60 {
        world.pass(1).await;
        let register = &world.watch.register;
        register.used(world.id, AwakeKind::Busy, Duration::ZERO);
    }
    assert_eq!(world.state().await, "running");
    world.pass(2).await;
    assert_eq!(world.state().await, "paused");
}
