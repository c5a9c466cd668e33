//! A site of its own on the real engine, torn down when it is dropped.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::exec::StartExecResults;
use bollard::models::{
    ContainerCreateBody, ExecConfig, HostConfig, Ipam, IpamConfig, NetworkCreateRequest,
    VolumeCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, InspectNetworkOptions, KillContainerOptions,
    ListContainersOptions, ListNetworksOptions, ListVolumesOptions, LogsOptions,
    RemoveContainerOptions, RemoveVolumeOptions, StartContainerOptions,
};
use futures_util::StreamExt as _;
use http::Method;
use http_body_util::BodyExt as _;
use kalpana_bridge_client::Bridge;
use kalpana_config::{Config, Site};
use kalpana_domain::audit::{Actor, AuditAction, AuditEvent};
use kalpana_domain::clock::{Clock, ManualClock, SystemClock};
use kalpana_domain::id::{AuditId, SessionId, UserId, WorkspaceId};
use kalpana_domain::user::{EmailAddress, Role};
use kalpana_domain::workspace::Workspace;
use kalpana_link::{Client, PeerPolicy};
use kalpana_orchestrator::{Dependencies, OrchestratorPeers};
use kalpana_protocol::feed::Line;
use kalpana_protocol::orchestrator::{
    Asker, CreateWorkspace, Intent, LogLine, Presence, Present, SnapshotOf, Wakefulness,
    WorkspaceAnswer,
};
use kalpana_protocol::preamble::{Audience, ConnectKey, Target as BridgeTarget};
use kalpana_protocol::routes::{Route, RouteLine, Target};
use kalpana_store::Store;
use kalpana_store::records::NewUser;
use kalpana_store::sqlite::{OpenMode, SqliteStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything. Only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a world differs from the usual one.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) image: Option<&'static str>,
    pub(crate) engine_socket: Option<&'static str>,
    pub(crate) start_timeout: Duration,
    /// How far the orchestrator's clock is ahead.
    pub(crate) ahead: Duration,
    /// Until who is idle is put to sleep, and from then until they are stopped.
    pub(crate) idle: Option<(Duration, Duration)>,
    /// What is made reachable beside this host's address on the first network of the pool.
    pub(crate) reachable: Vec<String>,
    pub(crate) egress: &'static str,
    pub(crate) firewall: &'static str,
    /// From one look at everything to the next.
    pub(crate) look_interval: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        let start_timeout = Duration::from_secs(90);
        Self {
            image: None,
            engine_socket: None,
            start_timeout,
            ahead: Duration::ZERO,
            idle: None,
            reachable: Vec::new(),
            egress: "none",
            firewall: "auto",
            look_interval: Duration::from_secs(5),
        }
    }
}

pub(crate) struct World {
    pub(crate) site: Site,
    pub(crate) instance: String,
    /// The first three numbers of the pool.
    pub(crate) pool: String,
    pub(crate) ready: watch::Receiver<bool>,
    setup: Setup,
    store: Store,
    asker: Asker,
    organization: String,
    registry: prometheus::Registry,
    running: Option<(CancellationToken, JoinHandle<()>)>,
    servers: Vec<JoinHandle<()>>,
    directory: tempfile::TempDir,
}

impl World {
    /// Makes a world and starts its orchestrator.
    pub(crate) async fn start(setup: Setup) -> Self {
        let mut world = Self::prepare(setup).await;
        world.start_orchestrator().await;
        world
    }

    /// Makes a world with one person in it.
    pub(crate) async fn prepare(setup: Setup) -> Self {
        // Short, because socket paths are; and passable, because containers' users are others.
        let directory = tempfile::Builder::new()
            .prefix("ko")
            .tempdir_in("/tmp")
            .unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut config = Config::default();
        config.server.data_dir = Some(directory.path().join("data"));
        config.server.run_dir = Some(directory.path().join("run"));
        let site = Site::resolve(&config, false, None).unwrap();
        std::fs::create_dir_all(&site.run_dir).unwrap();
        let settings = kalpana_config::Store::default();
        let opened = SqliteStore::open(site.store_path(), &settings, OpenMode::Migrate).await;
        let store: Store = Arc::new(opened.unwrap());
        let (user, organization) = first_person(&store).await;
        let number: u16 = rand::random();
        Self {
            instance: format!("test-{}-{number}", std::process::id()),
            pool: format!("10.214.{}", number % 256),
            ready: watch::channel(false).1,
            setup,
            store,
            asker: Asker {
                user,
                session: Some(SessionId::generate().to_string()),
                token: None,
                address: None,
            },
            organization,
            registry: prometheus::Registry::new(),
            running: None,
            servers: Vec::new(),
            site,
            directory,
        }
    }

