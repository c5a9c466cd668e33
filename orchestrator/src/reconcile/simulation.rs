//! Thousands of seeded lives of a small site, under bad weather: engine and store fail, lose
//! replies, and the process dies between any two effects. Whatever happens, once the weather
//! clears everything converges, and at no moment was a promise broken.

mod filler;
mod freezer;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use kalpana_domain::clock::ManualClock;
use kalpana_domain::id::{Generation, OrganizationId, SnapshotId, UserId};
use kalpana_domain::lifecycle::FailureCode;
use kalpana_domain::quota::Quota;
use kalpana_domain::snapshot::SnapshotRef;
use kalpana_domain::workspace::Desired;
use kalpana_protocol::orchestrator::{Asker, CreateWorkspace};
use kalpana_protocol::routes::Target;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::engine::Death;
use crate::engine::fake::{Calm, FakeEngine, Fate, Sky, Weather};
use crate::figures::Histories;
use crate::firewall::keep::Mode;
use crate::intent::{Change, IntentError, Intents};
use crate::snapshot::Shelf;
use crate::trash::{Emptier, Looked};
use crate::uptime::ManualUptime;
use filler::{FakeFiller, is_archive};
use store::FakeStore;

/// A workspace that a visit wakes.
const PAUSED: Target = Target::Paused {
    stays_asleep: false,
};

/// Lives that are simulated. Each is a few dozen intents and a few hundred calls.
const SEEDS: u64 = 2000;

/// What the containers of this world will do, decided when they are first asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Character {
    ReadyAfter(u32),
    CloneFails,
    NeverReady,
    Dies { is_out_of_memory: bool },
}

/// Bridges whose words follow from the container's character.
#[derive(Debug)]
struct FakeBridges {
    engine: FakeEngine,
    characters: Mutex<BTreeMap<(WorkspaceId, Generation), Character>>,
    rng: Mutex<StdRng>,
    /// Generations whose bridge has answered.
    answered: Mutex<BTreeSet<(WorkspaceId, Generation)>>,
}

impl Bridges for FakeBridges {
    fn watch(&self, workspace: WorkspaceId, generation: Generation) -> Readiness {
        let mut world = self.engine.world.lock().unwrap();
        let name = crate::container::name(workspace, generation);
        let container = world
            .containers
            .values_mut()
            .find(|c| c.definition.name == name);
        let Some(container) = container.filter(|c| c.state == ContainerState::Running) else {
            return Readiness::Waiting;
        };
        if self
            .answered
            .lock()
            .unwrap()
            .contains(&(workspace, generation))
        {
            return Readiness::Ready;
        }
        let mut characters = self.characters.lock().unwrap();
        let mut rng = self.rng.lock().unwrap();
        let character = characters
            .entry((workspace, generation))
            .or_insert_with(|| match rng.random_range(0..10) {
                0 => Character::CloneFails,
                1 => Character::NeverReady,
                2 => Character::Dies {
                    is_out_of_memory: rng.random_bool(0.5),
                },
                _ => Character::ReadyAfter(rng.random_range(0..4)),
            });
        match character {
            Character::ReadyAfter(0) => {
                self.answered
                    .lock()
                    .unwrap()
                    .insert((workspace, generation));
                Readiness::Ready
            }
            Character::ReadyAfter(looks) => {
                *looks -= 1;
                Readiness::Waiting
            }
            Character::NeverReady => Readiness::Waiting,
            Character::CloneFails => {
                let reason = FailureReason::new(FailureCode::CloneFailed, "not found");
                Readiness::Failed(reason)
            }
            Character::Dies { is_out_of_memory } => {
                let death = Death {
                    code: 137,
                    is_out_of_memory: *is_out_of_memory,
                };
                container.state = ContainerState::Exited(death);
                Readiness::Waiting
            }
        }
    }

    fn forget(&self, _workspace: WorkspaceId) {}
}

/// Bad weather, by seed.
#[derive(Debug)]
struct Storm(StdRng);

impl Weather for Storm {
    fn next(&mut self) -> Fate {
        match self.0.random_range(0..40) {
            0 | 1 => Fate::Fails,
            2 | 3 => Fate::LosesReply,
            4 => Fate::CrashesBefore,
            5 => Fate::CrashesAfter,
            _ => Fate::Works,
        }
    }
}

/// One life of a site.
struct Life {
    rng: StdRng,
    sky: Sky,
    engine: FakeEngine,
    store: FakeStore,
    bridges: Arc<FakeBridges>,
    clock: Arc<ManualClock>,
    uptime: Arc<ManualUptime>,
    directory: Arc<tempfile::TempDir>,
    reconciler: Reconciler,
    volumes: BTreeSet<String>,
    looked: Looked,
    intents_taken: usize,
    crashes: u64,
    disturbed: u64,
}

