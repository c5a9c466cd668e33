//! W0: what is within the gateway, measured without a socket: how long the judgement of a request
//! takes, and what kind of table routes are best kept in.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use kalpana_auth::ticket::UsedTickets;
use kalpana_auth::workspace_session::{KeyRing, LIFETIME, WorkspaceGrant};
use kalpana_certs::Certs;
use kalpana_config::{Config, Site};
use kalpana_domain::address::WorkspaceAddress;
use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_domain::sharing::Right;
use kalpana_gateway::client::TrustedProxies;
use kalpana_gateway::headers::Policies;
use kalpana_gateway::host::Hosts;
use kalpana_gateway::judge::{Judge, Next};
use kalpana_gateway::limit::Limits;
use kalpana_gateway::live::Live;
use kalpana_gateway::metrics::Metrics;
use kalpana_gateway::rate::Rates;
use kalpana_gateway::request::RequestContext;
use kalpana_gateway::routes::Routes;
use kalpana_gateway::sessions::Sessions;
use kalpana_gateway::waker::Waker;
use kalpana_link::Client;
use kalpana_link::feed::Follow;
use kalpana_protocol::routes::{ConnectKey, Route, Target};
use kalpana_protocol::sessions::SessionState;
use pingora_http::RequestHeader;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use super::fixture;
use super::options::Options;
use crate::Figure;

/// Workspaces that the judge knows.
const WORKSPACES: usize = 10_000;

/// Judgements that are timed.
const JUDGEMENTS: usize = 200_000;

/// Entries of the tables that are compared.
const ENTRIES: u64 = 1_000_000;

/// Look-ups that are timed.
const LOOK_UPS: u64 = 5_000_000;

/// Changes that are timed.
const TIMED_CHANGES: u64 = 20_000;

/// Changes per second meanwhile.
const CHANGES: u32 = 1000;

/// Shards of the map of maps: each is copied whole when an entry of it changes.
const SHARDS: usize = 4096;

/// Measures W0.
pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Figure>> {
    let mut figures = judgement(options)?;
    figures.extend(tables(options));
    Ok(figures)
}

fn judgement(options: &Options) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let mut config = Config::default();
    config.server.data_dir = Some(folder.path().to_owned());
    let site = Site::resolve(&config, false, None)?;
    std::fs::create_dir_all(site.gateway_dir())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let registry = Registry::new();
    let certs = Certs::open(&site, &config.certs, false, &registry, Arc::clone(&clock))?;
    let metrics = Metrics::register(&registry)?;
    let live = Arc::new(Live::default());
    let routes = Routes::new(site.clone(), Arc::clone(&live), metrics.clone());
    routes.snapshot((0..WORKSPACES).map(|number| route(&site, number)).collect());
    let sessions = Sessions::new(
        Arc::clone(&live),
        metrics.clone(),
        Arc::clone(&clock),
        std::time::Duration::MAX,
    );
    sessions.snapshot(SessionState::default());
    let path = site.gateway_dir().join("session.key");
    let keys = KeyRing::load_or_create(&path)?;
    let heads: Vec<RequestHeader> = (0..WORKSPACES)
        .map(|number| head(&site, &keys, number))
        .collect::<anyhow::Result<_>>()?;
    let routes = Arc::new(routes);
    let orchestrator = Client::new("orchestrator", site.orchestrator_socket(), None);
    let waker = Waker::new(orchestrator, Arc::clone(&routes), metrics.clone());
    let judge = Judge {
        hosts: Hosts::new(&site),
        policies: Policies::new(&site),
        routes,
        presence: Arc::default(),
        waker,
        sessions: Arc::new(sessions),
        live,
        keys,
        used: UsedTickets::default(),
        metrics,
        clock,
        limits: Limits {
            head_bytes: config.gateway.header_limit_bytes,
            head_fields: config.gateway.header_limit_fields,
            body_bytes: config.gateway.body_limit.0,
            body_rate: config.gateway.body_rate.0,
        },
        certificates: certs.resolver(),
        trusted: TrustedProxies::new(Vec::new()),
        rates: Arc::new(Rates::new(u32::MAX / 10, u32::MAX / 10, u32::MAX / 10)),
        security_contact: None,
        session_lifetime: LIFETIME,
        left: CancellationToken::new(),
        site,
    };
    let count = options.scaled(JUDGEMENTS);
    let mut times = Vec::with_capacity(count);
    // Strides, so that no two requests in a row are for neighbours in memory.
    for place in 0..count {
        let head = &heads[place * 7919 % WORKSPACES];
        let mut request = RequestContext::new();
        request.client = Some([192, 0, 2, 1].into());
        let started = Instant::now();
        let next = black_box(judge.judge(black_box(head), 400, &mut request));
        times.push(started.elapsed());
        anyhow::ensure!(matches!(next, Next::Forward), "it is let in: {next:?}");
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    Ok(vec![
        Figure::new("W0 judgement of a request, p50", "µs", at(0.5)),
        Figure::new("W0 judgement of a request, p99", "µs", at(0.99)).at_most(5.0),
    ])
}