    pub(crate) async fn start_orchestrator(&mut self) {
        let mut config = kalpana_config::Orchestrator {
            instance: self.instance.clone(),
            subnet_pool: format!("{}.0/24", self.pool),
            egress: self.setup.egress.to_owned(),
            firewall: self.setup.firewall.to_owned(),
            reachable: self.reachable(),
            ..Default::default()
        };
        config.start_timeout.0 = self.setup.start_timeout;
        config.stop_timeout.0 = Duration::from_secs(10);
        config.reconcile_interval.0 = self.setup.look_interval;
        if let Some((pause_after, stop_after)) = self.setup.idle {
            config.pause_after.0 = pause_after;
            config.stop_after.0 = stop_after;
        }
        if let Some(image) = self.setup.image {
            config.image = image.to_owned();
        }
        if let Some(socket) = self.setup.engine_socket {
            config.engine_socket = socket.to_owned();
        }
        let clock: Arc<dyn Clock> = if self.setup.ahead.is_zero() {
            Arc::new(SystemClock)
        } else {
            let ahead = jiff::SignedDuration::try_from(self.setup.ahead).unwrap();
            Arc::new(ManualClock::new(SystemClock.now() + ahead))
        };
        self.registry = prometheus::Registry::new();
        let (ready, is_ready) = watch::channel(false);
        self.ready = is_ready;
        let dependencies = Dependencies {
            site: self.site.clone(),
            config,
            peers: OrchestratorPeers {
                api: PeerPolicy::same_user(None),
                run_gid: rustix::process::getegid().as_raw(),
            },
            store: Arc::clone(&self.store),
            registry: self.registry.clone(),
            clock,
            ready,
        };
        let shutdown = CancellationToken::new();
        let running = kalpana_orchestrator::run(dependencies, shutdown.clone());
        let task = tokio::spawn(async move { running.await.expect("the orchestrator starts") });
        self.running = Some((shutdown, task));
        tokio::time::timeout(PATIENCE, self.ready.wait_for(|ready| *ready))
            .await
            .unwrap()
            .unwrap();
    }

    /// Returns what workspaces may reach: the Git server, and what the setup names.
    fn reachable(&self) -> Vec<kalpana_config::Network> {
        let git = format!("{}.1", self.pool);
        let named = std::iter::once(&git).chain(&self.setup.reachable);
        named.map(|text| text.parse().expect(text)).collect()
    }

    pub(crate) async fn stop_orchestrator(&mut self) {
        let (shutdown, task) = self.running.take().expect("it runs");
        shutdown.cancel();
        tokio::time::timeout(PATIENCE, task)
            .await
            .expect("it ends")
            .unwrap();
    }

    pub(crate) async fn end(mut self) {
        self.stop_orchestrator().await;
    }

    fn client(&self) -> Client {
        Client::new("orchestrator", self.site.orchestrator_socket(), None)
    }