/// How long deleted workspaces are kept in these lives.
const RETENTION: Duration = Duration::from_secs(300);

fn limits() -> Limits {
    Limits {
        start: Duration::from_secs(120),
        clone: Duration::from_secs(1800),
        stop: Duration::from_secs(20),
        orphan_grace: Duration::from_secs(300),
    }
}

fn epoch() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

impl Life {
    fn new(seed: u64, directory: Arc<tempfile::TempDir>) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let sky = Sky::new(Storm(StdRng::seed_from_u64(rng.random())));
        let engine = FakeEngine::new(sky.clone());
        engine.world.lock().unwrap().now = epoch();
        let store = FakeStore {
            rows: Arc::default(),
            trash: Arc::default(),
            audit: Arc::default(),
            sky: sky.clone(),
        };
        let bridges = Arc::new(FakeBridges {
            engine: engine.clone(),
            characters: Mutex::default(),
            rng: Mutex::new(StdRng::seed_from_u64(rng.random())),
            answered: Mutex::default(),
        });
        let (clock, uptime) = (
            Arc::new(ManualClock::new(epoch())),
            Arc::new(ManualUptime::default()),
        );
        let reconciler = process(&engine, &store, &bridges, &clock, &uptime, &directory);
        Self {
            rng,
            sky,
            engine,
            store,
            bridges,
            clock,
            uptime,
            directory,
            reconciler,
            volumes: BTreeSet::new(),
            looked: Looked::default(),
            intents_taken: 0,
            crashes: 0,
            disturbed: 0,
        }
    }

    /// Lets the next process take over if this one died.
    fn restart_if_dead(&mut self) {
        if self.sky.take_crash() {
            self.crashes += 1;
            self.looked = Looked::default();
            self.reconciler = process(
                &self.engine,
                &self.store,
                &self.bridges,
                &self.clock,
                &self.uptime,
                &self.directory,
            );
        }
    }

    fn advance(&self, by: Duration) {
        self.uptime.advance(by);
        self.clock.advance(by.try_into().unwrap());
        self.engine.world.lock().unwrap().now = self.clock.now();
    }

    fn ids(&self) -> Vec<WorkspaceId> {
        let mut ids: BTreeSet<_> = self.store.rows.lock().unwrap().keys().copied().collect();
        let world = self.engine.world.lock().unwrap();
        ids.extend(world.containers.values().map(|c| c.definition.workspace));
        ids.extend(
            world
                .networks
                .values()
                .filter_map(|network| network.workspace),
        );
        ids.into_iter().collect()
    }

    fn deleting(&self) -> BTreeSet<WorkspaceId> {
        let rows = self.store.rows.lock().unwrap();
        let deleting = |row: &&Workspace| matches!(row.lifecycle, Lifecycle::Deleting { .. });
        rows.values().filter(deleting).map(|row| row.id).collect()
    }

    /// Returns the workspaces in a state, if there are any.
    fn those_in(&self, state: Option<&str>) -> Option<Vec<WorkspaceId>> {
        let rows = self.store.rows.lock().unwrap();
        let rows = rows.values();
        let there = rows.filter(|row| Some(row.lifecycle.name()) == state);
        let ids: Vec<_> = there.map(|row| row.id).collect();
        (!ids.is_empty()).then_some(ids)
    }

    fn versions(&self) -> BTreeSet<(WorkspaceId, u64)> {
        let rows = self.store.rows.lock().unwrap();
        rows.values().map(|row| (row.id, row.version)).collect()
    }

    /// Ends a container in its sleep, as a reboot of its host does, or thaws one behind our back.
    fn disturb_a_sleeper(&mut self) {
        let mut world = self.engine.world.lock().unwrap();
        let mut asleep = world.containers.values_mut();
        let Some(container) = asleep.find(|found| found.state == ContainerState::Paused) else {
            return;
        };
        container.state = match self.rng.random_bool(0.5) {
            true => ContainerState::Running,
            false => ContainerState::Exited(Death {
                code: 137,
                is_out_of_memory: false,
            }),
        };
        self.disturbed += 1;
    }

    fn intents(&self) -> Intents {
        Intents {
            store: Arc::new(self.store.clone()),
            trash: Arc::new(self.store.clone()),
            feeds: self.reconciler.feeds.clone(),
            clock: self.clock.clone(),
            waker: Arc::new(|_| {}),
            given_up: Arc::default(),
            quota: Quota { workspaces: 4 },
            egress: kalpana_domain::workspace::Egress::Open,
            shelf: self.shelf(),
        }
    }

    /// Returns where snapshots are, of which this site has none on disk.
    fn shelf(&self) -> Shelf {
        Shelf::open(self.directory.path().join("snapshots")).unwrap()
    }

    /// Asks that a workspace that does not run begin anew with the files of a snapshot.
    async fn ask_for_a_restore(&mut self) {
        let state = match self.rng.random_bool(0.5) {
            true => "stopped",
            false => "failed",
        };
        let Some(ids) = self.those_in(Some(state)) else {
            return;
        };
        let id = ids[self.rng.random_range(0..ids.len())];
        let row = self.store.rows.lock().unwrap()[&id].clone();
        let from = SnapshotRef {
            workspace: id,
            snapshot: SnapshotId::from_bytes(self.rng.random()),
        };
        match self.intents().fill(&row, from, &asker(), None).await {
            Ok(_) => self.intents_taken += 1,
            Err(IntentError::Quota(_) | IntentError::Store(_)) => {}
            Err(other) => panic!("an unexpected refusal: {other:?}"),
        }
        self.restart_if_dead();
    }

    /// Writes down that the files of a stopped workspace are in an archive.
    async fn ask_for_an_archive(&mut self) {
        let Some(ids) = self.those_in(Some("stopped")) else {
            return;
        };
        let id = ids[self.rng.random_range(0..ids.len())];
        let row = self.store.rows.lock().unwrap()[&id].clone();
        let to = loop {
            let to = SnapshotRef {
                workspace: id,
                snapshot: SnapshotId::from_bytes(self.rng.random()),
            };
            if is_archive(to) {
                break to;
            }
        };
        match self.intents().archive(&row, to, None).await {
            Ok(_) => self.intents_taken += 1,
            Err(IntentError::Invalid { .. } | IntentError::Store(_)) => {}
            Err(other) => panic!("an unexpected refusal: {other:?}"),
        }
        self.restart_if_dead();
    }

    /// Looks through the trash.
    async fn look_through_trash(&mut self) {
        let emptier = Emptier {
            volumes: Arc::new(self.engine.clone()),
            workspaces: Arc::new(self.store.clone()),
            trash: Arc::new(self.store.clone()),
            shelf: self.shelf(),
            histories: Histories::open(self.directory.path().join("figures")).unwrap(),
            clock: self.clock.clone(),
            uptime: self.uptime.clone(),
            metrics: self.reconciler.metrics.clone(),
            retention: RETENTION,
            given_up: Arc::default(),
        };
        let _ = emptier.look(&mut self.looked).await;
        self.restart_if_dead();
    }

    /// Asks for a deleted workspace, or one whose deletion is under way, back or gone for good.
    async fn ask_of_trash(&mut self) {
        let intents = self.intents();
        let mut ids: Vec<_> = self.store.trash.lock().unwrap().keys().copied().collect();
        ids.extend(self.deleting());
        if ids.is_empty() {
            return;
        }
        let id = ids[self.rng.random_range(0..ids.len())];
        let answer = match self.rng.random_bool(0.8) {
            true => intents.restore(id.as_str(), &asker(), None).await,
            false => intents.purge(id.as_str(), &asker(), None).await,
        };
        match answer {
            Ok(_) => self.intents_taken += 1,
            Err(
                IntentError::Quota(_)
                | IntentError::NotFound { .. }
                | IntentError::Store(StoreError::Unavailable { .. }),
            ) => {}
            Err(other) => panic!("an unexpected refusal: {other:?}"),
        }
        self.restart_if_dead();
    }

    async fn ask_for_something(&mut self) {
        let intents = self.intents();
        let ids = self.ids();
        let chosen = self.rng.random_range(0..10);
        let deleting_before = self.deleting();
        let before = self.versions();
        let answer = if chosen < 2 || ids.is_empty() {
            intents.create(&request(), None).await
        } else {
            // Only what runs can be put to sleep, and only what sleeps can be woken.
            let state = match chosen {
                7 | 8 => Some("running"),
                9 => Some("paused"),
                _ => None,
            };
            let ids = self.those_in(state).unwrap_or(ids);
            let id = ids[self.rng.random_range(0..ids.len())];
            let change = match chosen {
                2 | 3 => Change::Start,
                4 | 5 => Change::Stop,
                7 | 8 => Change::Pause,
                9 => Change::Wake,
                _ => Change::Delete,
            };
            intents.change(id.as_str(), change, &asker(), None).await
        };
        match answer {
            // A deletion that is asked for twice is one change.
            Ok(row) if deleting_before.contains(&row.id) => {}
            // So is sleep, and being awake.
            Ok(row) if before.contains(&(row.id, row.version)) => {}
            Ok(_) => self.intents_taken += 1,
            Err(
                IntentError::Quota(_)
                | IntentError::Transition(_)
                | IntentError::NotFound { .. }
                | IntentError::Store(StoreError::Unavailable { .. }),
            ) => {}
            Err(other) => panic!("an unexpected refusal: {other:?}"),
        }
        self.restart_if_dead();
    }

    /// Checks what must hold at every moment.
    fn check(&mut self, seed: u64) {
        let world = self.engine.world.lock().unwrap();
        let mut running = BTreeMap::<WorkspaceId, usize>::new();
        let mut names = BTreeSet::new();
        for container in world.containers.values() {
            assert!(
                names.insert(&container.definition.name),
                "seed {seed}: a name twice"
            );
            assert!(
                container.starts <= 1,
                "seed {seed}: a container started twice"
            );
            if matches!(
                container.state,
                ContainerState::Running | ContainerState::Paused
            ) {
                *running.entry(container.definition.workspace).or_default() += 1;
            }
        }
        // I1, and more: not even of different generations.
        assert!(
            running.values().all(|count| *count == 1),
            "seed {seed}: I1 {running:?}"
        );
        // I2: only what was given up or archived is gone.
        let trash = self.store.trash.lock().unwrap();
        let rows = self.store.rows.lock().unwrap();
        for name in self.volumes.difference(&world.volumes) {
            let owner = crate::engine::fake::workspace_of(name);
            let deleted = trash.get(&owner).map(|deleted| &deleted.workspace);
            let is_given_up = deleted.is_some_and(|deleted| deleted.desired == Desired::Purged);
            let row = rows.get(&owner).or(deleted);
            let is_archived = row.and_then(|row| row.filled_from).is_some_and(is_archive);
            assert!(
                is_given_up || is_archived,
                "seed {seed}: I2, the volume {name} is gone"
            );
        }
        drop((trash, rows));
        self.volumes.clone_from(&world.volumes);
        let subnets: Vec<_> = world
            .networks
            .values()
            .map(|n| n.subnets[0].to_string())
            .collect();
        let distinct: BTreeSet<_> = subnets.iter().collect();
        assert_eq!(distinct.len(), subnets.len(), "seed {seed}: a subnet twice");
        drop(world);
        for row in self.store.rows.lock().unwrap().values() {
            let answered = self
                .bridges
                .answered
                .lock()
                .unwrap()
                .contains(&(row.id, row.generation));
            // I3
            let is_running = matches!(
                row.lifecycle,
                Lifecycle::Running { .. } | Lifecycle::Paused { .. }
            );
            assert!(!is_running || answered, "seed {seed}: I3 {row:?}");
            // I5: whatever runs has its files.
            assert!(
                !is_running || row.filled_from.is_none(),
                "seed {seed}: I5 {row:?}"
            );
            // I4, as far as routes of this generation go
            let route = self.reconciler.feeds.published(row.id);
            if let Some(route) =
                route.filter(|route| matches!(route.target, Target::Running { .. }))
            {
                assert!(
                    route.generation <= row.generation.0,
                    "seed {seed}: I4 {route:?}"
                );
            }
        }
    }

    /// Checks what must hold once everything has come to rest.
    fn check_rest(&self, seed: u64) {
        let world = self.engine.world.lock().unwrap();
        let rows = self.store.rows.lock().unwrap();
        let mut expected = BTreeSet::new();
        for row in rows.values() {
            let route = self
                .reconciler
                .feeds
                .published(row.id)
                .map(|route| route.target);
            match &row.lifecycle {
                Lifecycle::Running { .. } => {
                    let name = crate::container::name(row.id, row.generation);
                    expected.insert((name, false));
                    assert!(
                        matches!(route, Some(Target::Running { .. })),
                        "seed {seed}: {route:?}"
                    );
                }
                Lifecycle::Paused { .. } => {
                    expected.insert((crate::container::name(row.id, row.generation), true));
                    assert_eq!(route, Some(PAUSED), "seed {seed}");
                }
                Lifecycle::Stopped => {
                    assert_eq!(route, Some(Target::Stopped), "seed {seed}");
                    if row.filled_from.is_some_and(is_archive) {
                        let own = crate::volume::names(row.id);
                        let left = own.iter().any(|name| world.volumes.contains(name));
                        assert!(!left, "seed {seed}: {} was not put away", row.id);
                    }
                }
                Lifecycle::Failed { .. } => {
                    assert!(matches!(route, Some(Target::Failed { .. })), "seed {seed}");
                }
                other => panic!("seed {seed}: {} never came to rest: {other:?}", row.id),
            }
        }
        let found: BTreeSet<_> = world
            .containers
            .values()
            .map(|c| (c.definition.name.clone(), c.state == ContainerState::Paused))
            .collect();
        assert_eq!(found, expected, "seed {seed}: containers at rest");
        let networks: BTreeSet<_> = world
            .networks
            .values()
            .filter_map(|n| n.workspace)
            .collect();
        let running: BTreeSet<_> = world
            .containers
            .values()
            .map(|c| c.definition.workspace)
            .collect();
        assert_eq!(networks, running, "seed {seed}: networks at rest");
        // What was given up is gone, and everything else is there.
        let trash = self.store.trash.lock().unwrap();
        for name in &world.volumes {
            let owner = crate::engine::fake::workspace_of(name);
            let is_given_up = trash
                .get(&owner)
                .is_some_and(|deleted| deleted.workspace.desired == Desired::Purged);
            assert!(
                !is_given_up,
                "seed {seed}: {name} was given up and is there"
            );
        }
        let audited = self.store.audit.lock().unwrap().len();
        assert!(
            audited >= self.intents_taken,
            "seed {seed}: I6 {audited} of {}",
            self.intents_taken
        );
    }
}

