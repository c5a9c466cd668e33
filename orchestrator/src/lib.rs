//! Makes containers match what was asked.
//!
//! [`run`] serves the internal API and keeps at it. An intent comes in through `api`, becomes a
//! row in `intent`, and is answered. From then on `reconcile` works: it looks (`observe`, through
//! `engine` and `ready`), decides (`plan`, pure), acts, and looks again, until the world is as the
//! row says. `container`, `network`, `volume`, `image` and `launch` say what the world should look
//! like in detail; `feed`, `progress` and `logs` tell others what became of it. `snapshot` keeps copies
//! of files, and fills the volumes of a workspace that is to begin with one. `figures` reads what each
//! workspace uses, for those who watch and for a day's history.
//! `firewall` keeps what runs in workspaces from the host, its networks and each other.
//!
//! [`examine`] looks at the engine for an operator, and changes nothing.
//!
//! Nothing is remembered outside the store, the engine itself and the directories of snapshots and of
//! figures, so a process may die between any two steps. [`trash`] removes the volumes of what was given
//! up; `snapshot` empties those that are to be filled, and removes those of what was archived. Nothing
//! else does either.

mod api;
mod container;
mod engine;
pub mod error;
pub mod examine;
mod feed;
mod figures;
mod firewall;
mod idle;
mod image;
mod intent;
mod keys;
mod labels;
mod launch;
mod logs;
mod metrics;
mod network;
mod observe;
mod plan;
mod progress;
mod ready;
mod reconcile;
mod snapshot;
#[cfg(test)]
mod testing;
mod trash;
mod uptime;
mod volume;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kalpana_config::{Orchestrator, Site};
use kalpana_domain::Timestamp;
use kalpana_domain::clock::Clock;
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::quota::Quota;
use kalpana_link::{Listener, PeerPolicy};
use kalpana_store::Store;
use kalpana_store::repository::Workspaces;
use prometheus::Registry;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

pub use error::Error;
pub use keys::NodeKeyError;

use crate::api::Api;
use crate::container::Host;
use crate::engine::docker::{DockerEngine, DockerPorter};
use crate::feed::Feeds;
use crate::figures::kills::KERNEL_LOG;
use crate::figures::tree::Tree;
use crate::figures::{Figures, Histories, Meter};
use crate::firewall::Firewall;
use crate::idle::Timers;
use crate::idle::signs::Register;
use crate::idle::watch::{SleepLimits, Watch};
use crate::intent::Intents;
use crate::keys::NodeKey;
use crate::launch::RunDirectories;
use crate::logs::Journal;
use crate::metrics::Metrics;
use crate::network::Subnet;
use crate::progress::Board;
use crate::ready::Followers;
use crate::reconcile::work::Work;
use crate::reconcile::{Limits, Reconciler, State, root_uid};
use crate::snapshot::filler::FromShelf;
use crate::snapshot::porter::Porter;
use crate::snapshot::{Keeper, Shelf};
use crate::trash::Emptier;
use crate::uptime::SinceStart;

/// Mode of the internal socket: for the run directory's group, and the peer's user decides.
const SOCKET_MODE: u32 = 0o660;

/// How long running workspaces may take to answer before the gateway is told that they are not
/// reachable yet. A gateway keeps the routes it knows until then.
const ADOPTION_LIMIT: Duration = Duration::from_secs(3);

/// How old something of ours must be that belongs to no workspace before it is removed. A store
/// that was restored from a backup shows itself as such things; the grace gives people time.
const ORPHAN_GRACE: Duration = Duration::from_secs(5 * 60);

/// How soon it is tried again to remove the containers that carried files for an earlier process.
const CLEAR_AGAIN: Duration = Duration::from_secs(60);

/// What the orchestrator is given.
pub struct Dependencies {
    /// URLs and directories.
    pub site: Site,
    /// The operator's settings.
    pub config: Orchestrator,
    /// Who may speak to us, and to our containers.
    pub peers: OrchestratorPeers,
    /// What is remembered.
    pub store: Store,
    /// Where metrics are registered.
    pub registry: Registry,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Set to whether we can do our work: the store answers and the internal socket is open.
    pub ready: watch::Sender<bool>,
}