    pub(crate) fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// Calls the internal API, which is to do as asked.
    pub(crate) async fn ask<Answer: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl serde::Serialize + Sync)>,
    ) -> Answer {
        let answer = self.client().call(method, path, None, body).await;
        answer.unwrap()
    }

    pub(crate) async fn create(&self, repository: Option<&str>) -> Workspace {
        self.create_with(repository, None).await
    }

    pub(crate) async fn create_from(&self, snapshot: SnapshotOf) -> Workspace {
        self.create_with(None, Some(snapshot)).await
    }

    async fn create_with(
        &self,
        repository: Option<&str>,
        snapshot: Option<SnapshotOf>,
    ) -> Workspace {
        let request = CreateWorkspace {
            asker: self.asker.clone(),
            organization: self.organization.clone(),
            name: "Tested".into(),
            repository: repository.map(str::to_owned),
            branch: None,
            size: "small".into(),
            egress: None,
            snapshot,
            idempotency_key: None,
        };
        let answer: WorkspaceAnswer = self
            .client()
            .call(Method::POST, "/v1/workspaces", None, Some(&request))
            .await
            .unwrap();
        serde_json::from_value(answer.workspace).unwrap()
    }

    pub(crate) async fn change(&self, id: WorkspaceId, verb: &str) {
        let path = format!("/v1/workspaces/{id}/{verb}");
        let intent = Intent {
            asker: self.asker.clone(),
        };
        let answer: WorkspaceAnswer = self
            .client()
            .call(Method::POST, &path, None, Some(&intent))
            .await
            .unwrap();
        assert_eq!(answer.workspace["id"], id.as_str());
    }

    /// Tells the orchestrator, as a gateway does, who is where.
    pub(crate) async fn tell(&self, present: Vec<Present>) {
        let told = Presence {
            gateway: "test".to_owned(),
            present,
            ..Presence::default()
        };
        let answer: Result<(), _> = self
            .client()
            .call(Method::POST, "/v1/presence", None, Some(&told))
            .await;
        answer.unwrap();
    }

    /// Asks why a workspace is awake.
    pub(crate) async fn wakefulness(&self, id: WorkspaceId) -> Wakefulness {
        let path = format!("/v1/workspaces/{id}/wakefulness");
        self.client()
            .call(Method::GET, &path, None, None::<&()>)
            .await
            .unwrap()
    }

    /// Waits until something can be had.
    pub(crate) async fn until<T>(&self, ask: impl AsyncFnMut() -> Option<T>) -> T {
        until(ask).await.expect("it comes about")
    }

    /// Waits until a gateway could send requests to a workspace.
    pub(crate) async fn wait_for_route(&self, id: WorkspaceId) {
        self.until(async || {
            let routes = self.routes().await;
            let route = routes
                .into_iter()
                .find(|found| found.workspace == id.as_str());
            matches!(route?.target, Target::Running { .. }).then_some(())
        })
        .await;
    }

    /// Lets a frozen container go on, as somebody at the host might.
    pub(crate) async fn thaw(&self, container: &str) {
        docker().unpause_container(container).await.unwrap();
    }

    /// Waits until the state of a container is as the engine calls it.
    pub(crate) async fn wait_for_container(&self, container: &str, status: &str) {
        until(async || {
            let found = inspect(container).await;
            (found["State"]["Status"] == status).then_some(())
        })
        .await
        .unwrap_or_else(|| panic!("{container} did not become {status}"));
    }

    /// Waits until a workspace is in a state.
    pub(crate) async fn wait_for(&self, id: WorkspaceId, state: &str) -> Workspace {
        let mut last = None;
        until(async || {
            let row = self.store.workspace(id).await.unwrap()?;
            let is_there = row.lifecycle.name() == state;
            last = Some(row.clone());
            is_there.then_some(row)
        })
        .await
        .unwrap_or_else(|| panic!("{id} did not become {state}: {last:?}"))
    }

    pub(crate) async fn wait_until_gone(&self, id: WorkspaceId) {
        until(async || {
            self.store
                .workspace(id)
                .await
                .unwrap()
                .is_none()
                .then_some(())
        })
        .await
        .unwrap_or_else(|| panic!("{id} was not deleted"));
    }

    pub(crate) async fn wait_for_containers(&self, expected: &[&str]) {
        until(async || (self.containers().await == expected).then_some(()))
            .await
            .unwrap_or_else(|| panic!("expected the containers {expected:?}"));
    }

    pub(crate) async fn wait_for_no_network(&self, name: &str) {
        until(async || self.network(name).await.is_none().then_some(()))
            .await
            .unwrap_or_else(|| panic!("the network {name} was not removed"));
    }

    /// Returns the routes as a gateway that connects now would get them.
    pub(crate) async fn routes(&self) -> Vec<Route> {
        let response = self
            .client()
            .stream("/v1/routes?reader=test", None)
            .await
            .unwrap();
        let mut body = response.into_body().into_data_stream();
        let mut text = Vec::new();
        while !text.ends_with(b"\n") {
            text.extend_from_slice(&body.next().await.unwrap().unwrap());
        }
        match serde_json::from_slice::<RouteLine>(&text).unwrap() {
            Line::Snapshot { state, .. } => state,
            other => panic!("expected a snapshot, got {other:?}"),
        }
    }

    /// Asks the editor for its health, as the gateway would reach it. Returns the HTTP status.
    pub(crate) async fn healthz(&self, id: WorkspaceId) -> u16 {
        let routes = self.routes().await;
        let route = routes
            .iter()
            .find(|route| route.workspace == id.as_str())
            .expect("a route");
        let Target::Running {
            socket,
            peer_uid,
            key,
            ..
        } = &route.target
        else {
            panic!("not running: {route:?}")
        };
        let bridge = Bridge {
            socket: socket.into(),
            peer_uid: *peer_uid,
            workspace: id.to_string(),
            generation: route.generation,
            audience: Audience::Gateway,
            key: ConnectKey::parse(&key.0).unwrap(),
        };
        let limit = Duration::from_secs(10);
        let mut stream = bridge
            .connect(BridgeTarget::Editor, SystemClock.now(), limit)
            .await
            .unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect(&answer)
    }

    pub(crate) async fn log(&self, id: WorkspaceId) -> Vec<LogLine> {
        let path = format!("/v1/workspaces/{id}/logs?follow=false");
        let response = self.client().stream(&path, None).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let lines = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    pub(crate) fn metrics(&self) -> String {
        prometheus::TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap()
    }

    /// Serves a repository from the host's address on the first workspace network, and returns the
    /// URL. The address need not exist yet.
    pub(crate) fn git_server(&mut self) -> String {
        let root = self.directory.path().join("git");
        make_repository(&root);
        let address: Ipv4Addr = format!("{}.1", self.pool).parse().unwrap();
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_freebind_v4(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
        socket.listen(16).unwrap();
        let listener = tokio::net::TcpListener::from_std(socket.into()).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(move |uri: axum::http::Uri| {
            let file = root.join(uri.path().trim_start_matches('/'));
            async move {
                match std::fs::read(file) {
                    Ok(bytes) => (axum::http::StatusCode::OK, bytes),
                    Err(_) => (axum::http::StatusCode::NOT_FOUND, Vec::new()),
                }
            }
        });
        self.servers.push(tokio::spawn(async move {
            axum::serve(listener, router).await.expect("a server");
        }));
        url
    }

    // --- the engine, asked directly -----------------------------------------------------------

    /// Returns the names of this world's containers.
    pub(crate) async fn containers(&self) -> Vec<String> {
        let options = ListContainersOptions {
            all: true,
            filters: Some(filter(&self.instance)),
            ..Default::default()
        };
        let found = docker().list_containers(Some(options)).await.unwrap();
        let names = found
            .into_iter()
            .filter_map(|container| container.names?.pop());
        let mut names: Vec<_> = names
            .map(|name| name.trim_start_matches('/').to_owned())
            .collect();
        names.sort();
        names
    }

    /// Counts the containers that carry files.
    pub(crate) async fn porters(&self) -> usize {
        let label = format!("kalpana.porter={}", self.instance);
        let options = ListContainersOptions {
            all: true,
            filters: Some(HashMap::from([("label".to_owned(), vec![label])])),
            ..Default::default()
        };
        docker().list_containers(Some(options)).await.unwrap().len()
    }

    pub(crate) async fn volumes(&self) -> Vec<String> {
        let options = ListVolumesOptions {
            filters: Some(filter(&self.instance)),
        };
        let found = docker().list_volumes(Some(options)).await.unwrap().volumes;
        let mut names: Vec<_> = found
            .into_iter()
            .flatten()
            .map(|volume| volume.name)
            .collect();
        names.sort();
        names
    }

    pub(crate) async fn network(&self, name: &str) -> Option<serde_json::Value> {
        let found = docker()
            .inspect_network(name, None::<InspectNetworkOptions>)
            .await
            .ok()?;
        Some(serde_json::to_value(found).unwrap())
    }

    /// Returns this host's address on a workspace's network.
    pub(crate) async fn gateway_of(&self, id: WorkspaceId) -> String {
        let network = self.network(&format!("kal-{id}")).await.expect("a network");
        let gateway = network["IPAM"]["Config"][0]["Gateway"].as_str();
        gateway.expect("a gateway").to_owned()
    }

    /// Returns the address of a container on its network.
    pub(crate) async fn address_of(&self, container: &str) -> String {
        let found = inspect(container).await;
        let networks = found["NetworkSettings"]["Networks"].as_object();
        let network = networks.and_then(|networks| networks.values().next());
        let address = network.and_then(|network| network["IPAddress"].as_str());
        address.expect("an address").to_owned()
    }

    /// Runs a shell command in a container and returns what it wrote.
    pub(crate) async fn exec(&self, container: &str, user: &str, command: &str) -> String {
        let config = ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            user: Some(user.to_owned()),
            cmd: Some(["sh", "-c", command].map(str::to_owned).to_vec()),
            ..Default::default()
        };
        let docker = docker();
        let exec = docker.create_exec(container, config).await.unwrap();
        let started = docker.start_exec(&exec.id, None).await.unwrap();
        let StartExecResults::Attached { mut output, .. } = started else {
            panic!("attached")
        };
        let mut text = String::new();
        while let Some(chunk) = output.next().await {
            text.push_str(&chunk.unwrap().to_string());
        }
        let code = docker.inspect_exec(&exec.id).await.unwrap().exit_code;
        assert_eq!(code, Some(0), "{command}: {text}");
        text
    }

    pub(crate) async fn kill(&self, container: &str) {
        docker()
            .kill_container(container, None::<KillContainerOptions>)
            .await
            .unwrap();
    }

    pub(crate) async fn remove(&self, container: &str) {
        let options = RemoveContainerOptions {
            force: true,
            ..Default::default()
        };
        docker()
            .remove_container(container, Some(options))
            .await
            .unwrap();
    }

    /// Makes a container, a network and a volume of one name, as somebody else might have.
    pub(crate) async fn make(&self, name: &str, labels: HashMap<String, String>) {
        let docker = docker();
        let volume = VolumeCreateRequest {
            name: Some(name.into()),
            labels: Some(labels.clone()),
            ..Default::default()
        };
        docker.create_volume(volume).await.unwrap();
        // Above what the orchestrator would choose, two apart.
        let last = if name.ends_with('1') { 224 } else { 240 };
        let config = IpamConfig {
            subnet: Some(format!("{}.{last}/28", self.pool)),
            ..Default::default()
        };
        let network = NetworkCreateRequest {
            name: name.into(),
            labels: Some(labels.clone()),
            ipam: Some(Ipam {
                config: Some(vec![config]),
                ..Default::default()
            }),
            ..Default::default()
        };
        docker.create_network(network).await.unwrap();
        let body = ContainerCreateBody {
            image: Some("kalpana/workspace:dev".into()),
            labels: Some(labels),
            ..Default::default()
        };
        let options = CreateContainerOptions {
            name: Some(name.into()),
            ..Default::default()
        };
        docker.create_container(Some(options), body).await.unwrap();
    }
}