fn process(
    engine: &FakeEngine,
    store: &FakeStore,
    bridges: &Arc<FakeBridges>,
    clock: &Arc<ManualClock>,
    uptime: &Arc<ManualUptime>,
    directory: &tempfile::TempDir,
) -> Reconciler {
    let gid = rustix::process::getegid().as_raw();
    let directories = RunDirectories::create(directory.path().join("w"), gid, gid).unwrap();
    let keys = Arc::new(NodeKey::from_bytes([1; 32]));
    let feeds = Feeds::new(Arc::clone(&keys), directories.clone());
    let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
    let board = Board::new(
        feeds.clone(),
        clock.clone(),
        uptime.clone(),
        metrics.clone(),
    );
    Reconciler {
        engine: Arc::new(engine.clone()),
        engine_socket: "/fake.sock".into(),
        store: Arc::new(store.clone()),
        bridges: bridges.clone(),
        filler: Arc::new(FakeFiller {
            engine: engine.clone(),
            store: store.clone(),
        }),
        feeds,
        board,
        journal: Journal::default(),
        firewall: Arc::new(Firewall::new(Mode::Off, &[], metrics.clone())),
        metrics,
        clock: clock.clone(),
        uptime: uptime.clone(),
        directories,
        keys,
        site: crate::testing::site(),
        host: crate::testing::host(),
        pool: Subnet::parse("10.9.0.0/24").unwrap(),
        limits: limits(),
        starts: Arc::new(Semaphore::new(2)),
        state: State::default(),
    }
}

