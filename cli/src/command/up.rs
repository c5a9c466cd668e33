//! `kalpana up`: a whole site on this machine.

use std::fs::File;
use std::time::Duration;

use anyhow::{Context, bail};
use kalpana_config::{Config, Site};
use kalpana_link::InternalToken;
use rustix::fs::FlockOperation;

use super::Settings;
use crate::output;
use crate::privilege;
use crate::supervise::{Launch, Started, supervise};
use crate::telemetry::{self, LogFormat};

/// Runs the site until it is asked to stop.
pub(super) fn run(settings: &Settings) -> anyhow::Result<()> {
    let config = settings.load()?;
    telemetry::start(&config.telemetry)?;
    let site = privilege::site(&config)?;
    if privilege::is_root() {
        privilege::ensure_users()?;
    }
    privilege::prepare_directories(&site)?;
    let _lock = lock(&site)?;
    let tells_roles_apart = privilege::is_root();
    if tells_roles_apart {
        tracing::info!("each role runs as its own user; internal sockets check the peer's user");
    } else {
        tracing::warn!(
            "not started by root: all roles run as this user, and internal sockets check this \
             user and a token, which is weaker than a user for each role"
        );
    }
    warn_of_one_domain(&site);
    warn_of_missing_engine(&config);
    let launch = Launch {
        executable: std::env::current_exe().context("cannot find our own executable")?,
        arguments: settings.to_arguments(),
        log_format: LogFormat::resolve(&config.telemetry.log_format),
        token: (!tells_roles_apart).then(InternalToken::generate),
        run_dir: site.run_dir.clone(),
        upgrade_socket: site.supervisor_socket(),
        stop_limit: config.gateway.drain_timeout.0 + Duration::from_secs(10),
    };
    // One thread: children are bound to the life of the thread that starts them.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(supervise(launch, |started| announce(&site, &started)))
}

/// Refuses a second site on the same data.
fn lock(site: &Site) -> anyhow::Result<File> {
    let path = site.data_dir.join("kalpana.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let file = file.with_context(|| format!("cannot write {}", path.display()))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => bail!(
            "Kalpana is already running on {}\n\
             hint: stop the other one first, or give this one another server.data_dir",
            site.data_dir.display()
        ),
        Err(error) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

fn warn_of_one_domain(site: &Site) {
    if site.is_single_domain() {
        tracing::info!(
            "workspaces are below the control plane's own domain {}: simplest, but a hostile \
             workspace can plant cookies there; set server.workspace_domain to a second domain \
             to rule that out",
            site.domain
        );
    }
}

fn warn_of_missing_engine(config: &Config) {
    let socket = &config.orchestrator.engine_socket;
    if let Err(error) = std::os::unix::net::UnixStream::connect(socket) {
        tracing::warn!(
            %error,
            "Docker does not answer at {socket} ({error}); workspaces cannot be started until it \
             does. Start it with `systemctl start docker`, or set orchestrator.engine_socket"
        );
    }
}

fn announce(site: &Site, started: &Started) {
    let url = site.base_url();
    let mut text = format!("\n  Kalpana is ready at {url}\n");
    if let Some(link) = &started.setup_link {
        text += &format!(
            "\n  Nobody has an account yet. Make the first administrator here (works once):\n\n  {link}\n"
        );
    }
    let authority = site.authority_certificate();
    if authority.exists() {
        text += &format!(
            "\n  Certificates are signed by a local authority. Trust it in your browser, or pass\n  \
             its warning: {}\n",
            authority.display()
        );
    }
    text += "\n  Ctrl-C stops it.\n";
    // A closed standard output must not end the site.
    let _ = output::print_line(&text);
}
