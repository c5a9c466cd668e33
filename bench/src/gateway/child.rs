//! Processes that the benchmark starts, and ends with itself.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::TcpStream;
use tokio::process::Command;

/// Where proxies run, with whatever they need to judge a request.
pub(crate) const PROXY_CPU: &str = "0";

/// Where clients and the workspaces behind the proxies run.
pub(crate) const CLIENT_CPU: &str = "1";

/// Longest wait for a process to listen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process with all that it starts. Ended when dropped.
#[derive(Debug)]
pub(crate) struct Child {
    name: String,
    inner: tokio::process::Child,
    pid: u32,
}

impl Child {
    /// Starts `command` pinned to one processor, in a process group of its own, with its output in
    /// `<folder>/<name>.log`.
    pub(crate) fn start(
        name: &str,
        cpu: &str,
        folder: &Path,
        command: &[impl AsRef<std::ffi::OsStr>],
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let log = File::create(folder.join(format!("{name}.log")))?;
        // `taskset` becomes the program, so the process id is the program's own.
        let mut builder = Command::new("taskset");
        builder
            .args(["--cpu-list", cpu])
            .args(command)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true);
        let inner = builder
            .spawn()
            .with_context(|| format!("cannot start {name} (is taskset of util-linux there?)"))?;
        let pid = inner.id().context("it has just been started")?;
        Ok(Self {
            name: name.to_owned(),
            inner,
            pid,
        })
    }

    /// Returns the process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until the process listens on `address`.
    pub(crate) async fn until_listening(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let started = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            self.ensure_alive()?;
            if started.elapsed() > PATIENCE {
                bail!("{} does not listen on {address}; see its log", self.name);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Fails when the process has ended.
    pub(crate) fn ensure_alive(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.inner.try_wait()? {
            bail!("{} ended: {status}; see its log", self.name);
        }
        Ok(())
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn until_gone(mut self, patience: Duration) -> anyhow::Result<()> {
        match tokio::time::timeout(patience, self.inner.wait()).await {
            Ok(status) => {
                let status = status?;
                anyhow::ensure!(status.success(), "{} ended: {status}", self.name);
                Ok(())
            }
            Err(_) => bail!("{} does not end", self.name),
        }
    }

    /// Ends the process and waits until it is gone.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.kill();
        self.inner.wait().await?;
        Ok(())
    }

    fn kill(&self) {
        if let Some(group) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns an address of this machine that nobody listens on at the moment.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}