fn asker() -> Asker {
    Asker {
        user: UserId::from_bytes([2; 16]).to_string(),
        session: Some(kalpana_domain::id::SessionId::from_bytes([3; 16]).to_string()),
        token: None,
        address: None,
    }
}

fn request() -> CreateWorkspace {
    CreateWorkspace {
        asker: asker(),
        organization: OrganizationId::from_bytes([1; 16]).to_string(),
        name: "simulated".into(),
        repository: None,
        branch: None,
        size: "small".into(),
        egress: None,
        snapshot: None,
        idempotency_key: None,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
}

fn directory() -> Arc<tempfile::TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

async fn live(seed: u64, directory: Arc<tempfile::TempDir>) -> (usize, u64, u64) {
    let mut life = Life::new(seed, directory);
    for _ in 0..life.rng.random_range(5..40) {
        if life.rng.random_bool(0.3) {
            life.ask_for_something().await;
        }
        if life.rng.random_bool(0.2) {
            life.ask_of_trash().await;
        }
        if life.rng.random_bool(0.08) {
            life.ask_for_a_restore().await;
        }
        if life.rng.random_bool(0.08) {
            life.ask_for_an_archive().await;
        }
        if life.rng.random_bool(0.2) {
            life.look_through_trash().await;
        }
        if life.rng.random_bool(0.2) {
            life.disturb_a_sleeper();
        }
        let ids = life.ids();
        if !ids.is_empty() {
            let id = ids[life.rng.random_range(0..ids.len())];
            life.reconciler.pass(id).await;
            life.restart_if_dead();
        }
        // Now and then something dies by itself.
        if life.rng.random_bool(0.05) {
            let mut world = life.engine.world.lock().unwrap();
            if let Some(container) = world.containers.values_mut().next()
                && container.state == ContainerState::Running
            {
                container.state = ContainerState::Exited(Death {
                    code: 1,
                    is_out_of_memory: false,
                });
            }
        }
        let pause = Duration::from_secs(life.rng.random_range(0..30));
        life.advance(pause);
        life.check(seed);
    }
    life.sky.set(Calm);
    // Rest: every deadline passes and every orphan's grace.
    for round in 0..30 {
        life.restart_if_dead();
        let mut all_settled = true;
        for id in life.ids() {
            all_settled &= life.reconciler.pass(id).await == Outcome::Settled;
            life.check(seed);
        }
        life.look_through_trash().await;
        life.check(seed);
        life.advance(Duration::from_secs(60));
        if all_settled && round > 8 {
            break;
        }
    }
    life.check_rest(seed);
    let directory = life.directory.path().join("w");
    let left: BTreeSet<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    for id in life.ids() {
        let runs = life.reconciler.feeds.published(id);
        let runs = runs.is_some_and(|route| {
            matches!(route.target, Target::Running { .. } | Target::Paused { .. })
        });
        assert_eq!(
            left.contains(std::ffi::OsStr::new(id.as_str())),
            runs,
            "seed {seed}: {id}"
        );
    }
    (life.intents_taken, life.crashes, life.disturbed)
}

#[test]
fn whatever_happens_everything_converges_and_no_promise_is_broken() {
    let (intents, crashes) = (AtomicU64::new(0), AtomicU64::new(0));
    let disturbed = AtomicU64::new(0);
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let runtime = runtime();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS {
                        break;
                    }
                    let (taken, died, sleepers) = runtime.block_on(live(seed, directory()));
                    intents.fetch_add(taken as u64, Ordering::Relaxed);
                    crashes.fetch_add(died, Ordering::Relaxed);
                    disturbed.fetch_add(sleepers, Ordering::Relaxed);
                }
            });
        }
    });
    let (intents, crashes) = (intents.into_inner(), crashes.into_inner());
    let disturbed = disturbed.into_inner();
    println!(
        "{SEEDS} seeds, {intents} intents, {crashes} crashes, {disturbed} sleepers disturbed, \
         0 violations"
    );
    // Were the weather always fine, the simulation would prove nothing.
    assert!(intents > SEEDS && crashes > SEEDS / 2 && disturbed > SEEDS / 20);
}

