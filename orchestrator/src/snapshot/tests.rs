//! Snapshots against a real store and a real directory, with volumes in memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use jiff::SignedDuration;
use kalpana_domain::Timestamp;
use kalpana_domain::audit::AuditAction;
use kalpana_domain::clock::{Clock as _, ManualClock};
use kalpana_domain::id::UserId;
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::snapshot::SnapshotKind;
use kalpana_domain::workspace::Workspace;
use kalpana_protocol::orchestrator::{Asker, SnapshotOf, SnapshotState, TakeSnapshot};
use kalpana_store::PageRequest;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::fake::FakePorter;
use super::filler::{FillError, FromShelf};
use super::keeper::{Keeper, Limits, SnapshotError, State};
use super::shelf::Record;
use super::{Filler as _, archive};
use crate::engine::fake::{Calm, FakeEngine, Sky};
use crate::intent::IntentError;
use crate::intent::tests::{Fixture, fixture};
use crate::logs::Journal;
use crate::metrics::Metrics;

const DAY: Duration = Duration::from_secs(86_400);

/// Returns a keeper of the fixture's site.
pub(crate) fn keeper(fixture: &Fixture, porter: &FakePorter, clock: Arc<ManualClock>) -> Keeper {
    Keeper {
        shelf: fixture.intents.shelf.clone(),
        porter: Arc::new(porter.clone()),
        engine: Arc::new(FakeEngine::new(Sky::new(Calm))),
        volumes: Arc::new(FakeEngine::new(Sky::new(Calm))),
        intents: fixture.intents.clone(),
        audit: Arc::<dyn kalpana_store::Repository>::clone(&fixture.store),
        journal: Journal::default(),
        clock,
        metrics: Metrics::register(&prometheus::Registry::new()).unwrap(),
        instance: "kalpana".into(),
        limits: Limits {
            manual: 2,
            every: Some(DAY),
            scheduled: 2,
            reserve: 0,
            archive_after: None,
            archive_after_limit: None,
        },
        state: State::new(CancellationToken::new()),
    }
}

/// A site with snapshots.
pub(super) struct World {
    pub(super) fixture: Fixture,
    pub(super) porter: FakePorter,
    pub(super) engine: FakeEngine,
    pub(super) clock: Arc<ManualClock>,
    pub(super) keeper: Keeper,
}

impl World {
    pub(super) async fn new() -> Self {
        let fixture = fixture().await;
        let porter = FakePorter::default();
        let clock = Arc::new(ManualClock::new(
            Timestamp::from_second(1_800_000_000).unwrap(),
        ));
        let mut keeper = keeper(&fixture, &porter, clock.clone());
        let engine = FakeEngine::new(Sky::new(Calm));
        keeper.engine = Arc::new(engine.clone());
        keeper.volumes = Arc::new(engine.clone());
        Self {
            fixture,
            porter,
            engine,
            clock,
            keeper,
        }
    }

    /// Makes a workspace that is stopped and holds `content`.
    pub(super) async fn stopped(&self, content: &'static [u8]) -> Workspace {
        let Fixture {
            intents, request, ..
        } = &self.fixture;
        let row = intents.create(request, None).await.unwrap();
        self.write(&row, content);
        let stopped = Workspace {
            lifecycle: Lifecycle::Stopped,
            ..row
        };
        let store = &self.fixture.store;
        store.update_workspace(&stopped, None).await.unwrap()
    }

    pub(super) fn write(&self, row: &Workspace, content: &'static [u8]) {
        let mut volumes = self.porter.volumes.lock().unwrap();
        volumes.insert(row.id, Bytes::from_static(content));
        let mut world = self.engine.world.lock().unwrap();
        world.volumes.extend(crate::volume::names(row.id));
    }

    pub(super) fn content(&self, row: &Workspace) -> Bytes {
        self.porter.volumes.lock().unwrap()[&row.id].clone()
    }

    pub(super) fn asker(&self) -> Asker {
        self.fixture.request.asker.clone()
    }

    pub(super) async fn row(&self, row: &Workspace) -> Workspace {
        self.fixture.store.workspace(row.id).await.unwrap().unwrap()
    }

    pub(super) async fn take(&self, row: &Workspace, note: &str) -> Result<Record, SnapshotError> {
        let asked = TakeSnapshot {
            asker: self.asker(),
            note: note.into(),
        };
        self.keeper.take(row.id.as_str(), &asked, None).await
    }