/// Who may speak to the orchestrator, and to its containers.
#[derive(Debug, Clone)]
pub struct OrchestratorPeers {
    /// Who may call the internal API.
    pub api: PeerPolicy,
    /// The group whose members may dial the bridges: ours and the gateway's.
    pub run_gid: u32,
}

impl std::fmt::Debug for Dependencies {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Dependencies")
            .field("site", &self.site)
            .finish_non_exhaustive()
    }
}

/// Runs the orchestrator until `shutdown`.
///
/// An engine that does not answer is no reason not to start: intents are taken, running workspaces
/// stay reachable, and the log says what to do.
///
/// # Errors
/// [`Error`] when it cannot start.
pub async fn run(dependencies: Dependencies, shutdown: CancellationToken) -> Result<(), Error> {
    let Dependencies {
        site,
        config,
        peers,
        store,
        registry,
        clock,
        ready,
    } = dependencies;
    let metrics = Metrics::register(&registry)?;
    let keys = Arc::new(NodeKey::load_or_create(&site.orchestrator_dir())?);
    let own_gid = rustix::process::getegid().as_raw();
    let directories = RunDirectories::create(site.workspaces_run_dir(), peers.run_gid, own_gid)
        .map_err(|error| Error::RunDirectory(Box::new(error)))?;
    let shelf = config
        .snapshot_dir
        .clone()
        .unwrap_or_else(|| site.orchestrator_dir().join("snapshots"));
    let shelf = Shelf::open(shelf).map_err(|error| Error::Snapshots(Box::new(error)))?;
    let histories = config
        .figures_dir
        .clone()
        .unwrap_or_else(|| site.orchestrator_dir().join("figures"));
    let histories = Histories::open(histories).map_err(|error| Error::Figures(Box::new(error)))?;
    let listener = Listener::bind(&site.orchestrator_socket(), SOCKET_MODE, peers.api)?;
    let rows = store.all_workspaces().await?;

    let uptime = Arc::new(SinceStart::new());
    let feeds = Feeds::new(Arc::clone(&keys), directories.clone());
    let board = Board::new(
        feeds.clone(),
        Arc::clone(&clock),
        uptime.clone(),
        metrics.clone(),
    );
    let capabilities = Arc::new(Mutex::new(None));
    let followers = {
        let capabilities = Arc::clone(&capabilities);
        let peer_uid = Arc::new(move || root_uid(&capabilities));
        Followers::new(
            directories.clone(),
            Arc::clone(&keys),
            Arc::clone(&clock),
            board.clone(),
            peer_uid,
        )
    };
    let engine_socket = config.engine_socket.clone();
    let engine = Arc::new(DockerEngine::new(
        engine_socket.into(),
        config.instance.clone(),
        metrics.clone(),
    ));
    let heart = DockerEngine::clone(&engine);
    let host = Host {
        instance: config.instance.clone(),
        image: config.image.clone(),
        runtime: config.runtime.clone(),
        stop_timeout: config.stop_timeout.0,
        groups: directories.groups(),
        has_ipv6: Path::new("/proc/sys/net/ipv6").exists(),
    };
    let porter: Arc<dyn Porter> = Arc::new(DockerPorter::new(
        DockerEngine::clone(&engine),
        host.clone(),
    ));
    let instance = config.instance.clone();
    let limits = snapshot::keeper::Limits {
        manual: config.snapshots_per_workspace,
        every: timer(config.snapshot_every),
        scheduled: config.snapshots_scheduled,
        reserve: config.snapshot_reserve_mib.saturating_mul(1 << 20),
        archive_after: timer(config.archive_after),
        archive_after_limit: timer(config.archive_after_limit),
    };
    let journal = Journal::default();
    let (timers, sleep_limits) = (timers(&config), sleep_limits(&config));
    let egress = config
        .egress
        .parse()
        .map_err(|_| invalid("egress", &config.egress, "must be open or none"))?;
    let pool = Subnet::parse(&config.subnet_pool).ok_or_else(|| {
        invalid(
            "subnet_pool",
            &config.subnet_pool,
            "must be an IPv4 network",
        )
    })?;
    let firewall = Arc::new(firewall(&config, &metrics)?);
    let workspaces: Arc<dyn Workspaces> = Arc::<dyn kalpana_store::Repository>::clone(&store);
    let reconciler = Arc::new(Reconciler {
        engine: engine.clone(),
        engine_socket: config.engine_socket.into(),
        store: Arc::clone(&workspaces),
        bridges: Arc::new(followers.clone()),
        filler: Arc::new(FromShelf::new(
            shelf.clone(),
            Arc::clone(&porter),
            engine.clone(),
            Arc::clone(&clock),
        )),
        feeds: feeds.clone(),
        board,
        journal: journal.clone(),
        metrics,
        clock: Arc::clone(&clock),
        uptime,
        host,
        directories,
        keys,
        site,
        pool,
        firewall: Arc::clone(&firewall),
        limits: Limits {
            start: config.start_timeout.0,
            clone: config.clone_timeout.0,
            stop: config.stop_timeout.0,
            orphan_grace: ORPHAN_GRACE,
        },
        starts: Arc::new(Semaphore::new(config.concurrent_starts)),
        state: State::new(capabilities),
    });
    let given_up = Arc::new(Notify::new());
    let emptier = Emptier {
        volumes: engine.clone(),
        workspaces: Arc::clone(&workspaces),
        trash: Arc::<dyn kalpana_store::Repository>::clone(&store),
        shelf: shelf.clone(),
        histories: histories.clone(),
        clock: Arc::clone(&clock),
        uptime: Arc::new(SinceStart::new()),
        metrics: reconciler.metrics.clone(),
        retention: config.trash_retention.0,
        given_up: Arc::clone(&given_up),
    };
    begin_snapshots(&shelf, &porter, clock.now()).await;
    let work = Work::new(Arc::clone(&reconciler), shutdown.clone());
    let waker = {
        let work = work.clone();
        move |id| work.wake(id)
    };
    followers.on_news(waker.clone());

    for row in &rows {
        feeds.row(row, None);
        work.wake(row.id);
    }
    let running = rows
        .iter()
        .filter(|row| matches!(row.lifecycle, Lifecycle::Running { .. }))
        .count();
    tracing::info!(
        workspaces = rows.len(),
        running,
        "the orchestrator found {} workspaces, {running} of them running",
        rows.len()
    );
    adopt(&rows, &reconciler, &followers).await;

    let figures = Figures::new(
        Meter::new(
            engine.clone(),
            Tree::default(),
            KERNEL_LOG.into(),
            journal.clone(),
            reconciler.metrics.clone(),
            Arc::clone(&clock),
            Arc::new(SinceStart::new()),
        ),
        feeds.clone(),
        histories,
        shutdown.clone(),
    );
    let intents = Intents {
        store: Arc::clone(&workspaces),
        trash: Arc::<dyn kalpana_store::Repository>::clone(&store),
        feeds,
        clock: Arc::clone(&clock),
        waker: Arc::new(waker),
        given_up,
        quota: Quota {
            workspaces: config.workspaces_per_user,
        },
        egress,
        shelf: shelf.clone(),
    };
    let keeper = Keeper {
        shelf: shelf.clone(),
        porter: Arc::clone(&porter),
        engine: engine.clone(),
        volumes: engine.clone(),
        intents: intents.clone(),
        audit: store,
        journal: journal.clone(),
        clock,
        metrics: reconciler.metrics.clone(),
        instance,
        limits,
        state: snapshot::keeper::State::new(shutdown.clone()),
    };
    let watch = Arc::new(Watch {
        insiders: Arc::new(followers.clone()),
        register: Register::new(Arc::new(SinceStart::new())),
        intents: intents.clone(),
        journal: journal.clone(),
        metrics: reconciler.metrics.clone(),
        cannot_pause: Arc::new(move |id| {
            let now = reconciler.uptime.now();
            reconciler.memory(id, |memory| now < memory.no_pause_before)
        }),
        timers,
        limits: sleep_limits,
    });
    let api = api::router(Api {
        intents,
        engine,
        journal,
        watch: Arc::clone(&watch),
        keeper: keeper.clone(),
        figures: figures.clone(),
    });
    tokio::join!(
        kalpana_link::server::serve(listener, api, shutdown.clone()),
        work.sweep(config.reconcile_interval.0, &ready),
        work.listen(),
        firewall.run(workspaces, config.reconcile_interval.0, shutdown.clone()),
        emptier.run(shutdown.clone()),
        watch.run(shutdown.clone()),
        keeper.run(shutdown.clone()),
        figures.run(shutdown.clone()),
        heart.beat(|| work.look_soon(), shutdown.clone()),
    );
    let _ = ready.send(false);
    work.ended().await;
    Ok(())
}

