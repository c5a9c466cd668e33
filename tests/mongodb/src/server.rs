//! One server process.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long a start may take on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What its log says when it can be connected to, before address and port.
const LISTENING: &str = "listening on 127.0.0.1:";

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether users must sign in. [`Server::start`] makes none: see [`Server::create_user`].
    pub auth: bool,
    /// Whether it says that it is no replica set.
    pub standalone: bool,
    /// Certificate chain and key (PEM) that it shows; turns TLS on.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Authority (PEM) that clients' certificates must be signed by; asks for one.
    pub client_authority: Option<PathBuf>,
    /// Whether a committed transaction is on the disk before it is answered. Slower.
    pub sync: bool,
}

/// A server of a test's own. It ends with the test, however that ends.
#[derive(Debug)]
pub struct Server {
    folder: tempfile::TempDir,
    options: Options,
    port: u16,
    process: Option<Child>,
}

impl Server {
    /// Starts a server with default options.
    ///
    /// # Errors
    /// If it is not installed or does not start, with its log.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(Options::default()).await
    }

    /// Starts a server.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_with(options: Options) -> anyhow::Result<Self> {
        let mut server = Self {
            folder: tempfile::Builder::new().prefix("kmongo").tempdir()?,
            options,
            port: 0,
            process: None,
        };
        server.start_again().await?;
        Ok(server)
    }

    /// Starts it with what it had on its disk, at the port it had.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(self.process.is_none(), "the server runs");
        let executable = executable()?;
        // The kernel ends it with the thread that started it, so that no test leaves one behind.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&executable)
            .args(["--host", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--enable-test-commands", "--cache-size", "128M"])
            .arg("--storage-path")
            .arg(self.folder.path().join("data"))
            .current_dir(self.folder.path());
        let flags = [
            (self.options.auth, "--auth"),
            (self.options.standalone, "--standalone"),
            (self.options.sync, "--sync-on-commit"),
        ];
        command.args(
            flags
                .iter()
                .filter(|(is_set, _)| *is_set)
                .map(|flag| flag.1),
        );
        if let Some((certificate, key)) = &self.options.certificate {
            command.arg("--tls-cert-file").arg(certificate);
            command.arg("--tls-key-file").arg(key);
        }
        if let Some(authority) = &self.options.client_authority {
            command.arg("--tls-ca-file").arg(authority);
            command.arg("--tls-require-client-cert");
        }
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", executable.display()))?;
        let stderr = process.stderr.take().context("piped")?;
        let mut lines = BufReader::new(stderr).lines();
        let mut log = String::new();
        let listening = async {
            while let Some(line) = lines.next_line().await? {
                if let Some((_, port)) = line.split_once(LISTENING) {
                    return Ok(port.trim().parse()?);
                }
                log.push_str(&line);
                log.push('\n');
            }
            bail!("it ended")
        };
        let port: u16 = match tokio::time::timeout(START_LIMIT, listening).await {
            Ok(Ok(port)) => port,
            Ok(Err(error)) => bail!("the MongoDB server does not start ({error}):\n{log}"),
            Err(_) => bail!("the MongoDB server does not start in time:\n{log}"),
        };
        // Its pipe must never be full.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        self.port = port;
        self.process = Some(process);
        Ok(())
    }

    /// Returns where it is.
    pub fn uri(&self) -> String {
        self.uri_with("")
    }

    /// Returns where it is, with a user and password in front of the host, as in `user:password@`.
    pub fn uri_with(&self, user: &str) -> String {
        let members = if self.options.standalone {
            ""
        } else {
            "?replicaSet=secantus"
        };
        format!("mongodb://{user}127.0.0.1:{}/{members}", self.port)
    }

    /// Returns its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns a folder that goes with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a user who may do everything, and starts it again so that it asks for users.
    ///
    /// # Errors
    /// If the server refuses, or was started with TLS, which this does not speak.
    pub async fn create_user(&mut self, name: &str, password: &str) -> anyhow::Result<()> {
        use mongodb::bson::doc;
        self.kill().await?;
        let options = self.options.clone();
        (self.options.auth, self.options.sync) = (false, true);
        self.start_again().await?;
        let client = mongodb::Client::with_uri_str(self.uri()).await?;
        client
            .database("admin")
            .run_command(doc! {
                "createUser": name,
                "pwd": password,
                "roles": [{ "role": "root", "db": "admin" }],
            })
            .await?;
        self.kill().await?;
        self.options = options;
        self.start_again().await
    }

    /// Ends it without a warning.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let mut process = self.process.take().context("the server runs")?;
        process.kill().await?;
        Ok(())
    }

    /// Makes it keep silent: it accepts connections and answers nothing. When this returns all of
    /// its threads stand still, so that not even an answer under way comes out.
    ///
    /// # Errors
    /// If it does not run, or does not stand still.
    pub fn hold(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)?;
        let deadline = Instant::now() + START_LIMIT;
        while !self.stands_still()? {
            anyhow::ensure!(Instant::now() < deadline, "the server does not stand still");
            std::thread::yield_now();
        }
        Ok(())
    }

    fn stands_still(&self) -> anyhow::Result<bool> {
        let process = self.process.as_ref().context("the server runs")?;
        let tasks = format!("/proc/{}/task", process.id().context("it lives")?);
        for task in std::fs::read_dir(tasks)? {
            let stat = std::fs::read_to_string(task?.path().join("stat"))?;
            // The state comes after the name, which is in parentheses and may hold any.
            let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
            if !state.starts_with('T') {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// If it does not run.
    pub fn release(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let process = self.process.as_ref().context("the server runs")?;
        let pid = i32::try_from(process.id().context("it lives")?)?;
        Ok(kill(Pid::from_raw(pid), signal)?)
    }
}

/// Finds the server's executable: `KALPANA_SECANTUSDB`, else where `scripts/mongodb` installs it.
fn executable() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("KALPANA_SECANTUSDB") {
        return Ok(path.into());
    }
    let cache = std::env::var_os("KALPANA_CACHE").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/kalpana"));
    let cache = cache.or_else(home).context("HOME is set")?;
    let path = cache.join("secantusdb/bin/secantusd-py");
    anyhow::ensure!(
        path.exists(),
        "{} is missing; `scripts/mongodb` installs it, `make test` does so by itself",
        path.display()
    );
    Ok(path)
}
