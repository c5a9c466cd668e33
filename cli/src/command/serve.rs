//! `kalpana gateway|orchestrator|web`: one role in this process.

use std::sync::Arc;

use anyhow::Context;
use kalpana_config::{Config, Site};
use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_link::{InternalToken, PeerPolicy};
use kalpana_store::{OpenMode, Store};
use listenfd::ListenFd;
use prometheus::Registry;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Settings;
use crate::role::Role;
use crate::supervise::{SETUP_LINK_LINE, SUPERVISOR_VARIABLE, TAKE_OVER_VARIABLE};
use crate::{admin, lifecycle, output, privilege, telemetry};

/// Runs the role until it is asked to stop.
///
/// A gateway that `takes_over` is given the sockets of the one that runs.
pub(super) fn run(role: Role, settings: &Settings, takes_over: bool) -> anyhow::Result<()> {
    let config = settings.load()?;
    telemetry::start(&config.telemetry)?;
    let site = privilege::site(&config)?;
    if !is_supervised() {
        if privilege::is_root() {
            privilege::ensure_users()?;
        }
        privilege::prepare_directories(&site)?;
    }
    // Files are for the owner and, where a directory says so, its group.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o007));
    privilege::become_role(role, &config)?;
    die_with_supervisor()?;
    allow_open_files();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if role == Role::Gateway && config.gateway.threads > 0 {
        runtime.worker_threads(config.gateway.threads);
    }
    let runtime = runtime
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let takes_over = takes_over || std::env::var_os(TAKE_OVER_VARIABLE).is_some();
    runtime.block_on(serve(role, config, site, takes_over))
}

fn is_supervised() -> bool {
    std::env::var_os(SUPERVISOR_VARIABLE).is_some()
}

/// Lets this process have as many files open as the system allows it: systems give 1024 at first,
/// for the sake of programs that use `select`, and a connection to a workspace is two.
fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, all) {
        tracing::warn!(%error, "cannot have more files open than {:?}: {error}", limit.current);
    }
}

/// Asks the kernel to end this process when its supervisor ends, however it ends.
fn die_with_supervisor() -> anyhow::Result<()> {
    let Some(supervisor) = std::env::var(SUPERVISOR_VARIABLE).ok() else {
        return Ok(());
    };
    // After the change of user, which clears it.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .context("cannot bind this process to its supervisor")?;
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().to_string());
    // It may have ended before the kernel was asked.
    anyhow::ensure!(
        parent.as_ref() == Some(&supervisor),
        "the supervisor is gone"
    );
    Ok(())
}

async fn serve(role: Role, config: Config, site: Site, takes_over: bool) -> anyhow::Result<()> {
    let shutdown = lifecycle::shutdown_on_signal()?;
    let registry = Registry::new();
    let (ready, is_ready) = watch::channel(false);
    let (port, setting) = match role {
        Role::Gateway => (config.telemetry.gateway_port, "telemetry.gateway_port"),
        Role::Orchestrator => (
            config.telemetry.orchestrator_port,
            "telemetry.orchestrator_port",
        ),
        Role::Web => (config.telemetry.web_port, "telemetry.web_port"),
    };
    let address = (config.telemetry.admin_address, port).into();
    let left = CancellationToken::new();
    let admin_shutdown = left.child_token();
    let listener = if takes_over {
        None
    } else {
        Some(admin::bind(address, setting).await?)
    };
    let (shown, ready_shown) = (registry.clone(), is_ready.clone());
    let stop = admin_shutdown.clone();
    let admin = tokio::spawn(async move {
        let listener = match listener {
            Some(listener) => listener,
            // The process before has the port until it has handed over.
            None => admin::bind_when_free(address, &stop).await?,
        };
        let address = listener.local_addr().ok()?;
        tracing::info!(%address, "{role} serves /metrics, /healthz and /readyz on {address}");
        admin::serve(listener, shown, ready_shown, needs(role), stop).await;
        Some(())
    });
    tokio::spawn(report_readiness(is_ready));
    let started = Started {
        config,
        site,
        registry,
        ready,
        takes_over,
        left,
        shutdown: shutdown.clone(),
    };
    let outcome = match role {
        Role::Web => started.web().await,
        Role::Orchestrator => started.orchestrator().await,
        Role::Gateway => started.gateway().await,
    };
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    admin_shutdown.cancel();
    let _ = admin.await;
    outcome
}

/// Returns what a role waits for while it is not ready.
fn needs(role: Role) -> &'static str {
    match role {
        Role::Gateway => "it is starting and has not heard all routes and ended sessions yet",
        Role::Orchestrator | Role::Web => "it is starting, or the database does not answer",
    }
}

async fn report_readiness(mut ready: watch::Receiver<bool>) {
    if ready.wait_for(|is_ready| *is_ready).await.is_ok() {
        let _ = sd_notify::notify(&[NotifyState::Ready]);
    }
}

