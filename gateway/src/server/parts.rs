//! What a gateway is made of, each made from what it was given.

use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;

use kalpana_auth::ticket::UsedTickets;
use kalpana_auth::workspace_session::{self, KeyRing};
use kalpana_certs::{Certs, Pace};
use kalpana_link::Client;
use pingora_core::apps::HttpServerOptions;
use pingora_core::protocols::http::v2::server::default_h2_options;
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::HttpProxy;
use tokio_rustls::TlsAcceptor;

use crate::Dependencies;
use crate::admission::Admission;
use crate::assets::Assets;
use crate::client::TrustedProxies;
use crate::error::Error;
use crate::headers::Policies;
use crate::host::Hosts;
use crate::judge::Judge;
use crate::limit::Limits;
use crate::listener::{Deadlines, Entrance, Service};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::proxy::Proxy;
use crate::rate::Rates;
use crate::routes::Routes;
use crate::seal::Seal;
use crate::sessions::Sessions;
use crate::shelf::{self, WebShelf};
use crate::tunnel::Tunnels;
use crate::upstream::Upstream;
use crate::upstream::connections::Upstreams;
use crate::waker::Waker;

/// Idle upstream connections that are kept, per thread: as many as browsers that load an editor at
/// the same time would open. Each is kept for seconds only.
const POOL_PER_THREAD: usize = 1024;

/// How much of request bodies a connection of HTTP/2 may send ahead of who reads them. Unit: bytes.
/// An upload moves one window in each round trip: this is 5 MB/s over 50 ms, four times what the
/// protocol's own 64 KiB would be, and 256 MiB when all connections of an address fill theirs.
const H2_WINDOW: u32 = 256 << 10;

pub(super) fn session_keys(deps: &Dependencies) -> Result<KeyRing, Error> {
    let path = deps.site.gateway_dir();
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&path)
        .map_err(|source| Error::Directory {
            path: path.clone(),
            source,
        })?;
    KeyRing::load_or_create(&path.join("session.key")).map_err(Error::SessionKey)
}

/// Returns what `web` is told and asked with, as this site's gateway.
pub(super) fn web(deps: &Dependencies) -> Client {
    let socket = deps.site.web_internal_socket();
    Client::new("web", socket, deps.peers.token.clone())
}

/// Returns what the orchestrator is told and asked with, as this site's gateway.
pub(super) fn orchestrator(deps: &Dependencies) -> Client {
    let socket = deps.site.orchestrator_socket();
    Client::new("orchestrator", socket, deps.peers.token.clone())
}

/// Reads the certificates, and where they are shared, from whom.
pub(super) fn certificates(
    deps: &Dependencies,
    has_plain: bool,
    keys: &KeyRing,
) -> Result<Certs, Error> {
    let certs = Certs::open(
        &deps.site,
        &deps.certs,
        has_plain,
        &deps.registry,
        Arc::clone(&deps.clock),
    )?;
    if !deps.shares_certificates {
        return Ok(certs);
    }
    let shelf = WebShelf::new(web(deps), Seal::new(keys.derive(shelf::PURPOSE)));
    Ok(certs.shared_over(Arc::new(shelf), Pace::default())?)
}

pub(super) fn service(
    deps: &Dependencies,
    server_config: rustls::ServerConfig,
    judge: &Arc<Judge>,
    upstreams: &Arc<Upstreams>,
    assets: Option<Arc<Assets>>,
    metrics: Metrics,
) -> Service {
    let deadlines = Deadlines {
        handshake: deps.config.handshake_timeout.0,
        first_byte: deps.config.first_byte_timeout.0,
        head: deps.config.header_timeout.0,
        drain: deps.config.drain_timeout.0,
        upgrade_drain: deps.config.upgrade_drain_timeout.0,
    };
    let entrance = Entrance {
        admission: Arc::new(Admission::new(deps.config.connections_per_address)),
        trusted: TrustedProxies::new(deps.config.trusted_proxies.clone()),
        announcing: TrustedProxies::new(deps.config.proxy_protocol_from.clone()),
    };
    let tunnels = Tunnels {
        judge: Arc::clone(judge),
        trusted: entrance.trusted.clone(),
        ping: deps.config.websocket_ping.0,
    };
    Service {
        newcomers: None,
        acceptor: TlsAcceptor::from(Arc::new(server_config)),
        proxy: proxy(deps, Arc::clone(judge), Arc::clone(upstreams), assets),
        tunnels: Arc::new(tunnels),
        deadlines,
        entrance,
        head_limit: deps.config.header_limit_bytes,
        metrics,
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "each is one thing that judging needs"
)]
pub(super) fn judge(
    deps: &Dependencies,
    certs: &Certs,
    keys: KeyRing,
    live: Arc<Live>,
    routes: &Arc<Routes>,
    sessions: &Arc<Sessions>,
    rates: &Arc<Rates>,
    metrics: &Metrics,
) -> Judge {
    Judge {
        hosts: Hosts::new(&deps.site),
        policies: Policies::new(&deps.site),
        site: deps.site.clone(),
        routes: Arc::clone(routes),
        sessions: Arc::clone(sessions),
        live,
        keys,
        used: UsedTickets::default(),
        metrics: metrics.clone(),
        clock: Arc::clone(&deps.clock),
        certificates: certs.resolver(),
        trusted: TrustedProxies::new(deps.config.trusted_proxies.clone()),
        rates: Arc::clone(rates),
        security_contact: deps.config.security_contact.clone(),
        limits: Limits {
            head_bytes: deps.config.header_limit_bytes,
            head_fields: deps.config.header_limit_fields,
            body_bytes: deps.config.body_limit.0,
            body_rate: deps.config.body_rate.0,
        },
        presence: Arc::default(),
        waker: Waker::new(orchestrator(deps), Arc::clone(routes), metrics.clone()),
        left: deps.left.clone(),
        session_lifetime: deps
            .config
            .session_lifetime
            .0
            .min(workspace_session::LIFETIME),
    }
}

pub(super) fn proxy(
    deps: &Dependencies,
    judge: Arc<Judge>,
    upstreams: Arc<Upstreams>,
    assets: Option<Arc<Assets>>,
) -> Arc<HttpProxy<Proxy>> {
    let proxy = Proxy {
        judge,
        upstream: Upstream::new(&deps.site, Arc::clone(&deps.clock), Arc::clone(&upstreams)),
        upstreams,
        assets,
        token: deps.peers.token.clone(),
        trusted: TrustedProxies::new(deps.config.trusted_proxies.clone()),
        quiet_limit: deps.config.keepalive_timeout.0,
    };
    let threads = match deps.config.threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    };
    let conf = ServerConf {
        threads,
        upstream_keepalive_pool_size: POOL_PER_THREAD * threads,
        ..ServerConf::default()
    };
    let mut http = HttpProxy::new(proxy, Arc::new(conf));
    let mut h2 = default_h2_options();
    let head_limit = u32::try_from(deps.config.header_limit_bytes).unwrap_or(u32::MAX);
    h2.max_header_list_size(head_limit);
    h2.enable_connect_protocol();
    h2.initial_window_size(H2_WINDOW);
    h2.initial_connection_window_size(H2_WINDOW);
    http.h2_options = Some(h2);
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(deps.config.keepalive_timeout.0);
    http.server_options = Some(options);
    http.handle_init_modules();
    Arc::new(http)
}