#[test]
fn a_container_that_lost_its_isolation_never_counts_as_running() {
    runtime().block_on(async {
        let mut life = Life::new(1, directory());
        life.sky.set(Calm);
        life.engine.world.lock().unwrap().drops = Some(|found| found.host.cap_drop = None);
        let row = life.intents().create(&request(), None).await.unwrap();
        while life.reconciler.pass(row.id).await != Outcome::Settled {
            life.check(1);
        }
        let row = life.store.workspace(row.id).await.unwrap().unwrap();
        let Lifecycle::Failed { reason, .. } = row.lifecycle else {
            panic!("{row:?}")
        };
        assert_eq!(reason.code, FailureCode::IsolationMismatch);
        let world = life.engine.world.lock().unwrap();
        assert!(world.containers.is_empty() && world.networks.is_empty());
        assert_eq!(world.volumes.len(), 2);
    });
}

#[test]
fn a_missing_image_fails_at_once_and_names_the_command() {
    runtime().block_on(async {
        let life = Life::new(1, directory());
        life.sky.set(Calm);
        life.engine.world.lock().unwrap().has_image = false;
        let row = life.intents().create(&request(), None).await.unwrap();
        assert_eq!(life.reconciler.pass(row.id).await, Outcome::Settled);
        let row = life.store.workspace(row.id).await.unwrap().unwrap();
        let Lifecycle::Failed { reason, .. } = row.lifecycle else {
            panic!("{row:?}")
        };
        assert_eq!(reason.code, FailureCode::ImageMissing);
        assert!(reason.message.contains("make image"), "{}", reason.message);
        assert_eq!(
            life.engine.world.lock().unwrap().networks.len(),
            0,
            "nothing is half made"
        );
    });
}

