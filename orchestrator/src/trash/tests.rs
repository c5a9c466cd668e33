//! The trash against a real store and an engine in memory.

use kalpana_domain::clock::ManualClock;
use kalpana_domain::snapshot::SnapshotRef;
use kalpana_protocol::orchestrator::Asker;
use kalpana_store::{PageRequest, Store};

use super::*;
use crate::engine::fake::{Calm, FakeEngine, Sky};
use crate::intent::tests::{Fixture, fixture};
use crate::snapshot::shelf::Record;
use crate::uptime::ManualUptime;
use crate::volume;

const RETENTION: Duration = Duration::from_secs(30 * 86_400);

struct World {
    fixture: Fixture,
    engine: FakeEngine,
    clock: Arc<ManualClock>,
    uptime: Arc<ManualUptime>,
    emptier: Emptier,
    looked: Looked,
    _figures: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let fixture = fixture().await;
        let engine = FakeEngine::new(Sky::new(Calm));
        let clock = Arc::new(ManualClock::new(
            Timestamp::from_second(1_800_000_000).unwrap(),
        ));
        let uptime = Arc::new(ManualUptime::default());
        let figures = tempfile::tempdir().unwrap();
        let emptier = Emptier {
            volumes: Arc::new(engine.clone()),
            workspaces: Arc::<dyn kalpana_store::Repository>::clone(&fixture.store),
            trash: Arc::<dyn kalpana_store::Repository>::clone(&fixture.store),
            shelf: fixture.intents.shelf.clone(),
            histories: Histories::open(figures.path().to_owned()).unwrap(),
            clock: clock.clone(),
            uptime: uptime.clone(),
            metrics: Metrics::register(&prometheus::Registry::new()).unwrap(),
            retention: RETENTION,
            given_up: Arc::default(),
        };
        Self {
            fixture,
            engine,
            clock,
            uptime,
            emptier,
            looked: Looked::default(),
            _figures: figures,
        }
    }

    fn store(&self) -> &Store {
        &self.fixture.store
    }

    fn asker(&self) -> &Asker {
        &self.fixture.request.asker
    }

    /// Makes a workspace with volumes.
    async fn living(&self) -> Workspace {
        let Fixture {
            intents, request, ..
        } = &self.fixture;
        let row = intents.create(request, None).await.unwrap();
        let mut world = self.engine.world.lock().unwrap();
        let volumes = volume::definitions("kalpana", row.id);
        world.volumes.extend(volumes.map(|volume| volume.name));
        row
    }

    /// Makes a workspace with volumes, and deletes it now.
    async fn deleted(&self) -> WorkspaceId {
        let row = self.living().await;
        let change = crate::intent::Change::Delete;
        let intents = &self.fixture.intents;
        let row = intents
            .change(row.id.as_str(), change, self.asker(), None)
            .await;
        let (row, now) = (row.unwrap(), self.clock.now());
        self.store().finish_deletion(&row, now).await.unwrap();
        row.id
    }

    fn pass(&self, by: Duration) {
        self.uptime.advance(by);
        self.clock.advance(by.try_into().unwrap());
    }

    async fn look(&mut self) {
        self.emptier.look(&mut self.looked).await.unwrap();
    }

    fn volumes_of(&self, id: WorkspaceId) -> usize {
        let world = self.engine.world.lock().unwrap();
        let ours = world.volumes.iter();
        ours.filter(|name| crate::engine::fake::workspace_of(name) == id)
            .count()
    }

    async fn purges(&self) -> Vec<AuditEvent> {
        let events = self.store().audit_events(PageRequest::first()).await;
        let events = events.unwrap().items.into_iter();
        events
            .filter(|event| event.action == AuditAction::WorkspacePurge)
            .collect()
    }
}

#[tokio::test]
async fn volumes_go_when_the_time_of_their_workspace_is_over_and_not_before() {
    let mut world = World::new().await;
    let living = world.living().await.id;
    let deleted = world.deleted().await;
    let unknown = WorkspaceId::parse("zzzzzzzzzz01").unwrap();
    let names = volume::definitions("kalpana", unknown).map(|volume| volume.name);
    world.engine.world.lock().unwrap().volumes.extend(names);
    for day in 0..30 {
        world.look().await;
        assert_eq!(world.volumes_of(deleted), 2, "day {day}");
        world.pass(Duration::from_secs(86_400));
    }
    assert_eq!(world.purges().await, []);
    world.pass(Duration::from_secs(1));
    world.look().await;
    assert_eq!(world.volumes_of(deleted), 0);
    assert_eq!(world.volumes_of(living), 2, "it lives");
    assert_eq!(world.volumes_of(unknown), 2, "nobody gave it up");
    let purges = world.purges().await;
    let [event] = &purges[..] else {
        panic!("{purges:?}")
    };
    assert_eq!(
        (&event.actor, &event.subject),
        (&Actor::System, &deleted.to_string())
    );
    world.look().await;
    assert_eq!(world.purges().await.len(), 1, "once");
    let id = deleted.to_string();
    let back = world
        .fixture
        .intents
        .restore(&id, world.asker(), None)
        .await;
    assert!(back.is_err(), "{back:?}");
}

