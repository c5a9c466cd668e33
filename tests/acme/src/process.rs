//! One process of a test's own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How long a start may take on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A process that ends with the test, however that ends, and whose words are kept in a file.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program`, and waits until it takes connections at all `ports` of 127.0.0.1.
    pub(crate) async fn start(
        program: &str,
        arguments: &[String],
        environment: &[(&str, String)],
        ports: &[u16],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let output = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)?;
        // The kernel ends it with the thread that started it, so that no test leaves one behind.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", program])
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let mut process = Self {
            child,
            log: log.to_owned(),
        };
        let listens = async {
            for port in ports {
                let address = SocketAddr::from(([127, 0, 0, 1], *port));
                while TcpStream::connect(address).await.is_err() {
                    if let Some(status) = process.child.try_wait()? {
                        bail!("it ended with {status}");
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            Ok(())
        };
        match tokio::time::timeout(START_LIMIT, listens).await {
            Ok(Ok(())) => Ok(process),
            Ok(Err(error)) => bail!("{program} does not start ({error}):\n{}", process.log()),
            Err(_) => bail!("{program} does not start in time:\n{}", process.log()),
        }
    }

    /// Returns what it has said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id {
            let _ = kill(Pid::from_raw(id), signal);
        }
    }

    /// Ends it, and waits until it has.
    pub(crate) async fn end(mut self) {
        let _ = self.child.kill().await;
    }
}

/// Returns a port of 127.0.0.1 that nobody has, for TCP and UDP.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    for _ in 0..100 {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = tcp.local_addr()?;
        if std::net::UdpSocket::bind(address).is_ok() {
            return Ok(address.port());
        }
    }
    bail!("no port is free")
}