    /// Waits until nothing of a workspace is being taken any more, and returns its snapshots.
    pub(super) async fn settled(&self, row: &Workspace) -> Vec<Record> {
        loop {
            let found = self.keeper.list(row.id.as_str()).await.unwrap();
            let is_settled = found
                .iter()
                .all(|record| record.state != SnapshotState::Making);
            if is_settled && self.keeper.is_free(row.id) {
                return found;
            }
            tokio::task::yield_now().await;
        }
    }

    pub(super) async fn taken(&self, row: &Workspace) -> Record {
        let record = self.take(row, "a note").await.unwrap();
        let found = self.settled(row).await;
        found
            .into_iter()
            .find(|found| found.id == record.id)
            .unwrap()
    }

    pub(super) fn filler(&self) -> FromShelf {
        let volumes = Arc::new(self.engine.clone());
        FromShelf::new(
            self.keeper.shelf.clone(),
            Arc::new(self.porter.clone()),
            volumes,
            self.clock.clone(),
        )
    }

    pub(super) async fn audited(&self) -> Vec<AuditAction> {
        let page = self.fixture.store.audit_events(PageRequest::first()).await;
        page.unwrap()
            .items
            .iter()
            .map(|event| event.action)
            .collect()
    }
}

#[tokio::test]
async fn a_snapshot_holds_the_files_and_is_audited() {
    let world = World::new().await;
    let row = world.stopped(b"some files").await;
    let made = world.taken(&row).await;
    assert_eq!(made.state, SnapshotState::Ready);
    assert_eq!(made.files, 7);
    assert_eq!(made.note.as_str(), "a note");
    let (id, asker) = (made.id.to_string(), world.asker());
    let content = world.keeper.content(row.id.as_str(), &id, &asker, None);
    let (_, path) = content.await.unwrap();
    assert_eq!(made.bytes, std::fs::metadata(&path).unwrap().len());
    let unpacked = zstd::decode_all(std::fs::File::open(&path).unwrap()).unwrap();
    assert_eq!(unpacked, b"some files");
    let deleted = world.keeper.delete(row.id.as_str(), &id, &asker, None);
    deleted.await.unwrap();
    assert!(!path.exists());
    assert_eq!(
        world.audited().await[..3],
        [
            AuditAction::SnapshotDelete,
            AuditAction::SnapshotDownload,
            AuditAction::SnapshotCreate,
        ]
    );
}

#[tokio::test]
async fn one_is_taken_at_a_time_and_no_more_than_there_may_be() {
    let world = World::new().await;
    let row = world.stopped(b"x").await;
    world.porter.gate.forget_permits(Semaphore::MAX_PERMITS);
    let first = world.take(&row, "").await.unwrap();
    let again = world.take(&row, "").await.unwrap_err();
    assert!(matches!(again, SnapshotError::InProgress(_)), "{again}");
    let id = first.id.to_string();
    let asker = world.asker();
    let early = world
        .keeper
        .delete(row.id.as_str(), &id, &asker, None)
        .await;
    assert!(matches!(early, Err(SnapshotError::InProgress(_))));
    let early = world
        .keeper
        .restore(row.id.as_str(), &id, &asker, None)
        .await;
    assert!(matches!(early, Err(SnapshotError::InProgress(_))));
    world.porter.gate.add_permits(10);
    world.settled(&row).await;
    world.taken(&row).await;
    let third = world.take(&row, "").await.unwrap_err();
    assert!(matches!(third, SnapshotError::Limit(2)), "{third}");
    let long = world.take(&row, &"x".repeat(201)).await.unwrap_err();
    assert!(
        matches!(
            long,
            SnapshotError::Intent(IntentError::Invalid { field: "note", .. })
        ),
        "{long}"
    );
}

#[tokio::test]
async fn one_that_cannot_be_taken_says_why_and_takes_no_room() {
    let world = World::new().await;
    let row = world.stopped(b"x").await;
    *world.porter.failure.lock().unwrap() = Some("cannot read /workspace/a".into());
    let made = world.taken(&row).await;
    assert_eq!(made.state, SnapshotState::Failed);
    assert_eq!(made.failure.as_deref(), Some("cannot read /workspace/a"));
    assert!(!world.keeper.shelf.archive(made.reference()).exists());
    // It counts towards nothing.
    *world.porter.failure.lock().unwrap() = None;
    for _ in 0..2 {
        assert_eq!(world.taken(&row).await.state, SnapshotState::Ready);
    }
}