#[test]
fn an_exhausted_pool_fails_at_once() {
    runtime().block_on(async {
        let mut life = Life::new(1, directory());
        life.sky.set(Calm);
        life.reconciler.pool = Subnet::parse("10.9.0.0/28").unwrap();
        let mut outcomes = Vec::new();
        for _ in 0..2 {
            // Bridges have characters; a failed start would free its network again.
            let row = life.intents().create(&request(), None).await.unwrap();
            life.bridges
                .characters
                .lock()
                .unwrap()
                .insert((row.id, row.generation), Character::ReadyAfter(0));
            life.reconciler.pass(row.id).await;
            outcomes.push(
                life.store
                    .workspace(row.id)
                    .await
                    .unwrap()
                    .unwrap()
                    .lifecycle,
            );
        }
        assert!(
            matches!(outcomes[0], Lifecycle::Running { .. }),
            "{outcomes:?}"
        );
        let Lifecycle::Failed { reason, .. } = &outcomes[1] else {
            panic!("{outcomes:?}")
        };
        assert_eq!(reason.code, FailureCode::NetworkExhausted);
    });
}

/// Nothing works.
#[derive(Debug)]
struct Night;

impl Weather for Night {
    fn next(&mut self) -> Fate {
        Fate::Fails
    }
}

