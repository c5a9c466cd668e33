//! A gateway with everything around it, torn down when dropped.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Request as AxumRequest;
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use kalpana_auth::ticket::{Grant, TicketSigner};
use kalpana_config::{Config, Site, Span};
use kalpana_domain::clock::{Clock, ManualClock, SystemClock};
use kalpana_domain::id::{Generation, SessionId, UserId, WorkspaceId};
use kalpana_domain::sharing::Right;
use kalpana_gateway::{Bound, Dependencies, Error, GatewayPeers};
use kalpana_link::feed::{Publisher, State};
use kalpana_link::{InternalToken, Listener, PeerPolicy};
use kalpana_protocol::certificates::{HAPPENED_PATH, Happened};
use kalpana_protocol::orchestrator::{Intent, Presence, WorkspaceAnswer};
use kalpana_protocol::preamble::ConnectKey;
use kalpana_protocol::routes::{Route, RouteChange, Target};
use kalpana_protocol::sessions::{RevokedSession, SessionChange, SessionState};
use kalpana_protocol::sharing::SharingState;
use prometheus::Registry;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything. Nothing takes this long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The workspace most tests are about, its neighbour, and one that does not exist.
pub(crate) const MINE: &str = "abcdefghij01";
pub(crate) const FOREIGN: &str = "abcdefghij02";
pub(crate) const NOBODYS: &str = "abcdefghij03";

#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct RouteTable(Vec<Route>);

impl State for RouteTable {
    type Change = RouteChange;
    fn apply(&mut self, change: &RouteChange) {
        let workspace = match change {
            RouteChange::Upsert { route } => &route.workspace,
            RouteChange::Remove { workspace } => workspace,
        };
        self.0.retain(|route| &route.workspace != workspace);
        if let RouteChange::Upsert { route } = change {
            self.0.push(route.clone());
        }
    }
}

#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct SessionTable(SessionState);

impl State for SessionTable {
    type Change = SessionChange;
    fn apply(&mut self, change: &SessionChange) {
        match change {
            SessionChange::Revoked { session } => self.0.revoked_sessions.push(session.clone()),
            SessionChange::TicketKeys { ticket_keys } => {
                self.0.ticket_keys.clone_from(ticket_keys);
            }
            SessionChange::Shared { port } => {
                self.0.sharing.ports.retain(|known| known.port != port.port);
                self.0.sharing.ports.push(port.clone());
            }
            SessionChange::Unshared { port, .. } => {
                self.0.sharing.ports.retain(|known| known.port != *port);
            }
        }
    }
}

/// Which of the others are there, and how the gateway is set.
pub(crate) struct Options {
    pub(crate) web: bool,
    pub(crate) session_feed: bool,
    pub(crate) sharing_maximum: Option<&'static str>,
    pub(crate) configure: fn(&mut Config),
    /// Where certificates come from, and where it listens for TLS and plainly: an authority must
    /// know beforehand.
    pub(crate) certs: Option<(kalpana_config::Certs, SocketAddr, SocketAddr)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            web: true,
            session_feed: true,
            sharing_maximum: Some("public"),
            configure: |_| (),
            certs: None,
        }
    }
}