/// Waits a moment for the bridges of running workspaces, so that the first snapshot that gateways
/// get does not take their routes away only to give them back.
async fn adopt(
    rows: &[kalpana_domain::workspace::Workspace],
    reconciler: &Reconciler,
    followers: &Followers,
) {
    let mut heard = followers.heard();
    for row in rows
        .iter()
        .filter(|row| matches!(row.lifecycle, Lifecycle::Running { .. }))
    {
        ready::Bridges::watch(followers, row.id, row.generation);
    }
    let all_settled =
        async { while !followers.are_all_settled() && heard.changed().await.is_ok() {} };
    // Whoever has not answered by then is published when they do.
    let _ = tokio::time::timeout(ADOPTION_LIMIT, all_settled).await;
    for row in rows {
        let is_running = matches!(row.lifecycle, Lifecycle::Running { .. });
        if is_running
            && ready::Bridges::watch(followers, row.id, row.generation) == plan::Readiness::Ready
        {
            reconciler.feeds.row(row, Some(reconciler.reach(row.id)));
        }
    }
}

/// Settles what an earlier process left of snapshots that it was taking or putting in place.
async fn begin_snapshots(shelf: &Shelf, porter: &Arc<dyn Porter>, now: Timestamp) {
    match shelf.settle(now) {
        Ok(0) => {}
        Ok(count) => tracing::warn!(
            count,
            "{count} snapshots were being taken when the orchestrator ended, and have failed"
        ),
        Err(error) => tracing::error!(%error, "could not look through the snapshots: {error}"),
    }
    // Whoever writes to a volume ends those that an earlier process set to it, so this can wait.
    let porter = Arc::clone(porter);
    tokio::spawn(async move {
        while let Err(error) = porter.clear().await {
            tracing::warn!(
                %error,
                "could not remove the containers that carried files, trying again: {error}"
            );
            tokio::time::sleep(CLEAR_AGAIN).await;
        }
    });
}

