//! Puts the service together, runs it, and ends it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use kalpana_auth::ticket::TicketSigner;
use kalpana_auth::{Accounts, AuthError};
use kalpana_config::{Auth, Site, Web};
use kalpana_domain::clock::Clock;
use kalpana_domain::workspace::Egress;
use kalpana_link::feed::follow;
use kalpana_link::{Client, InternalToken, Listener, PeerPolicy, server};
use kalpana_store::{Store, StoreError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::certificates::Gateway;
use crate::copies;
use crate::error::describe;
use crate::happenings;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::orchestrator::Orchestrator;
use crate::outlet::Slots;
use crate::router;
use crate::sessions::Sessions;
use crate::sharing::{self, Sharing};
use crate::state::{AppState, Parts};

/// Mode of our sockets: for our user and the group of the run directory.
const SOCKET_MODE: u32 = 0o660;

/// The orchestrator's feed of what changes.
const PROGRESS_FEED: &str = "/v1/progress";

/// How often the store is asked whether it answers.
const STORE_CHECK: Duration = Duration::from_secs(5);

/// How often, while it does not.
const STORE_CHECK_AWAY: Duration = Duration::from_secs(1);

/// How often sessions that nobody can use any more are removed.
const PURGE: Duration = Duration::from_secs(60 * 60);

/// How long ended sessions are kept beyond the life of what was made from them.
const PURGE_AFTER: Duration = Duration::from_secs(7 * 86_400);

/// How long tasks may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// Who may connect to which of our sockets, and how we prove ourselves to others.
#[derive(Debug, Clone)]
pub struct WebPeers {
    /// Who may connect to the public socket: the gateway.
    pub public: PeerPolicy,
    /// Who may connect to the internal socket: the gateway.
    pub internal: PeerPolicy,
    /// What we show to the orchestrator, beside our user id.
    pub token: Option<InternalToken>,
}

/// What the service needs to run.
pub struct Dependencies {
    /// The site's names and directories.
    pub site: Site,
    /// Our section of the configuration.
    pub config: Web,
    /// The section about accounts.
    pub auth: Auth,
    /// What workspaces may reach unless asked otherwise (`orchestrator.egress`).
    pub egress_default: Egress,
    /// How long a deleted workspace can be restored (`orchestrator.trash_retention`).
    pub trash_retention: Duration,
    /// How long a workspace session lasts (`gateway.session_lifetime`): so long an ended control
    /// session is remembered.
    pub workspace_session_lifetime: Duration,
    /// Who may connect.
    pub peers: WebPeers,
    /// What is remembered, opened and migrated.
    pub store: Store,
    /// Where metrics are registered.
    pub registry: prometheus::Registry,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// True while the sockets are served and the store answers.
    pub ready: watch::Sender<bool>,
}

/// Why the service could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory cannot be made.
    #[error("cannot make the directory {path}; check that its parent exists and is writable")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A socket cannot be bound.
    #[error(transparent)]
    Bind(#[from] kalpana_link::listener::BindError),
    /// The key that signs tickets can be neither read nor made.
    #[error(
        "cannot use the ticket key {path}; check its owner and mode, or remove it for a new one"
    )]
    TicketKey {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store does not answer.
    #[error("the store does not answer; check that its directory is writable")]
    Store(#[from] StoreError),
    /// Accounts cannot be served.
    #[error("cannot serve accounts")]
    Accounts(#[from] AuthError),
    /// The registry holds metrics of the same name.
    #[error("cannot register metrics")]
    Metrics(#[from] prometheus::Error),
    /// The configuration names no level for the widest sharing.
    #[error("web.sharing_maximum is no level of sharing")]
    Sharing(#[source] kalpana_domain::workspace::UnknownChoice),
    /// The API cannot be described.
    #[error("cannot write the API's description")]
    Description(#[from] serde_json::Error),
}

/// Serves the public and the internal socket until `shutdown`.
///
/// # Errors
/// [`Error`] when the service cannot start. Once it runs it copes.
pub async fn run(dependencies: Dependencies, shutdown: CancellationToken) -> Result<(), Error> {
    let ready = dependencies.ready.clone();
    let peers = dependencies.peers.clone();
    let state = assemble(dependencies, shutdown.clone()).await?;
    let site = &state.site;
    make_directory(site.run_dir.clone())?;
    let public = Listener::bind(&site.web_socket(), SOCKET_MODE, peers.public)?;
    let internal = Listener::bind(&site.web_internal_socket(), SOCKET_MODE, peers.internal)?;
    tracing::info!(
        has_ui = crate::assets::has_ui(),
        "web serves {} on {}",
        site.base_url(),
        site.web_socket().display()
    );
    if site.is_single_domain() {
        tracing::warn!(
            "workspaces are below the domain of the site itself: set server.workspace_domain to \
             a second domain to keep hostile workspaces further away"
        );
    }
    let copies = copies::router(state.store.clone(), Arc::clone(&state.clock));
    let internal_routes = Router::new()
        .nest("/v1/sessions", state.sessions.router())
        .nest("/v1/copies", copies)
        .nest("/v1/certificates", happenings::router(state.store.clone()));
    let tasks = state.tasks.clone();
    tasks.spawn(server::serve(
        public,
        router::build(state.clone()),
        shutdown.clone(),
    ));
    tasks.spawn(server::serve(internal, internal_routes, shutdown.clone()));
    tasks.spawn(hear_the_orchestrator(state.clone(), peers.token));
    let (live, store) = (Arc::clone(&state.live), state.store.clone());
    let (told_site, told_until) = (site.clone(), shutdown.clone());
    tasks.spawn(async move { live.tell(store, told_site, told_until).await });
    let (sessions, store, until) = (
        state.sessions.clone(),
        state.store.clone(),
        shutdown.clone(),
    );
    tasks.spawn(async move { sessions.hear(store, until).await });
    let (hearing, until) = (state.clone(), shutdown.clone());
    tasks.spawn(async move { hearing.sharing.hear(hearing.store.clone(), until).await });
    tasks.spawn(purge_sessions(state.clone()));
    keep_ready(&state, &ready).await;
    ready.send_replace(false);
    tasks.close();
    if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
        tracing::warn!("ended with tasks still running");
    }
    Ok(())
}

/// Returns the link that makes the first administrator, with a fresh secret, or nothing when there
/// is one already. An earlier link stops working.
///
/// # Errors
/// [`AuthError`] when the store does not answer.
pub async fn setup_link(
    store: Store,
    site: &Site,
    settings: &Auth,
    clock: Arc<dyn Clock>,
) -> Result<Option<String>, AuthError> {
    let secret = Accounts::new(store, settings, clock)?
        .setup_secret()
        .await?;
    Ok(secret.map(|secret| format!("{}/setup#token={}", site.base_url(), secret.expose())))
}

async fn assemble(
    dependencies: Dependencies,
    shutdown: CancellationToken,
) -> Result<AppState, Error> {
    let Dependencies {
        site,
        config,
        auth,
        egress_default,
        trash_retention,
        workspace_session_lifetime,
        peers,
        store,
        registry,
        clock,
        ready: _,
    } = dependencies;
    store.ping().await?;
    make_directory(site.web_dir())?;
    let key = site.web_dir().join("ticket.key");
    let tickets = TicketSigner::load_or_create(&key).map_err(|source| Error::TicketKey {
        path: key,
        source: source.into(),
    })?;
    let maximum = config.sharing_maximum.parse().map_err(Error::Sharing)?;
    let shared = sharing::first_state(&store, maximum).await?;
    let sessions = Sessions::load(
        &store,
        vec![tickets.public_key().to_owned()],
        shared.clone(),
        workspace_session_lifetime,
        Arc::clone(&clock),
    )
    .await?;
    let metrics = Metrics::register(&registry)?;
    let socket = site.orchestrator_socket();
    let gateway_socket = site.gateway_control_socket();
    Ok(AppState::new(Parts {
        accounts: Accounts::new(store.clone(), &auth, Arc::clone(&clock))?,
        orchestrator: Orchestrator::new(Client::new("orchestrator", socket, peers.token)),
        gateway: Gateway::new(Client::new("gateway", gateway_socket, None)),
        live: Live::new(),
        // It was asked a moment ago.
        is_store_up: AtomicBool::new(true),
        slots: Slots::new(config.event_streams, metrics.streams.clone()),
        openapi: router::description_json()?,
        tasks: TaskTracker::new(),
        site,
        config,
        egress_default,
        trash_retention,
        store,
        tickets,
        sharing: Sharing::new(maximum, &shared, sessions.clone()),
        sessions,
        metrics,
        clock,
        shutdown,
    }))
}

fn make_directory(path: PathBuf) -> Result<(), Error> {
    std::fs::create_dir_all(&path).map_err(|source| Error::Directory { path, source })
}

/// Follows what the orchestrator says of workspaces.
async fn hear_the_orchestrator(state: AppState, token: Option<InternalToken>) {
    let client = Client::new("orchestrator", state.site.orchestrator_socket(), token);
    let reader = format!("web-{:08x}", rand::random::<u32>());
    let shutdown = state.shutdown.clone();
    follow(client, PROGRESS_FEED, &reader, &*state.live, shutdown).await;
}

/// Says whether the store answers, until shutdown. How long an answer may take is for the store to
/// know.
async fn keep_ready(state: &AppState, ready: &watch::Sender<bool>) {
    loop {
        let answer = tokio::select! {
            () = state.shutdown.cancelled() => return,
            answer = state.store.ping() => answer,
        };
        let is_well = answer.is_ok();
        let was_well = state.is_store_up.swap(is_well, Ordering::Relaxed);
        match answer {
            // The first check finds what the start found; nobody needs to be told.
            Ok(()) if !was_well => tracing::info!("the store answers again"),
            Err(error) if was_well => {
                let chain = describe(&error);
                tracing::error!(error = chain, "the store does not answer: {chain}");
            }
            Ok(()) | Err(_) => {}
        }
        ready.send_if_modified(|was| std::mem::replace(was, is_well) != is_well);
        let pause = if is_well {
            STORE_CHECK
        } else {
            STORE_CHECK_AWAY
        };
        tokio::select! {
            () = state.shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn purge_sessions(state: AppState) {
    loop {
        let before = state.clock.now() - PURGE_AFTER;
        match state.store.purge_sessions(before).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "removed {count} sessions that had ended"),
            Err(error) => tracing::warn!(%error, "could not remove old sessions: {error}"),
        }
        tokio::select! {
            () = state.shutdown.cancelled() => return,
            () = tokio::time::sleep(PURGE) => {}
        }
    }
}