/// What the store is away for is not the workspace's time: whether it is ready or still on its way.
#[test]
fn a_start_goes_on_when_the_store_is_back_however_long_that_took() {
    runtime().block_on(async {
        let life = Life::new(1, directory());
        life.sky.set(Calm);
        let row = life.intents().create(&request(), None).await.unwrap();
        let slow = Character::ReadyAfter(3);
        let name = (row.id, row.generation);
        life.bridges.characters.lock().unwrap().insert(name, slow);
        let begun = life.reconciler.pass(row.id).await;
        assert!(matches!(begun, Outcome::Waiting(_)), "{begun:?}");
        life.sky.set(Night);
        for _ in 0..3 {
            life.advance(limits().start * 2);
            assert_eq!(life.reconciler.pass(row.id).await, Outcome::Failed);
        }
        life.sky.set(Calm);
        for _ in 0..10 {
            life.advance(Duration::from_secs(10));
            life.reconciler.pass(row.id).await;
        }
        let row = life.store.workspace(row.id).await.unwrap().unwrap();
        assert!(
            matches!(row.lifecycle, Lifecycle::Running { .. }),
            "{row:?}"
        );
    });
}

/// The engine is away from the start: the intent is kept, and fails with the next step in time.
#[test]
fn a_start_without_an_engine_waits_and_then_says_what_to_do() {
    runtime().block_on(async {
        let life = Life::new(1, directory());
        life.sky.set(Calm);
        let row = life.intents().create(&request(), None).await.unwrap();
        // The store is up, the engine is not.
        let dark = Sky::new(Night);
        let engine = FakeEngine {
            world: life.engine.world.clone(),
            sky: dark,
        };
        let reconciler = Reconciler {
            engine: Arc::new(engine),
            ..life.reconciler
        };
        assert_eq!(reconciler.pass(row.id).await, Outcome::Failed);
        let waiting = life.store.workspace(row.id).await.unwrap().unwrap();
        assert!(matches!(waiting.lifecycle, Lifecycle::Starting { .. }));
        life.uptime.advance(limits().start + Duration::from_secs(1));
        reconciler.pass(row.id).await;
        let row = life.store.workspace(row.id).await.unwrap().unwrap();
        let Lifecycle::Failed { reason, .. } = row.lifecycle else {
            panic!("{row:?}")
        };
        assert_eq!(reason.code, FailureCode::EngineUnavailable);
        assert!(reason.message.contains("/fake.sock"), "{}", reason.message);
        assert!(
            reason.message.contains("systemctl start docker"),
            "{}",
            reason.message
        );
    });
}

#[test]
fn a_container_that_dies_says_its_last_words() {
    runtime().block_on(async {
        for (is_out_of_memory, code, words) in [
            (
                false,
                FailureCode::ContainerDied,
                "exit code 137: no such key",
            ),
            (true, FailureCode::OutOfMemory, "2 GiB"),
        ] {
            let life = Life::new(1, directory());
            life.sky.set(Calm);
            let log = b"2026-01-02T03:04:05Z no such key\n2026-01-02T03:04:05Z  \n".to_vec();
            life.engine.world.lock().unwrap().log = log;
            let row = life.intents().create(&request(), None).await.unwrap();
            let character = Character::Dies { is_out_of_memory };
            life.bridges
                .characters
                .lock()
                .unwrap()
                .insert((row.id, row.generation), character);
            life.reconciler.pass(row.id).await;
            life.reconciler.pass(row.id).await;
            let row = life.store.workspace(row.id).await.unwrap().unwrap();
            let Lifecycle::Failed { reason, .. } = row.lifecycle else {
                panic!("{row:?}")
            };
            assert_eq!(reason.code, code);
            assert!(reason.message.contains(words), "{}", reason.message);
            let (kept, _) = life.reconciler.journal.read(row.id);
            assert!(
                kept.iter().any(|line| line.text == "no such key"),
                "its log outlives it"
            );
            assert_eq!(life.engine.world.lock().unwrap().volumes.len(), 2);
        }
    });
}

#[test]
fn starts_beyond_the_limit_wait_for_their_turn_without_losing_time() {
    runtime().block_on(async {
        let life = Life::new(1, directory());
        life.sky.set(Calm);
        let mut rows = Vec::new();
        for _ in 0..3 {
            let row = life.intents().create(&request(), None).await.unwrap();
            life.bridges
                .characters
                .lock()
                .unwrap()
                .insert((row.id, row.generation), Character::ReadyAfter(2));
            rows.push(row);
        }
        let mut outcomes = Vec::new();
        for row in &rows {
            outcomes.push(life.reconciler.pass(row.id).await);
        }
        assert!(matches!(outcomes[0], Outcome::Waiting(_)), "{outcomes:?}");
        assert_eq!(outcomes[2], Outcome::Queued);
        life.advance(limits().start - Duration::from_secs(1));
        assert_eq!(life.reconciler.pass(rows[2].id).await, Outcome::Queued);
        while life.reconciler.pass(rows[0].id).await != Outcome::Settled {}
        life.advance(Duration::from_secs(60));
        while life.reconciler.pass(rows[2].id).await != Outcome::Settled {}
        let row = life.store.workspace(rows[2].id).await.unwrap().unwrap();
        assert!(
            matches!(row.lifecycle, Lifecycle::Running { .. }),
            "{row:?}"
        );
    });
}