/// Makes the keeper of the host's packet filter.
fn firewall(config: &Orchestrator, metrics: &Metrics) -> Result<Firewall, Error> {
    let mode = config.firewall.parse().map_err(|()| {
        invalid(
            "firewall",
            &config.firewall,
            "must be auto, required or off",
        )
    })?;
    let named = config.reachable.iter().map(|network| {
        network
            .as_ipv4()
            .ok_or_else(|| invalid("reachable", &network.to_string(), "must be IPv4 networks"))
    });
    let named = named.collect::<Result<Vec<_>, _>>()?;
    Ok(Firewall::new(mode, &named, metrics.clone()))
}

/// Returns a time; no time at all stands for ever.
fn timer(span: kalpana_config::Span) -> Option<Duration> {
    (!span.0.is_zero()).then_some(span.0)
}

/// Returns the longest that owners may have their workspaces be idle.
fn sleep_limits(config: &Orchestrator) -> SleepLimits {
    SleepLimits {
        pause_after: timer(config.pause_after_limit),
        stop_after: timer(config.stop_after_limit),
    }
}

/// Returns how long workspaces may be idle.
fn timers(config: &Orchestrator) -> Timers {
    Timers {
        pause_after: timer(config.pause_after),
        stop_after: timer(config.stop_after),
        unattended: timer(config.unattended_limit),
    }
}

fn invalid(field: &'static str, value: &str, reason: &'static str) -> Error {
    Error::Configuration {
        field,
        value: value.to_owned(),
        reason,
    }
}