pub(crate) struct World {
    pub(crate) site: Site,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) registry: Registry,
    pub(crate) bound: Bound,
    pub(crate) user: UserId,
    pub(crate) session: SessionId,
    /// What `web` was sent, each request's head as text.
    pub(crate) web_heard: Arc<Mutex<Vec<String>>>,
    /// What the orchestrator was asked for, and under whose name.
    pub(crate) wishes: Arc<Mutex<Vec<(String, Intent)>>>,
    /// What it was told of people.
    pub(crate) presence: Arc<Mutex<Vec<Presence>>>,
    /// What `web` was told of certificates.
    pub(crate) happened: Arc<Mutex<Vec<Happened>>>,
    pub(crate) shutdown: CancellationToken,
    /// Cancelled when another gateway has taken over.
    pub(crate) left: CancellationToken,
    config: Config,
    token: InternalToken,
    pub(crate) gateway: Option<JoinHandle<Result<(), Error>>>,
    pub(crate) routes: Publisher<RouteTable>,
    pub(crate) sessions: Publisher<SessionTable>,
    pub(crate) signer: TicketSigner,
    /// Cancelled when the orchestrator goes away.
    pub(crate) orchestrator: CancellationToken,
    /// Cancelled when `web` has no word on sessions any more.
    pub(crate) web_feed: CancellationToken,
    others: CancellationToken,
    _directory: tempfile::TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.data_dir = Some(directory.path().to_owned());
        config.server.public_port = Some(8443);
        config.gateway.listen = "127.0.0.1:0".parse().unwrap();
        config.gateway.listen_http = Some("127.0.0.1:0".parse().unwrap());
        config.gateway.drain_timeout = Span::seconds(1);
        if let Some((certs, tls, plain)) = options.certs {
            config.certs = certs;
            config.gateway.listen = tls;
            config.gateway.listen_http = Some(plain);
        }
        (options.configure)(&mut config);
        let site = Site::resolve(&config, false, None).unwrap();
        std::fs::create_dir_all(&site.run_dir).unwrap();
        // TLS clients judge certificates by the machine's clock, so ours starts there.
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let token = InternalToken::generate();
        let others = CancellationToken::new();
        let serve = |path: &std::path::Path, router: Router, until: &CancellationToken| {
            let policy = PeerPolicy::same_user(Some(token.clone()));
            let listener = Listener::bind(path, 0o600, policy).unwrap();
            tokio::spawn(kalpana_link::server::serve(listener, router, until.clone()));
        };
        let signer = TicketSigner::load_or_create(&directory.path().join("ticket.key")).unwrap();
        let routes = Publisher::new(RouteTable(Vec::new()));
        let sessions = Publisher::new(SessionTable(SessionState {
            ticket_keys: vec![signer.public_key().to_owned()],
            revoked_sessions: Vec::new(),
            sharing: SharingState {
                maximum: options.sharing_maximum.map(str::to_owned),
                ports: Vec::new(),
            },
        }));
        let orchestrator = others.child_token();
        let (wishes, presence) = (Arc::default(), Arc::default());
        let internal_api = orchestrators(&routes, &wishes, &presence);
        serve(&site.orchestrator_socket(), internal_api, &orchestrator);
        let web_feed = others.child_token();
        let happened = Arc::<Mutex<Vec<Happened>>>::default();
        if options.session_feed {
            let internal = internal(&sessions, &happened);
            serve(&site.web_internal_socket(), internal, &web_feed);
        }
        let web_heard = Arc::<Mutex<Vec<String>>>::default();
        if options.web {
            serve(&site.web_socket(), web(&web_heard), &others);
        }

        let registry = Registry::new();
        let (shutdown, left) = (CancellationToken::new(), CancellationToken::new());
        let around = Around {
            site: &site,
            config: &config,
            token: &token,
            clock: &clock,
        };
        let (gateway, bound, mut is_ready) =
            around.gateway(&registry, &left, false, &shutdown).await;
        if options.session_feed {
            patient(is_ready.wait_for(|ready| *ready)).await.unwrap();
        }
        Self {
            site,
            clock,
            registry,
            bound,
            user: UserId::generate(),
            session: SessionId::generate(),
            web_heard,
            wishes,
            presence,
            happened,
            shutdown,
            left,
            config,
            token,
            gateway: Some(gateway),
            routes,
            sessions,
            signer,
            orchestrator,
            web_feed,
            others,
            _directory: directory,
        }
    }

    /// Ends the gateway and starts another in its place; returns when it can serve.
    pub(crate) async fn restart(&mut self) {
        let mut is_ready = self.restart_unready().await;
        patient(is_ready.wait_for(|ready| *ready)).await.unwrap();
    }

    /// The same, but returns as soon as it listens.
    pub(crate) async fn restart_unready(&mut self) -> watch::Receiver<bool> {
        self.shutdown.cancel();
        let ended = self.gateway.take().expect("it runs");
        patient(ended).await.unwrap().unwrap();
        self.registry = Registry::new();
        self.shutdown = CancellationToken::new();
        let left = CancellationToken::new();
        let around = self.around();
        let (gateway, bound, is_ready) = around
            .gateway(&self.registry, &left, false, &self.shutdown)
            .await;
        self.gateway = Some(gateway);
        self.bound = bound;
        is_ready
    }

    /// Starts another gateway, which takes over; returns when it serves. It ends when the token's
    /// guard is dropped.
    pub(crate) async fn take_over(&self) -> tokio_util::sync::DropGuard {
        let (left, shutdown) = (CancellationToken::new(), CancellationToken::new());
        let around = self.around();
        let (_, _, mut is_ready) = around
            .gateway(&Registry::new(), &left, true, &shutdown)
            .await;
        patient(is_ready.wait_for(|ready| *ready)).await.unwrap();
        shutdown.drop_guard()
    }

    /// Starts a second gateway of the same site beside the first; returns where it listens, when it
    /// serves. It ends when the token's guard is dropped.
    pub(crate) async fn second(&self) -> (Bound, tokio_util::sync::DropGuard) {
        let (left, shutdown) = (CancellationToken::new(), CancellationToken::new());
        let around = self.around();
        let (_, bound, mut is_ready) = around
            .gateway(&Registry::new(), &left, false, &shutdown)
            .await;
        patient(is_ready.wait_for(|ready| *ready)).await.unwrap();
        (bound, shutdown.drop_guard())
    }

    fn around(&self) -> Around<'_> {
        Around {
            site: &self.site,
            config: &self.config,
            token: &self.token,
            clock: &self.clock,
        }
    }

    /// Lets `web` tell of sessions again, and waits until the gateway listens.
    pub(crate) async fn web_is_back(&mut self) {
        self.web_feed = self.others.child_token();
        let policy = PeerPolicy::same_user(Some(self.token.clone()));
        let socket = self.site.web_internal_socket();
        let listener = Listener::bind(&socket, 0o600, policy).unwrap();
        let router = internal(&self.sessions, &self.happened);
        let serve = kalpana_link::server::serve(listener, router, self.web_feed.clone());
        tokio::spawn(serve);
        let is_connected = self.until_metric("kalpana_gateway_feed_up", "sessions", 1.0);
        patient(is_connected).await;
    }

    /// Waits until the orchestrator was asked so often.
    pub(crate) async fn until_wishes(&self, count: usize) {
        while self.wishes.lock().unwrap().len() < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the orchestrator is told, from now on, of people as `is_meant` says.
    pub(crate) async fn until_presence(&self, is_meant: impl Fn(&Presence) -> bool) -> Presence {
        let before = self.presence.lock().unwrap().len();
        loop {
            let told = self.presence.lock().unwrap().clone();
            if let Some(found) = told.into_iter().skip(before).find(&is_meant) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a series has a value.
    pub(crate) async fn until_metric(&self, name: &str, label: &str, value: f64) {
        while (self.metric(name, label) - value).abs() > f64::EPSILON {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn host(&self, label: &str) -> String {
        self.site.workspace_host(label)
    }

    pub(crate) fn origin(&self, label: &str) -> String {
        self.site.workspace_url(label)
    }

    /// The key of one generation of one workspace, the same wherever it is asked for.
    pub(crate) fn key(workspace: &str, generation: u64) -> ConnectKey {
        let mut bytes = [7; 32];
        bytes[..12].copy_from_slice(workspace.as_bytes());
        bytes[12..20].copy_from_slice(&generation.to_be_bytes());
        ConnectKey::from_bytes(bytes)
    }

    pub(crate) fn running(&self, workspace: &str, generation: u64) -> Target {
        self.running_from(workspace, generation, None)
    }

    /// The same, from an image that vouches for the files on a list with this hash.
    pub(crate) fn running_from(
        &self,
        workspace: &str,
        generation: u64,
        assets: Option<String>,
    ) -> Target {
        let socket = self.site.bridge_socket(workspace);
        Target::Running {
            socket: socket.to_str().unwrap().to_owned(),
            peer_uid: rustix::process::geteuid().as_raw(),
            key: kalpana_protocol::routes::ConnectKey(Self::key(workspace, generation).expose()),
            assets,
        }
    }

    /// Publishes a route and waits until the gateway has it.
    pub(crate) async fn route(
        &self,
        workspace: &str,
        owner: UserId,
        generation: u64,
        target: Target,
    ) {
        let route = Route {
            workspace: workspace.to_owned(),
            owner: owner.to_string(),
            generation,
            target,
        };
        let seq = self.routes.publish(RouteChange::Upsert { route });
        let heard = self.routes.wait_acknowledged(seq, PATIENCE).await;
        assert!(
            !heard.done.is_empty() && heard.waiting.is_empty(),
            "{heard:?}"
        );
    }

    /// Makes the user's own workspace run, in its first generation.
    pub(crate) async fn run_mine(&self) {
        let target = self.running(MINE, 1);
        self.route(MINE, self.user, 1, target).await;
    }

    /// Ends the session and waits until the gateway knows.
    pub(crate) async fn revoke(&self, session: SessionId) {
        let session = RevokedSession {
            session: session.to_string(),
            remember_until: self.clock.now().as_second() + 43_200,
        };
        let seq = self.sessions.publish(SessionChange::Revoked { session });
        let heard = self.sessions.wait_acknowledged(seq, PATIENCE).await;
        assert!(
            !heard.done.is_empty() && heard.waiting.is_empty(),
            "{heard:?}"
        );
    }

    pub(crate) fn grant(&self, label: &str, rid: &str, generation: u64) -> Grant {
        let workspace = label.rsplit('-').next().unwrap();
        Grant {
            audience: self.host(label),
            rid: rid.to_owned(),
            right: Right::Owner(self.user),
            session: self.session,
            workspace: WorkspaceId::parse(workspace).unwrap(),
            generation: Generation(generation),
        }
    }

    pub(crate) fn now(&self) -> kalpana_domain::Timestamp {
        self.clock.now()
    }

    pub(crate) fn sign(&self, grant: &Grant) -> String {
        self.signer.sign(grant, self.clock.now()).unwrap()
    }

    /// The value of one series, 0 when it was never counted.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
        let series = metrics.iter().find(|metric| {
            label.is_empty() || metric.get_label().iter().any(|l| l.value() == label)
        });
        series.map_or(0.0, |metric| {
            metric.get_counter().get_value() + metric.get_gauge().get_value()
        })
    }
}

/// What every gateway of a world is started with.
struct Around<'a> {
    site: &'a Site,
    config: &'a Config,
    token: &'a InternalToken,
    clock: &'a Arc<ManualClock>,
}

impl Around<'_> {
    /// Starts a gateway; returns it and where it listens, and tells when it can serve.
    async fn gateway(
        &self,
        registry: &Registry,
        left: &CancellationToken,
        takes_over: bool,
        shutdown: &CancellationToken,
    ) -> (JoinHandle<Result<(), Error>>, Bound, watch::Receiver<bool>) {
        let (ready, is_ready) = watch::channel(false);
        let (bound, mut is_bound) = watch::channel(None);
        let dependencies = Dependencies {
            site: self.site.clone(),
            config: self.config.gateway.clone(),
            certs: self.config.certs.clone(),
            shares_certificates: false,
            peers: GatewayPeers {
                token: Some(self.token.clone()),
                control_uids: Vec::new(),
            },
            registry: registry.clone(),
            clock: Arc::clone(self.clock) as _,
            inherited: Vec::new(),
            takes_over,
            left: left.clone(),
            ready,
            bound,
        };
        let gateway = tokio::spawn(kalpana_gateway::run(dependencies, shutdown.clone()));
        let bound = patient(is_bound.wait_for(Option::is_some)).await;
        let bound = bound.unwrap().unwrap();
        (gateway, bound, is_ready)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.others.cancel();
    }
}

/// The orchestrator: routes, and an ear for wishes and for who is there. It wakes nobody by itself.
fn orchestrators(
    routes: &Publisher<RouteTable>,
    wishes: &Arc<Mutex<Vec<(String, Intent)>>>,
    presence: &Arc<Mutex<Vec<Presence>>>,
) -> Router {
    let (wishes, presence) = (Arc::clone(wishes), Arc::clone(presence));
    let wake = async move |uri: http::Uri, Json(intent): Json<Intent>| {
        wishes.lock().unwrap().push((uri.path().to_owned(), intent));
        let workspace = serde_json::Value::Null;
        (StatusCode::ACCEPTED, Json(WorkspaceAnswer { workspace }))
    };
    let hear = async move |Json(told): Json<Presence>| {
        presence.lock().unwrap().push(told);
        StatusCode::NO_CONTENT
    };
    Router::new()
        .nest("/v1/routes", routes.router())
        .route("/v1/workspaces/{id}/wake", post(wake))
        .route("/v1/presence", post(hear))
}

/// What `web` has for the gateway alone.
fn internal(sessions: &Publisher<SessionTable>, happened: &Arc<Mutex<Vec<Happened>>>) -> Router {
    let happened = Arc::clone(happened);
    let write = async move |Json(told): Json<Happened>| {
        happened.lock().unwrap().push(told);
        StatusCode::NO_CONTENT
    };
    Router::new()
        .nest("/v1/sessions", sessions.router())
        .route(HAPPENED_PATH, post(write))
}

/// Answers every request with its own head, and writes it down.
fn web(heard: &Arc<Mutex<Vec<String>>>) -> Router {
    let heard = Arc::clone(heard);
    Router::new().fallback(move |request: AxumRequest| {
        let heard = Arc::clone(&heard);
        async move {
            let mut text = format!("{} {}\n", request.method(), request.uri());
            for (name, value) in request.headers() {
                text.push_str(&format!(
                    "{name}: {}\n",
                    String::from_utf8_lossy(value.as_bytes())
                ));
            }
            heard.lock().unwrap().push(text.clone());
            text
        }
    })
}

pub(crate) async fn patient<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it happens soon, or never")
}