#[tokio::test]
async fn a_restore_keeps_the_present_files_first_and_starts_the_workspace() {
    let world = World::new().await;
    let row = world.stopped(b"old").await;
    let old = world.taken(&row).await;
    world.write(&row, b"new");
    let id = old.id.to_string();
    let asker = world.asker();
    let kept = world.keeper.restore(row.id.as_str(), &id, &asker, None);
    let kept = kept.await.unwrap();
    assert_eq!(kept.kind, SnapshotKind::BeforeRestore);
    world.settled(&row).await;
    let now = world.fixture.intents.find(row.id.as_str()).await.unwrap();
    assert!(matches!(now.lifecycle, Lifecycle::Starting { .. }));
    assert_eq!(now.filled_from, Some(old.reference()));
    assert_eq!(now.generation, row.generation.next());
    assert_eq!(world.audited().await[0], AuditAction::SnapshotRestore);

    // Until they are in place, neither may go, and no other may be taken.
    let early = world
        .keeper
        .delete(row.id.as_str(), &id, &asker, None)
        .await;
    assert!(matches!(early, Err(SnapshotError::InUse(_))), "{early:?}");
    let early = world.take(&row, "").await.unwrap_err();
    assert!(matches!(early, SnapshotError::InProgress(_)), "{early}");

    let filler = world.filler();
    filler.fill(row.id, old.reference()).await.unwrap();
    assert_eq!(world.content(&row), "old");
    filler.fill(row.id, kept.reference()).await.unwrap();
    assert_eq!(world.content(&row), "new");
}

#[tokio::test]
async fn files_are_not_replaced_under_running_programs_nor_before_the_present_ones_are_kept() {
    let world = World::new().await;
    let row = world.stopped(b"old").await;
    let old = world.taken(&row).await;
    let (id, asker) = (old.id.to_string(), world.asker());
    *world.porter.failure.lock().unwrap() = Some("the disk is gone".into());
    let kept = world.keeper.restore(row.id.as_str(), &id, &asker, None);
    kept.await.unwrap();
    let found = world.settled(&row).await;
    assert_eq!(found[0].state, SnapshotState::Failed);
    let now = world.fixture.intents.find(row.id.as_str()).await.unwrap();
    assert_eq!((now.filled_from, now.version), (None, row.version));

    let since = world.clock.now();
    let running = Workspace {
        lifecycle: Lifecycle::Running { since },
        ..row.clone()
    };
    let store = &world.fixture.store;
    store.update_workspace(&running, None).await.unwrap();
    let refused = world.keeper.restore(row.id.as_str(), &id, &asker, None);
    let refused = refused.await.unwrap_err();
    assert!(matches!(refused, SnapshotError::NotStopped(_)), "{refused}");
}

#[tokio::test]
async fn a_workspace_that_was_started_meanwhile_is_not_restored_and_it_is_said() {
    let world = World::new().await;
    let row = world.stopped(b"old").await;
    let old = world.taken(&row).await;
    world.porter.gate.forget_permits(Semaphore::MAX_PERMITS);
    let (id, asker) = (old.id.to_string(), world.asker());
    let kept = world.keeper.restore(row.id.as_str(), &id, &asker, None);
    let kept = kept.await.unwrap();
    let started =
        world
            .fixture
            .intents
            .change(row.id.as_str(), crate::intent::Change::Start, &asker, None);
    started.await.unwrap();
    world.porter.gate.add_permits(10);
    let found = world.settled(&row).await;
    let kept = found.iter().find(|found| found.id == kept.id).unwrap();
    assert_eq!(kept.state, SnapshotState::Ready);
    assert!(kept.failure.as_ref().unwrap().contains("not restored"));
    let now = world.fixture.intents.find(row.id.as_str()).await.unwrap();
    assert_eq!(now.filled_from, None);
}

#[tokio::test]
async fn a_damaged_archive_touches_no_file() {
    let world = World::new().await;
    let row = world.stopped(b"old").await;
    let old = world.taken(&row).await;
    world.write(&row, b"new");
    let path = world.keeper.shelf.archive(old.reference());
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let filler = world.filler();
    let error = filler.fill(row.id, old.reference()).await.unwrap_err();
    let is_damaged = matches!(
        error,
        FillError::Archive(archive::ArchiveError::Damaged { .. })
    );
    assert!(is_damaged, "{error}");
    std::fs::remove_file(&path).unwrap();
    assert!(filler.fill(row.id, old.reference()).await.is_err());
    world.keeper.shelf.remove(old.reference()).unwrap();
    let gone = filler.fill(row.id, old.reference()).await.unwrap_err();
    assert!(matches!(gone, FillError::Gone(_)), "{gone}");
    assert_eq!(world.content(&row), "new");
}