/// Intents that cross each other, in every order and at every point of a start.
#[test]
fn delete_during_create_stop_during_start_and_start_during_delete_end_legally() {
    runtime().block_on(async {
        for passes_before in 0..5 {
            for changes in [
                vec![Change::Stop],
                vec![Change::Delete],
                vec![Change::Stop, Change::Delete],
                vec![Change::Delete, Change::Start],
                vec![Change::Delete, Change::Stop],
                vec![Change::Stop, Change::Start],
            ] {
                let mut life = Life::new(7, directory());
                life.sky.set(Calm);
                let row = life.intents().create(&request(), None).await.unwrap();
                life.bridges
                    .characters
                    .lock()
                    .unwrap()
                    .insert((row.id, row.generation), Character::ReadyAfter(2));
                for _ in 0..passes_before {
                    let _ = life.reconciler.round(row.id).await;
                }
                let mut is_deleted = false;
                for change in &changes {
                    let before = life.store.workspace(row.id).await.unwrap();
                    let is_stopped =
                        before.is_some_and(|row| matches!(row.lifecycle, Lifecycle::Stopped));
                    let answer = life
                        .intents()
                        .change(row.id.as_str(), *change, &asker(), None)
                        .await;
                    // Stopping what is stopped and starting what is not are both refused.
                    let is_legal = !is_deleted
                        && (*change == Change::Delete || is_stopped == (*change == Change::Start));
                    assert_eq!(
                        answer.is_ok(),
                        is_legal,
                        "{changes:?} after {passes_before}"
                    );
                    is_deleted |= *change == Change::Delete;
                    let _ = life.reconciler.round(row.id).await;
                    life.check(7);
                }
                while life.reconciler.pass(row.id).await != Outcome::Settled {}
                let stored = life.store.workspace(row.id).await.unwrap();
                assert_eq!(stored.is_none(), is_deleted);
                life.check_rest(7);
            }
        }
    });
}

#[test]
fn orphans_are_left_alone_until_their_grace_is_over() {
    runtime().block_on(async {
        let mut life = Life::new(1, directory());
        life.sky.set(Calm);
        let row = life.intents().create(&request(), None).await.unwrap();
        life.bridges
            .characters
            .lock()
            .unwrap()
            .insert((row.id, row.generation), Character::ReadyAfter(0));
        while life.reconciler.pass(row.id).await != Outcome::Settled {}
        life.store.rows.lock().unwrap().clear();
        assert_eq!(life.reconciler.pass(row.id).await, Outcome::Settled);
        assert_eq!(
            life.engine.world.lock().unwrap().containers.len(),
            1,
            "within its grace"
        );
        life.advance(limits().orphan_grace + Duration::from_secs(1));
        assert_eq!(life.reconciler.pass(row.id).await, Outcome::Settled);
        life.check(1);
        let world = life.engine.world.lock().unwrap();
        assert!(world.containers.is_empty() && world.networks.is_empty());
        assert_eq!(world.volumes.len(), 2);
    });
}

#[test]
fn a_workspace_that_ran_is_published_again_only_when_its_bridge_answers() {
    runtime().block_on(async {
        let mut life = Life::new(1, directory());
        life.sky.set(Calm);
        let row = life.intents().create(&request(), None).await.unwrap();
        let key = (row.id, row.generation);
        life.bridges
            .characters
            .lock()
            .unwrap()
            .insert(key, Character::ReadyAfter(0));
        while life.reconciler.pass(row.id).await != Outcome::Settled {}
        // The process restarts, and the bridge is slow to answer.
        life.bridges.answered.lock().unwrap().clear();
        life.bridges
            .characters
            .lock()
            .unwrap()
            .insert(key, Character::ReadyAfter(1));
        life.reconciler = process(
            &life.engine,
            &life.store,
            &life.bridges,
            &life.clock,
            &life.uptime,
            &life.directory,
        );
        let row = life.store.workspace(row.id).await.unwrap().unwrap();
        life.reconciler.feeds.row(&row, None);
        assert!(matches!(
            life.reconciler.feeds.published(row.id).unwrap().target,
            Target::Starting { .. }
        ));
        while life.reconciler.pass(row.id).await != Outcome::Settled
            || matches!(
                life.reconciler.feeds.published(row.id).unwrap().target,
                Target::Starting { .. }
            )
        {}
        assert!(matches!(
            life.reconciler.feeds.published(row.id).unwrap().target,
            Target::Running { .. }
        ));
        let world = life.engine.world.lock().unwrap();
        assert_eq!(
            world
                .containers
                .values()
                .map(|c| c.starts)
                .collect::<Vec<_>>(),
            [1]
        );
    });
}