fn route(site: &Site, number: usize) -> Route {
    let workspace = fixture::workspace(number).to_string();
    Route {
        owner: fixture::owner(number).to_string(),
        generation: fixture::GENERATION.0,
        target: Target::Running {
            socket: site.bridge_socket(&workspace).display().to_string(),
            peer_uid: 0,
            key: ConnectKey(fixture::connect_key(number).expose()),
            assets: None,
        },
        workspace,
    }
}

/// Returns the head of a request of a workspace's owner, as a browser sends it.
fn head(site: &Site, keys: &KeyRing, number: usize) -> anyhow::Result<RequestHeader> {
    let grant = WorkspaceGrant {
        session: fixture::session(number),
        right: Right::Owner(fixture::owner(number)),
        address: WorkspaceAddress::editor(fixture::workspace(number)),
        generation: fixture::GENERATION,
    };
    let host = site.workspace_host(fixture::workspace(number).as_str());
    let cookie = format!("__Host-kws={}", keys.mint(&grant, &host, SystemClock.now()));
    let mut head = RequestHeader::build("GET", b"/index.html?q=1", None)?;
    for (name, value) in [
        ("host", host.as_str()),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) bench"),
        ("accept", "text/html,application/xhtml+xml"),
        ("accept-encoding", "gzip, deflate, br"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "cors"),
        ("cookie", &cookie),
    ] {
        head.insert_header(name, value)?;
    }
    Ok(head)
}

/// A table that is read all the time and changed a thousand times a second.
trait Table: Send + Sync + 'static {
    fn get(&self, key: u128) -> Option<Arc<u64>>;
    fn insert(&self, key: u128, value: u64);
}

impl Table for DashMap<u128, Arc<u64>> {
    fn get(&self, key: u128) -> Option<Arc<u64>> {
        DashMap::get(self, &key).map(|found| Arc::clone(&found))
    }

    fn insert(&self, key: u128, value: u64) {
        DashMap::insert(self, key, Arc::new(value));
    }
}

struct Sharded {
    shards: Vec<ArcSwap<HashMap<u128, Arc<u64>>>>,
    hasher: RandomState,
}

impl Sharded {
    fn shard(&self, key: u128) -> &ArcSwap<HashMap<u128, Arc<u64>>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

impl Table for Sharded {
    fn get(&self, key: u128) -> Option<Arc<u64>> {
        self.shard(key).load().get(&key).cloned()
    }

    fn insert(&self, key: u128, value: u64) {
        let shard = self.shard(key);
        let mut next = HashMap::clone(&shard.load());
        next.insert(key, Arc::new(value));
        shard.store(Arc::new(next));
    }
}

fn tables(options: &Options) -> Vec<Figure> {
    let entries = options.scaled(ENTRIES as usize) as u64;
    let dashed = DashMap::new();
    let mut maps = vec![HashMap::new(); SHARDS];
    let hasher = RandomState::new();
    for number in 0..entries {
        dashed.insert(key(number), Arc::new(number));
        maps[hasher.hash_one(key(number)) as usize % SHARDS].insert(key(number), Arc::new(number));
    }
    let shards = maps.into_iter().map(ArcSwap::from_pointee).collect();
    let swapped = Arc::new(Sharded { shards, hasher });
    let (ours_read, ours_write) = time(&Arc::new(dashed), entries, options);
    let (other_read, other_write) = time(&swapped, entries, options);
    let cell = |what: &str| format!("W0 {what} in a DashMap, beside sharded ArcSwap maps");
    vec![
        Figure::new(cell("look-up under 1,000 changes/s"), "ns", ours_read).beside(other_read),
        Figure::new(cell("change"), "ns", ours_write).beside(other_write),
    ]
}

/// Spreads numbers as ids are.
fn key(number: u64) -> u128 {
    u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

/// Returns the time of a look-up, while entries change, and of a change, while nobody looks: all
/// threads share one processor here, so that whoever is timed beside others is timed with them.
#[expect(
    clippy::disallowed_methods,
    reason = "the thread that changes entries is its own"
)]
fn time(table: &Arc<impl Table>, entries: u64, options: &Options) -> (f64, f64) {
    let change = |number: u64| table.insert(key(number * 7919 % entries), number);
    let changes = options.scaled(TIMED_CHANGES as usize) as u64;
    let started = Instant::now();
    (0..changes).for_each(change);
    let write = started.elapsed().as_nanos() as f64 / changes as f64;
    let over = Arc::new(AtomicBool::new(false));
    let writer = {
        let (table, over) = (Arc::clone(table), Arc::clone(&over));
        std::thread::spawn(move || {
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                table.insert(key(number % entries), number);
                number += 1;
                std::thread::sleep(Duration::from_secs(1) / CHANGES);
            }
        })
    };
    let look_ups = options.scaled(LOOK_UPS as usize) as u64;
    let started = Instant::now();
    for number in 0..look_ups {
        black_box(table.get(key(number * 7919 % entries)));
    }
    let read = started.elapsed().as_nanos() as f64 / look_ups as f64;
    over.store(true, Ordering::Relaxed);
    // It has nothing to say, and nothing in it panics.
    let _ = writer.join();
    (read, write)
}
