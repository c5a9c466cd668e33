//! Our gateway: the `kalpana` executable in a process of its own, and the two feeds that it
//! follows, which this process publishes in the place of orchestrator and web.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::Router;
use kalpana_auth::workspace_session::{KeyRing, WorkspaceGrant};
use kalpana_config::{Config, Site};
use kalpana_domain::address::WorkspaceAddress;
use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_domain::sharing::Right;
use kalpana_link::feed::{Publisher, State};
use kalpana_link::{Listener, PeerPolicy};
use kalpana_protocol::routes::{ConnectKey, Route, RouteChange, Target as RouteTarget};
use kalpana_protocol::sessions::{SessionChange, SessionState};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::certificate::Certificate;
use super::child::{Child, PROXY_CPU, free_address};
use super::fairness::Judgement;
use super::target::{Target, Visitor};
use super::{fixture, upstream};

/// Its name in the results.
pub(crate) const NAME: &str = "kalpana";

/// Names the executable that is measured.
pub(crate) const PROGRAM_VARIABLE: &str = "KALPANA_BINARY";

/// The user that the gateway runs as when the benchmark is root's: nobody.
const NOBODY: u32 = 65_534;

/// Longest wait for the gateway to have applied a change.
const PATIENCE: Duration = Duration::from_secs(60);

/// Changes that are published before their acknowledgement is waited for; fewer than a slow
/// reader may be behind.
const BATCH: usize = 500;

/// Routes told in one line at most, as the orchestrator does.
const ROUTES_PER_LINE: usize = 10_000;

#[derive(Debug, Clone, Default)]
struct RouteTable(BTreeMap<String, Arc<Route>>);

impl Serialize for RouteTable {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.values())
    }
}

impl State for RouteTable {
    type Change = RouteChange;

    fn apply(&mut self, change: &RouteChange) {
        match change {
            RouteChange::Upsert { route } => {
                self.0
                    .insert(route.workspace.clone(), Arc::new(route.clone()));
            }
            RouteChange::Remove { workspace } => {
                self.0.remove(workspace);
            }
        }
    }

    fn split_off(&mut self) -> Option<Self> {
        if self.0.len() <= ROUTES_PER_LINE {
            return None;
        }
        let part = (0..ROUTES_PER_LINE).map_while(|_| self.0.pop_first());
        Some(Self(part.collect()))
    }
}

#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
struct SessionTable(SessionState);

impl State for SessionTable {
    type Change = SessionChange;

    fn apply(&mut self, _change: &SessionChange) {}
}

/// Where our gateway lives, whether or not it runs.
#[derive(Debug)]
pub(crate) struct Ours {
    site: Site,
    name: &'static str,
    folder: PathBuf,
    sockets: PathBuf,
    program: PathBuf,
    certificate: (PathBuf, PathBuf),
    address: SocketAddr,
    plain: SocketAddr,
    count: usize,
    routes: Publisher<RouteTable>,
    feeds: CancellationToken,
}

impl Ours {
    /// Prepares its directories below `folder`, and publishes routes to `count` workspaces, whose
    /// sockets are below `sockets`, or in the site's own place.
    pub(crate) fn prepare(
        folder: &Path,
        name: &'static str,
        certificate: &Certificate,
        count: usize,
        sockets: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let data = folder.join(name);
        let mut config = Config::default();
        let address = free_address()?;
        config.server.data_dir = Some(data.clone());
        config.gateway.listen = address;
        let site = Site::resolve(&config, false, None)?;
        let own = |path: &Path| -> anyhow::Result<()> {
            if is_root() {
                chown(path, Some(NOBODY), Some(NOBODY))?;
            }
            Ok(())
        };
        for path in [&site.data_dir, &site.run_dir] {
            std::fs::create_dir_all(path)?;
            own(path)?;
        }
        let in_place = site.workspaces_run_dir();
        match sockets {
            // They are found where this site's are.
            Some(elsewhere) => std::os::unix::fs::symlink(elsewhere, &in_place)?,
            None => {
                std::fs::create_dir_all(&in_place)?;
                own(&in_place)?;
            }
        }
        // Keys must be their reader's own.
        let copy = |from: &Path, name: &str| -> anyhow::Result<PathBuf> {
            let path = data.join(name);
            std::fs::copy(from, &path)?;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
            own(&path)?;
            Ok(path)
        };
        let certificate = (
            copy(&certificate.chain, "chain.pem")?,
            copy(&certificate.key, "key.pem")?,
        );
        let program = std::env::var(PROGRAM_VARIABLE).with_context(|| {
            format!("{PROGRAM_VARIABLE} is not set\nhint: `make bench-gateway` sets it")
        })?;
        // A copy, because whom it runs as may not be let in to where it was built.
        let copied = folder.join(format!("{name}-executable"));
        std::fs::copy(program, &copied)?;
        let feeds = CancellationToken::new();
        let listen = |path: &Path, router: Router| -> anyhow::Result<()> {
            let mut policy = PeerPolicy::same_user(None);
            policy.allowed_uids.push(NOBODY);
            let listener = Listener::bind(path, 0o666, policy)?;
            tokio::spawn(kalpana_link::server::serve(listener, router, feeds.clone()));
            Ok(())
        };
        let sockets = in_place;
        let routes = Publisher::new(RouteTable::default());
        for number in 0..count {
            routes.publish(upsert(&sockets, number));
        }
        let sessions = Publisher::new(SessionTable(SessionState::default()));
        listen(
            &site.orchestrator_socket(),
            Router::new().nest("/v1/routes", routes.router()),
        )?;
        listen(
            &site.web_internal_socket(),
            Router::new().nest("/v1/sessions", sessions.router()),
        )?;
        Ok(Self {
            site,
            name,
            folder: folder.to_owned(),
            sockets,
            program: copied,
            certificate,
            address,
            plain: free_address()?,
            count,
            routes,
            feeds,
        })
    }