/// Removes all that bears the world's labels, however the test ended.
impl Drop for World {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
        if let Some((shutdown, _)) = &self.running {
            shutdown.cancel();
        }
        let instances = [self.instance.clone(), format!("{}-b", self.instance)];
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                for instance in instances {
                    clean(&instance).await;
                }
            });
        });
        // A panic here would hide the test's own.
        let _ = cleaning.join();
    }
}

async fn clean(instance: &str) {
    let docker = docker();
    let options = ListContainersOptions {
        all: true,
        filters: Some(filter(instance)),
        ..Default::default()
    };
    for container in docker
        .list_containers(Some(options))
        .await
        .unwrap_or_default()
    {
        let force = RemoveContainerOptions {
            force: true,
            ..Default::default()
        };
        let _ = docker
            .remove_container(&container.id.unwrap_or_default(), Some(force))
            .await;
    }
    let options = ListNetworksOptions {
        filters: Some(filter(instance)),
    };
    for network in docker
        .list_networks(Some(options))
        .await
        .unwrap_or_default()
    {
        let _ = docker.remove_network(&network.id.unwrap_or_default()).await;
    }
    let options = ListVolumesOptions {
        filters: Some(filter(instance)),
    };
    let volumes = docker
        .list_volumes(Some(options))
        .await
        .ok()
        .and_then(|found| found.volumes);
    for volume in volumes.unwrap_or_default() {
        let _ = docker
            .remove_volume(&volume.name, None::<RemoveVolumeOptions>)
            .await;
    }
}