#[tokio::test]
async fn what_its_owner_gives_up_goes_at_the_next_look() {
    let mut world = World::new().await;
    let (kept, given_up) = (world.deleted().await, world.deleted().await);
    let intents = &world.fixture.intents;
    let id = given_up.to_string();
    intents
        .purge(&id, world.asker(), Some("r-1"))
        .await
        .unwrap();
    assert_eq!(world.purges().await[0].request_id.as_deref(), Some("r-1"));
    world.look().await;
    assert_eq!((world.volumes_of(given_up), world.volumes_of(kept)), (0, 2));
}

#[tokio::test]
async fn a_clock_that_jumps_empties_no_trash() {
    let mut world = World::new().await;
    let deleted = world.deleted().await;
    world.look().await;
    world.uptime.advance(INTERVAL);
    world.clock.advance(SignedDuration::from_hours(24 * 365));
    for _ in 0..100 {
        world.look().await;
        world.pass(INTERVAL);
        assert_eq!(world.volumes_of(deleted), 2);
    }
    // Set right within the day: its thirty days are what they were.
    world.clock.advance(SignedDuration::from_hours(-24 * 365));
    world.look().await;
    for _ in 0..28 {
        world.pass(Duration::from_secs(86_400));
        world.look().await;
        assert_eq!(world.volumes_of(deleted), 2);
    }
    world.pass(Duration::from_secs(2 * 86_400));
    world.look().await;
    assert_eq!(world.volumes_of(deleted), 0);
}

#[tokio::test]
async fn a_process_that_has_just_started_does_not_know_the_date() {
    let mut world = World::new().await;
    let deleted = world.deleted().await;
    world.clock.advance(SignedDuration::from_hours(24 * 365));
    world.look().await;
    assert_eq!(world.volumes_of(deleted), 2);
    // The date is set right, and after its day it is believed.
    world.clock.advance(SignedDuration::from_hours(-24 * 365));
    world.pass(INTERVAL);
    world.look().await;
    world.pass(RETENTION - INTERVAL * 2);
    world.look().await;
    assert_eq!(world.volumes_of(deleted), 2);
    world.pass(INTERVAL * 2);
    world.look().await;
    assert_eq!(world.volumes_of(deleted), 0);
}

#[tokio::test]
async fn a_restored_workspace_has_its_volumes_whenever_that_was() {
    let mut world = World::new().await;
    let deleted = world.deleted().await;
    world.look().await;
    world.pass(RETENTION - Duration::from_secs(1));
    let id = deleted.to_string();
    let intents = &world.fixture.intents;
    let row = intents.restore(&id, world.asker(), None).await.unwrap();
    assert_eq!(row.desired, Desired::Stopped);
    world.pass(RETENTION);
    world.look().await;
    assert_eq!(world.volumes_of(deleted), 2);
    assert_eq!(world.purges().await, []);
}

#[tokio::test]
async fn snapshots_go_with_the_volumes_unless_another_workspace_is_to_begin_with_one() {
    let mut world = World::new().await;
    let shelf = world.fixture.intents.shelf.clone();
    let (living, given_up) = (world.living().await, world.deleted().await);
    let record = crate::snapshot::shelf::tests::record();
    for workspace in [living.id, given_up] {
        let taken = Record {
            workspace,
            ..record.clone()
        };
        shelf.begin(&taken).unwrap();
    }
    let filling = Workspace {
        filled_from: Some(SnapshotRef {
            workspace: given_up,
            snapshot: record.id,
        }),
        ..living.clone()
    };
    let filling = world
        .store()
        .update_workspace(&filling, None)
        .await
        .unwrap();
    let id = given_up.to_string();
    let purged = world.fixture.intents.purge(&id, world.asker(), None);
    purged.await.unwrap();
    world.look().await;
    assert_eq!(world.volumes_of(given_up), 0);
    assert_eq!(shelf.list(given_up).unwrap().len(), 1, "it is needed");
    let filled = Workspace {
        filled_from: None,
        ..filling
    };
    world.store().update_workspace(&filled, None).await.unwrap();
    world.look().await;
    assert_eq!(shelf.workspaces().unwrap(), [living.id]);
}

#[tokio::test]
async fn histories_go_with_the_volumes_and_those_of_the_living_stay() {
    let mut world = World::new().await;
    let histories = world.emptier.histories.clone();
    let (living, deleted) = (world.living().await, world.deleted().await);
    for workspace in [living.id, deleted] {
        let record = crate::figures::ring::tests::record(1_800_000_000, 1);
        histories.append(workspace, &record).unwrap();
    }
    world.look().await;
    assert_eq!(
        histories.workspaces().unwrap().len(),
        2,
        "it can be restored"
    );
    let purged = world
        .fixture
        .intents
        .purge(deleted.as_str(), world.asker(), None);
    purged.await.unwrap();
    world.look().await;
    assert_eq!(histories.workspaces().unwrap(), [living.id]);
}