#[tokio::test]
async fn a_new_workspace_begins_with_a_snapshot_of_its_owners_and_of_nobody_elses() {
    let world = World::new().await;
    let row = world.stopped(b"old").await;
    let old = world.taken(&row).await;
    let mut request = world.fixture.request.clone();
    let of = SnapshotOf {
        workspace: row.id.to_string(),
        snapshot: old.id.to_string(),
    };
    request.snapshot = Some(of.clone());
    let intents = &world.fixture.intents;
    let copy = intents.create(&request, None).await.unwrap();
    assert_eq!(copy.filled_from, Some(old.reference()));
    for wrong in [
        SnapshotOf {
            snapshot: UserId::generate().to_string(),
            ..of.clone()
        },
        SnapshotOf {
            workspace: copy.id.to_string(),
            ..of.clone()
        },
        SnapshotOf {
            workspace: "../../etc".into(),
            ..of.clone()
        },
    ] {
        request.snapshot = Some(wrong);
        let refused = intents.create(&request, None).await.unwrap_err();
        assert!(
            matches!(
                refused,
                IntentError::Invalid {
                    field: "snapshot",
                    ..
                }
            ),
            "{refused}"
        );
    }
    let refused = intents.snapshot_of(&of, UserId::generate()).await;
    assert!(refused.is_err(), "somebody else's");
}

#[tokio::test]
async fn what_is_in_use_gets_a_snapshot_a_day_and_the_oldest_go() {
    let world = World::new().await;
    let row = world.stopped(b"x").await;
    let running = Workspace {
        lifecycle: Lifecycle::Running {
            since: world.clock.now(),
        },
        ..row.clone()
    };
    let store = &world.fixture.store;
    store.update_workspace(&running, None).await.unwrap();
    let asked = world.taken(&row).await;
    for _ in 0..4 {
        world.keeper.take_due().await;
        world.clock.advance(SignedDuration::from_hours(24));
        world.keeper.take_due().await;
        world.keeper.take_due().await;
    }
    let found = world.settled(&row).await;
    let scheduled = found.iter().filter(|r| r.kind == SnapshotKind::Scheduled);
    assert_eq!(scheduled.count(), 2);
    assert!(found.iter().any(|found| found.id == asked.id));
}

#[tokio::test]
async fn what_could_not_be_kept_whole_or_written_down_is_not_replaced() {
    let world = World::new().await;
    let row = world.stopped(b"old").await;
    let old = world.taken(&row).await;
    let (id, asker) = (old.id.to_string(), world.asker());
    world.porter.skipped.store(1, Ordering::Relaxed);
    let kept = world.keeper.restore(row.id.as_str(), &id, &asker, None);
    let kept = kept.await.unwrap();
    let found = world.settled(&row).await;
    let kept = found.iter().find(|found| found.id == kept.id).unwrap();
    assert!(kept.failure.as_ref().unwrap().contains("1 of its present"));
    world.porter.skipped.store(0, Ordering::Relaxed);

    // The record cannot be written while something else is in its place.
    world.porter.gate.forget_permits(Semaphore::MAX_PERMITS);
    let kept = world.keeper.restore(row.id.as_str(), &id, &asker, None);
    let kept = kept.await.unwrap();
    let record = world.keeper.shelf.archive(kept.reference());
    let record = record.with_file_name(format!("{}.json", kept.id));
    std::fs::remove_file(&record).unwrap();
    std::fs::create_dir_all(record.join("occupied")).unwrap();
    world.porter.gate.add_permits(10);
    while !world.keeper.is_free(row.id) {
        tokio::task::yield_now().await;
    }
    let now = world.fixture.intents.find(row.id.as_str()).await.unwrap();
    assert_eq!((now.filled_from, now.version), (None, row.version));
}

#[tokio::test]
async fn one_whose_files_are_not_in_place_is_restored_without_keeping_the_mixture() {
    let world = World::new().await;
    let row = world.stopped(b"old").await;
    let old = world.taken(&row).await;
    let (id, asker) = (old.id.to_string(), world.asker());
    let half = Workspace {
        filled_from: Some(old.reference()),
        ..row.clone()
    };
    let store = &world.fixture.store;
    store.update_workspace(&half, None).await.unwrap();
    let answered = world.keeper.restore(row.id.as_str(), &id, &asker, None);
    assert_eq!(answered.await.unwrap(), old);
    assert_eq!(world.settled(&row).await, std::slice::from_ref(&old));
    let now = world.fixture.intents.find(row.id.as_str()).await.unwrap();
    assert!(matches!(now.lifecycle, Lifecycle::Starting { .. }));
    assert_eq!(now.filled_from, Some(old.reference()));
}