pub(crate) fn labels(instance: &str, workspace: &str) -> HashMap<String, String> {
    HashMap::from([
        ("kalpana.instance".to_owned(), instance.to_owned()),
        ("kalpana.workspace".to_owned(), workspace.to_owned()),
    ])
}

/// Returns all the engine knows of a container.
pub(crate) async fn inspect(container: &str) -> serde_json::Value {
    let found = docker()
        .inspect_container(container, None::<InspectContainerOptions>)
        .await;
    serde_json::to_value(found.unwrap()).unwrap()
}

/// Runs a static executable as root of an ordinary container, as the engine makes them when it is
/// told nothing, and returns what it printed.
pub(crate) async fn run_to_its_end(instance: &str, executable: &Path) -> String {
    let docker = docker();
    let body = ContainerCreateBody {
        image: Some("kalpana/workspace:dev".into()),
        labels: Some(labels(instance, "ordinaryaa01")),
        user: Some("0:0".into()),
        entrypoint: Some(vec!["/executable".into()]),
        host_config: Some(HostConfig {
            binds: Some(vec![format!("{}:/executable:ro", executable.display())]),
            network_mode: Some("none".into()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let created = docker
        .create_container(None::<CreateContainerOptions>, body)
        .await
        .unwrap();
    docker
        .start_container(&created.id, None::<StartContainerOptions>)
        .await
        .unwrap();
    let options = LogsOptions {
        follow: true,
        stdout: true,
        stderr: true,
        ..Default::default()
    };
    let mut output = docker.logs(&created.id, Some(options));
    let mut text = String::new();
    while let Some(chunk) = output.next().await {
        text.push_str(&chunk.unwrap().to_string());
    }
    text
}

/// Returns what the engine says of itself.
pub(crate) async fn engine() -> crate::cis::Engine {
    let options = docker().info().await.unwrap().security_options;
    let has = |name: &str| {
        let name = format!("name={name}");
        let mut parts = options
            .iter()
            .flatten()
            .flat_map(|option| option.split(','));
        parts.any(|part| part == name)
    };
    crate::cis::Engine {
        has_apparmor: has("apparmor"),
        has_selinux: has("selinux"),
    }
}

fn docker() -> Docker {
    Docker::connect_with_unix(
        "/var/run/docker.sock",
        120,
        &bollard::ClientVersion {
            major_version: 1,
            minor_version: 41,
        },
    )
    .expect("the engine's socket")
}

fn filter(instance: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([(
        "label".to_owned(),
        vec![format!("kalpana.instance={instance}")],
    )])
}

/// Asks again and again until there is an answer, or patience is over.
async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    let mut ticks = tokio::time::interval(Duration::from_millis(25));
    while Instant::now() < deadline {
        ticks.tick().await;
        if let Some(answer) = ask().await {
            return Some(answer);
        }
    }
    None
}

async fn first_person(store: &Store) -> (String, String) {
    let now = SystemClock.now();
    let hash = [9; 32];
    assert!(store.put_setup_secret(hash, now).await.unwrap());
    let user = NewUser {
        id: UserId::generate(),
        email: EmailAddress::parse("ada@example.com").unwrap(),
        name: "Ada".into(),
        role: Role::Administrator,
        password_hash: "x".into(),
        created_at: now,
    };
    let audit = AuditEvent {
        id: AuditId::generate(),
        at: now,
        organization: None,
        actor: Actor::Anonymous,
        action: AuditAction::SiteSetup,
        subject: "site".into(),
        address: None,
        request_id: None,
    };
    let user = store.complete_setup(hash, user, audit).await.unwrap();
    let organization = store.default_organization().await.unwrap();
    (user.id.to_string(), organization.to_string())
}

/// Makes a bare repository that can be served as plain files.
fn make_repository(root: &Path) {
    let git = |directory: &Path, args: &[&str]| {
        let status = std::process::Command::new("git")
            .current_dir(directory)
            .args([
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example.com",
                "-c",
                "init.defaultBranch=main",
            ])
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .expect("git is installed");
        assert!(status.success(), "git {args:?}");
    };
    let work = root.join("work");
    std::fs::create_dir_all(&work).unwrap();
    git(&work, &["init"]);
    std::fs::write(work.join("README"), "cloned\n").unwrap();
    git(&work, &["add", "."]);
    git(&work, &["commit", "-m", "first"]);
    git(root, &["clone", "--bare", "work", "project.git"]);
    git(&root.join("project.git"), &["update-server-info"]);
}