/// What every role is started with.
struct Started {
    config: Config,
    site: Site,
    registry: Registry,
    ready: watch::Sender<bool>,
    takes_over: bool,
    /// Cancelled when another process has taken over.
    left: CancellationToken,
    shutdown: CancellationToken,
}

impl Started {
    async fn web(self) -> anyhow::Result<()> {
        let store = self.open_store(OpenMode::Migrate).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        tell_setup_link(&store, &self.config, &self.site, Arc::clone(&clock)).await?;
        let dependencies = kalpana_web::Dependencies {
            peers: kalpana_web::WebPeers {
                public: admits(&[Role::Gateway]),
                internal: admits(&[Role::Gateway]),
                token: token(),
            },
            site: self.site,
            config: self.config.web,
            auth: self.config.auth,
            egress_default: self.config.orchestrator.egress.parse()?,
            trash_retention: self.config.orchestrator.trash_retention.0,
            workspace_session_lifetime: self.config.gateway.session_lifetime.0,
            store,
            registry: self.registry,
            clock,
            ready: self.ready,
        };
        Ok(kalpana_web::run(dependencies, self.shutdown).await?)
    }

    async fn orchestrator(self) -> anyhow::Result<()> {
        let store = self.open_store(OpenMode::Use).await?;
        let dependencies = kalpana_orchestrator::Dependencies {
            peers: kalpana_orchestrator::OrchestratorPeers {
                api: admits(&[Role::Web, Role::Gateway]),
                run_gid: privilege::run_gid(),
            },
            site: self.site,
            config: self.config.orchestrator,
            store,
            registry: self.registry,
            clock: Arc::new(SystemClock),
            ready: self.ready,
        };
        Ok(kalpana_orchestrator::run(dependencies, self.shutdown).await?)
    }

    async fn gateway(self) -> anyhow::Result<()> {
        let shares_certificates = self.config.shares_certificates();
        let dependencies = kalpana_gateway::Dependencies {
            peers: kalpana_gateway::GatewayPeers {
                token: token(),
                control_uids: vec![privilege::uid_of(Role::Web), 0],
            },
            site: self.site,
            config: self.config.gateway,
            shares_certificates,
            certs: self.config.certs,
            registry: self.registry,
            clock: Arc::new(SystemClock),
            inherited: inherited(),
            takes_over: self.takes_over,
            left: self.left,
            ready: self.ready,
            bound: watch::channel(None).0,
        };
        Ok(kalpana_gateway::run(dependencies, self.shutdown).await?)
    }

    async fn open_store(&self, mode: OpenMode) -> anyhow::Result<Store> {
        let (settings, path) = (&self.config.store, self.site.store_path());
        Ok(kalpana_store::open(settings, path, mode, &self.registry).await?)
    }
}

/// Returns the sockets that systemd listens on for us (`sd_listen_fds(3)`).
fn inherited() -> Vec<std::net::TcpListener> {
    let mut sockets = ListenFd::from_env();
    let sockets = (0..sockets.len()).filter_map(|index| sockets.take_tcp_listener(index).ok()?);
    sockets.collect()
}

/// Lets in the processes of these roles.
fn admits(roles: &[Role]) -> PeerPolicy {
    let mut allowed_uids: Vec<u32> = roles.iter().copied().map(privilege::uid_of).collect();
    allowed_uids.dedup();
    PeerPolicy {
        allowed_uids,
        token: token(),
    }
}

/// Returns the token of internal sockets, where there is one.
fn token() -> Option<InternalToken> {
    let text = std::env::var(InternalToken::VARIABLE).ok()?;
    InternalToken::from_text(&text)
}

/// Makes a fresh setup link while nobody has an account, and tells the supervisor, or else
/// whoever started this process.
async fn tell_setup_link(
    store: &Store,
    config: &Config,
    site: &Site,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<()> {
    let link = kalpana_web::setup_link(Arc::clone(store), site, &config.auth, clock).await?;
    let Some(link) = link else { return Ok(()) };
    if is_supervised() {
        let line = format!("{SETUP_LINK_LINE}={link}");
        sd_notify::notify(&[NotifyState::Custom(&line)]).context("cannot tell the supervisor")
    } else {
        output::print_line(&format!(
            "make the first administrator (works once): {link}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_may_open_as_many_files_as_the_system_allows() {
        let before = getrlimit(Resource::Nofile);
        let few = Rlimit {
            current: Some(256),
            ..before
        };
        setrlimit(Resource::Nofile, few).expect("lowered");
        allow_open_files();
        let after = getrlimit(Resource::Nofile);
        assert_eq!(after.current, before.maximum);
        assert_eq!(after.maximum, before.maximum);
    }
}
