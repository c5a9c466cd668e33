//! Everything that a workload needs, set up once: certificate, workspaces, our gateway's feeds.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kalpana_domain::clock::{Clock, SystemClock};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ClientConfig;
use tempfile::TempDir;

use super::certificate::Certificate;
use super::child::{CLIENT_CPU, Child, free_address};
use super::fairness::{self, Judgement};
use super::options::Options;
use super::ours::{self, Ours};
use super::peers::{Peer, Surroundings};
use super::target::{Target, Visitor};
use super::{client, fixture, token};

/// Workspaces that visitors have sessions for.
pub(crate) const WORKSPACES: usize = 1000;

/// How long sessions of the peers are good. Unit: seconds.
const LIFETIME: i64 = 12 * 3600;

/// Everything around the proxies.
#[derive(Debug)]
pub(crate) struct Stage {
    /// What was asked for.
    pub(crate) options: Options,
    /// Our gateway.
    pub(crate) ours: Ours,
    /// The certificate.
    pub(crate) certificate: Certificate,
    /// A client of HTTP/1 that shakes hands in full.
    pub(crate) http1: Arc<ClientConfig>,
    /// A client of HTTP/2.
    pub(crate) http2: Arc<ClientConfig>,
    upstream: SocketAddr,
    direct: SocketAddr,
    _upstream: Child,
    folder: TempDir,
}

impl Stage {
    /// Sets everything up.
    pub(crate) async fn set(options: Options) -> anyhow::Result<Self> {
        let limit = raise_descriptors()?;
        anyhow::ensure!(limit >= 4096, "only {limit} descriptors per process");
        // A short path, because Unix sockets are below it.
        let folder = tempfile::Builder::new().prefix("kb-").tempdir()?;
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755))?;
        let certificate = Certificate::make(folder.path())?;
        let ours = Ours::prepare(folder.path(), ours::NAME, &certificate, WORKSPACES, None)?;
        let (upstream, direct) = (free_address()?, free_address()?);
        let program = std::env::current_exe()?;
        let command = [
            program.display().to_string(),
            "upstream".to_owned(),
            format!("--tcp={upstream}"),
            format!("--tls={direct}"),
            format!("--certificate={}", certificate.chain.display()),
            format!("--key={}", certificate.key.display()),
            format!("--workspaces={}", ours.workspaces().display()),
            format!("--count={WORKSPACES}"),
        ];
        let mut child = Child::start("upstream", CLIENT_CPU, folder.path(), &command, &[])?;
        child.until_listening(upstream).await?;
        Ok(Self {
            http1: client::config(&certificate.authority, client::HTTP1, false)?,
            http2: client::config(&certificate.authority, client::HTTP2, false)?,
            options,
            ours,
            certificate,
            upstream,
            direct,
            _upstream: child,
            folder,
        })
    }

    /// Starts ours, then every peer that is wanted.
    pub(crate) async fn targets(&self) -> anyhow::Result<Vec<Target>> {
        let mut targets = vec![self.ours.start().await.context("kalpana")?];
        for peer in self.options.peers() {
            targets.push(self.start(peer).await?);
        }
        for target in &targets {
            fairness::check(&self.http1, target).await?;
        }
        Ok(targets)
    }

    /// Returns a second gateway of ours that knows only `count` of the same workspaces.
    pub(crate) fn second(&self, count: usize) -> anyhow::Result<Ours> {
        let sockets = self.ours.workspaces();
        let folder = self.folder.path();
        Ours::prepare(folder, "second", &self.certificate, count, Some(&sockets))
    }

    /// Starts one peer.
    pub(crate) async fn start(&self, peer: Peer) -> anyhow::Result<Target> {
        self.start_with(peer, WORKSPACES).await
    }

    /// Starts one peer with `routes` of them in its table.
    pub(crate) async fn start_with(&self, peer: Peer, routes: usize) -> anyhow::Result<Target> {
        let around = Surroundings {
            folder: self.folder.path(),
            certificate: &self.certificate,
            upstream: self.upstream,
            count: WORKSPACES,
            routes,
            expires: SystemClock.now().as_second() + LIFETIME,
        };
        let target = peer.start(&around).await.context(peer.name())?;
        // Some listen before they have read what they serve.
        let serving = async {
            while fairness::visit(&self.http1, &target).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let outcome = tokio::time::timeout(client::PATIENCE, serving).await;
        anyhow::ensure!(outcome.is_ok(), "{} serves nobody", target.name);
        Ok(target)
    }

    /// Returns the upstream's own TLS as a target that costs nothing: what proxies add is told
    /// from it.
    pub(crate) fn direct(&self) -> anyhow::Result<Target> {
        let visitors = (0..WORKSPACES).map(|number| {
            let token = token::sign(&fixture::subject(number), 0);
            Visitor::new(number, self.direct, |_| {
                format!("{}={token}", token::COOKIE)
            })
        });
        Ok(Target {
            name: "direct",
            address: self.direct,
            visitors: visitors.collect::<anyhow::Result<_>>()?,
            judgement: Judgement::Nothing,
            children: Vec::new(),
        })
    }

    /// Returns the folder of everybody's configuration.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the logs of everything that ran, for when something went wrong.
    pub(crate) fn keep_logs(self) -> PathBuf {
        let Self { folder, .. } = self;
        folder.keep()
    }
}

/// Lets this process and its children open as many files as the system allows. Returns how many.
fn raise_descriptors() -> anyhow::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised)?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}