    /// Returns the directory of the workspaces' directories.
    pub(crate) fn workspaces(&self) -> PathBuf {
        self.sockets.clone()
    }

    /// Starts the gateway and waits until it knows every route.
    pub(crate) async fn start(&self) -> anyhow::Result<Target> {
        let mut child = Child::start(self.name, PROXY_CPU, &self.folder, &self.command(), &[])?;
        child.until_listening(self.address).await?;
        let key = self.site.gateway_dir().join("session.key");
        let keys = KeyRing::load_or_create(&key)?;
        // Every connected reader has applied it, and there is one.
        self.until_applied(self.publish(0)).await?;
        let now = SystemClock.now();
        let visitors = (0..self.count).map(|number| {
            let grant = WorkspaceGrant {
                session: fixture::session(number),
                right: Right::Owner(fixture::owner(number)),
                address: WorkspaceAddress::editor(fixture::workspace(number)),
                generation: fixture::GENERATION,
            };
            Visitor::new(number, self.address, |host| {
                format!("__Host-kws={}", keys.mint(&grant, host, now))
            })
        });
        Ok(Target {
            name: self.name,
            address: self.address,
            visitors: visitors.collect::<anyhow::Result<_>>()?,
            judgement: Judgement::Whole,
            children: vec![child],
        })
    }

    /// Starts another gateway in the place of the one that runs; returns once it has taken over.
    pub(crate) async fn succeed(&self) -> anyhow::Result<Child> {
        let mut command = self.command();
        command.push("--upgrade".to_owned());
        let name = format!("{}-successor", self.name);
        let mut child = Child::start(&name, PROXY_CPU, &self.folder, &command, &[])?;
        let readers = async {
            // Whoever follows has applied what is at the first place.
            while self.routes.wait_acknowledged(0, PATIENCE).await.done.len() < 2 {
                child.ensure_alive()?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            anyhow::Ok(())
        };
        let outcome = tokio::time::timeout(PATIENCE, readers).await;
        outcome.context("the new gateway does not follow the routes")??;
        self.until_applied(self.publish(0)).await?;
        Ok(child)
    }

    /// Returns the command that runs the gateway. Its limits are raised, because here one address
    /// is a thousand visitors; its access log is off, as those of the peers are.
    fn command(&self) -> Vec<String> {
        let settings = [
            format!("server.data_dir={}", self.site.data_dir.display()),
            format!("gateway.listen={}", self.address),
            format!("gateway.listen_http={}", self.plain),
            format!("certs.certificate_file={}", self.certificate.0.display()),
            format!("certs.key_file={}", self.certificate.1.display()),
            "gateway.threads=1".to_owned(),
            "gateway.connections_per_address=1000000".to_owned(),
            "gateway.requests_per_address=0".to_owned(),
            "gateway.requests_per_user=0".to_owned(),
            "gateway.requests_per_workspace=0".to_owned(),
            "telemetry.gateway_port=0".to_owned(),
            "telemetry.log=warn".to_owned(),
        ];
        let mut command = Vec::new();
        if is_root() {
            let user = NOBODY.to_string();
            let flags = ["setpriv", "--reuid", &user, "--regid", &user];
            command.extend(flags.map(ToOwned::to_owned));
            command.push("--clear-groups".to_owned());
        }
        command.push(self.program.display().to_string());
        // Whatever this machine's own site is set to is not ours.
        command.extend(["gateway", "--config", "/dev/null"].map(ToOwned::to_owned));
        for setting in settings {
            command.extend(["--set".to_owned(), setting]);
        }
        command
    }

    /// Publishes the route of a workspace. Returns its place in line.
    pub(crate) fn publish(&self, number: usize) -> u64 {
        self.routes.publish(upsert(&self.sockets, number))
    }

    /// Takes the route of a workspace back. Returns its place in line.
    pub(crate) fn withdraw(&self, number: usize) -> u64 {
        let workspace = fixture::workspace(number).to_string();
        self.routes.publish(RouteChange::Remove { workspace })
    }

    /// Waits until the gateway has applied what is at this place in line.
    pub(crate) async fn until_applied(&self, place: u64) -> anyhow::Result<()> {
        let waiting = async {
            loop {
                let heard = self.routes.wait_acknowledged(place, PATIENCE).await;
                if !heard.done.is_empty() && heard.waiting.is_empty() {
                    break;
                }
                // Nobody follows yet.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, waiting).await;
        ensure!(outcome.is_ok(), "the gateway does not apply routes");
        Ok(())
    }

    /// Publishes routes one by one, no faster than the gateway applies them.
    pub(crate) async fn publish_all(&self, numbers: std::ops::Range<usize>) -> anyhow::Result<()> {
        let numbers: Vec<usize> = numbers.collect();
        for part in numbers.chunks(BATCH) {
            let mut last = 0;
            for number in part {
                last = self.publish(*number);
            }
            self.until_applied(last).await?;
        }
        Ok(())
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.feeds.cancel();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn upsert(sockets: &Path, number: usize) -> RouteChange {
    let socket = upstream::socket(sockets, number);
    RouteChange::Upsert {
        route: Route {
            workspace: fixture::workspace(number).to_string(),
            owner: fixture::owner(number).to_string(),
            generation: fixture::GENERATION.0,
            target: RouteTarget::Running {
                socket: socket.display().to_string(),
                peer_uid: rustix::process::geteuid().as_raw(),
                key: ConnectKey(fixture::connect_key(number).expose()),
                assets: None,
            },
        },
    }
}
