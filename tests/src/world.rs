//! One site, started by the real `kalpana up`.

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail};
use kalpana_test_acme::reserve_port;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::client::Browser;
use crate::docker;
use crate::wait::until;

/// A user and group id that nobody has.
pub const UNPRIVILEGED: u32 = 61_234;

/// How long a start may take on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running site. Stop it with [`World::stop`]; dropped, it is killed and cleaned up.
#[derive(Debug)]
pub struct World {
    folder: tempfile::TempDir,
    /// Value of its `kalpana.instance` label.
    pub instance: String,
    /// First address of its subnet pool, a /24.
    pub pool: Ipv4Addr,
    /// Port of its gateway on 127.0.0.1.
    pub port: u16,
    /// Port of each role's metrics: gateway, orchestrator, web.
    pub admin_ports: [u16; 3],
    reserved: Vec<socket2::Socket>,
    settings: Vec<String>,
    /// What the executable is started with, in front of it.
    launcher: Vec<String>,
    process: Option<Child>,
    output: Arc<Mutex<String>>,
}

impl World {
    /// Starts a site with further settings, as in `orchestrator.image=x`.
    ///
    /// # Errors
    /// If it is not ready in time, with its log.
    pub async fn start(settings: &[&str]) -> anyhow::Result<Self> {
        let mut world = Self::prepare(settings)?;
        world.up().await?;
        Ok(world)
    }

    /// Starts a site that keeps what it remembers in a MongoDB database.
    ///
    /// # Errors
    /// As [`World::start`].
    pub async fn start_on(uri: &str, database: &str, settings: &[&str]) -> anyhow::Result<Self> {
        let uri = format!("store.mongodb.uri={uri}");
        let database = format!("store.mongodb.database={database}");
        let own = [uri.as_str(), database.as_str()];
        Self::start(&[&own[..], settings].concat()).await
    }

    /// Starts a site as a user with no rights but to use the engine.
    ///
    /// # Errors
    /// As [`World::start`]; also when this process is not root and so cannot become another user.
    pub async fn start_unprivileged(settings: &[&str]) -> anyhow::Result<Self> {
        Self::start_with_rights(settings, &[]).await
    }

    /// Starts a site as a user with no rights but to use the engine and to change the packet filter.
    ///
    /// # Errors
    /// As [`World::start_unprivileged`].
    pub async fn start_with_net_admin(settings: &[&str]) -> anyhow::Result<Self> {
        let rights = ["--inh-caps=+net_admin", "--ambient-caps=+net_admin"];
        Self::start_with_rights(settings, &rights).await
    }

    async fn start_with_rights(settings: &[&str], rights: &[&str]) -> anyhow::Result<Self> {
        let mut world = Self::prepare(settings)?;
        let engine = std::fs::metadata("/var/run/docker.sock").context("the engine's socket")?;
        let group = std::os::unix::fs::MetadataExt::gid(&engine);
        world.launcher = vec![
            "setpriv".to_owned(),
            format!("--reuid={UNPRIVILEGED}"),
            format!("--regid={UNPRIVILEGED}"),
            format!("--groups={group}"),
        ];
        let rights = rights.iter().map(|right| (*right).to_owned());
        world.launcher.extend(rights);
        nix::unistd::chown(
            world.folder.path(),
            Some(UNPRIVILEGED.into()),
            Some(UNPRIVILEGED.into()),
        )?;
        world.up().await?;
        Ok(world)
    }

    /// Makes a site's directories and reserves its ports, without starting it.
    ///
    /// # Errors
    /// If the machine refuses.
    pub fn prepare(settings: &[&str]) -> anyhow::Result<Self> {
        // Short, because sockets are below it.
        let folder = tempfile::Builder::new()
            .prefix("kt")
            .rand_bytes(6)
            .tempdir_in("/tmp")?;
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), permissions)?;
        let reserved = (0..4)
            .map(|_| reserve_port())
            .collect::<anyhow::Result<Vec<_>>>()?;
        let ports: Vec<u16> = reserved.iter().map(|(_, port)| *port).collect();
        // Tests run at the same time: a pool of its own for each, by chance of 1 in 65,536.
        let [high, low] = rand::random::<[u8; 2]>();
        Ok(Self {
            instance: format!("kt-{:08x}", rand::random::<u32>()),
            pool: Ipv4Addr::new(10, 128 | high >> 1, low, 0),
            port: ports[0],
            admin_ports: [ports[1], ports[2], ports[3]],
            reserved: reserved.into_iter().map(|(socket, _)| socket).collect(),
            settings: settings
                .iter()
                .map(|setting| (*setting).to_owned())
                .collect(),
            launcher: Vec::new(),
            process: None,
            output: Arc::default(),
            folder,
        })
    }

    /// Returns the arguments that name this site.
    pub fn arguments(&self) -> Vec<String> {
        let [gateway, orchestrator, web] = self.admin_ports;
        let own = [
            format!("server.data_dir={}", self.data_dir().display()),
            format!("gateway.listen=127.0.0.1:{}", self.port),
            "gateway.listen_http=127.0.0.1:0".to_owned(),
            "gateway.drain_timeout=2s".to_owned(),
            format!("orchestrator.instance={}", self.instance),
            format!("orchestrator.subnet_pool={}/24", self.pool),
            "orchestrator.egress=none".to_owned(),
            format!("orchestrator.reachable={}", self.git_addresses()),
            format!("telemetry.gateway_port={gateway}"),
            format!("telemetry.orchestrator_port={orchestrator}"),
            format!("telemetry.web_port={web}"),
        ];
        let image = format!("orchestrator.image={}", image());
        let all = own
            .into_iter()
            .chain([image])
            .chain(self.settings.iter().cloned());
        all.flat_map(|setting| ["--set".to_owned(), setting])
            .collect()
    }

    /// Returns this host's addresses on the networks of the pool, from which a
    /// [`GitServer`](crate::GitServer) serves.
    fn git_addresses(&self) -> String {
        let addresses = crate::git::addresses(self.pool).map(|address| format!("\"{address}\""));
        format!("[{}]", addresses.collect::<Vec<_>>().join(", "))
    }

    /// Runs `kalpana up` and waits until it says that it is ready.
    ///
    /// # Errors
    /// If it ends or is not ready in time, with its log.
    pub async fn up(&mut self) -> anyhow::Result<()> {
        self.output.lock().expect("no holder panics").clear();
        let command = self
            .launcher
            .iter()
            .cloned()
            .chain([executable()?.display().to_string()]);
        let command: Vec<String> = command.collect();
        let mut process = Command::new(&command[0])
            .args(&command[1..])
            .arg("up")
            .args(self.arguments())
            .env_clear()
            .envs(std::env::var("PATH").map(|path| ("PATH", path)))
            .env("HOME", self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().context("piped")?;
        let stderr = process.stderr.take().context("piped")?;
        tokio::spawn(collect(stdout, Arc::clone(&self.output)));
        tokio::spawn(collect(stderr, Arc::clone(&self.output)));
        let ready = until("kalpana up", START_LIMIT, async || {
            let is_ready = self.output().contains("Ctrl-C stops it");
            let ended = process.try_wait()?.is_some();
            if ended && !is_ready {
                bail!("it ended");
            }
            Ok(is_ready.then_some(()))
        });
        if let Err(error) = ready.await {
            bail!("{error}; its output:\n{}", self.output());
        }
        self.process = Some(process);
        Ok(())
    }

    /// Runs `kalpana up` where it is expected to refuse; returns its exit code and output.
    ///
    /// # Errors
    /// If it does not end within the time of a start.
    pub async fn up_refused(&self) -> anyhow::Result<(i32, String)> {
        let output = Command::new(executable()?)
            .arg("up")
            .args(self.arguments())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(START_LIMIT, output)
            .await
            .context("it runs")??;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok((output.status.code().unwrap_or(-1), text))
    }

    /// Runs another command of the executable, with `stdin`; returns its exit code and output.
    ///
    /// # Errors
    /// If it cannot be run.
    pub async fn kalpana(
        &self,
        arguments: &[&str],
        variables: &[(&str, &str)],
        stdin: &str,
    ) -> anyhow::Result<Ran> {
        let mut child = Command::new(executable()?)
            .args(arguments)
            .env_clear()
            .envs(std::env::var("PATH").map(|path| ("PATH", path)))
            .env("HOME", self.folder.path())
            .env("KALPANA_URL", self.base_url())
            .env("KALPANA_CA_FILE", self.authority())
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut pipe = child.stdin.take().context("piped")?;
        tokio::io::AsyncWriteExt::write_all(&mut pipe, stdin.as_bytes()).await?;
        drop(pipe);
        let output = tokio::time::timeout(Duration::from_secs(120), child.wait_with_output())
            .await
            .with_context(|| format!("kalpana {arguments:?} does not end"))??;
        Ok(Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Returns all that the site printed since it was last started.
    pub fn output(&self) -> String {
        self.output.lock().expect("no holder panics").clone()
    }

    /// Returns the one-time secret of the setup link that was printed.
    ///
    /// # Errors
    /// If none was.
    pub fn setup_token(&self) -> anyhow::Result<String> {
        let output = self.output();
        let (_, rest) = output
            .split_once("/setup#token=")
            .context("a setup link is printed")?;
        Ok(rest
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned())
    }

    /// Makes the first administrator and returns their browser, signed in.
    ///
    /// # Errors
    /// If the site refuses.
    pub async fn administrator(&self) -> anyhow::Result<Browser> {
        let browser = self.browser()?;
        let body = serde_json::json!({
            "token": self.setup_token()?,
            "email": "ada@example.com",
            "name": "Ada",
            "password": "correct horse battery staple",
        });
        let answer = browser.post("/api/setup", &body).await?;
        anyhow::ensure!(
            answer.status == 201,
            "setup: {} {}",
            answer.status,
            answer.body
        );
        Ok(browser)
    }

    /// Makes a member with the console command and returns their browser, signed in.
    ///
    /// # Errors
    /// If the site refuses.
    pub async fn member(&self, name: &str) -> anyhow::Result<Browser> {
        let email = format!("{name}@example.com");
        let arguments = [
            "admin",
            "create-user",
            "--password-stdin",
            "--email",
            &email,
            "--name",
            name,
        ];
        let own = self.arguments();
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        let password = format!("a long enough password of {name}");
        let ran = self
            .kalpana(&[&arguments[..], &own].concat(), &[], &password)
            .await?;
        anyhow::ensure!(ran.code == 0, "create-user: {}", ran.stderr);
        let browser = self.browser()?;
        let body = serde_json::json!({ "email": email, "password": password });
        let answer = browser.post("/api/session", &body).await?;
        anyhow::ensure!(
            answer.status == 201,
            "sign-in: {} {}",
            answer.status,
            answer.body
        );
        Ok(browser)
    }

    /// Returns a browser that nobody has used yet.
    ///
    /// # Errors
    /// If the local authority's certificate cannot be read.
    pub fn browser(&self) -> anyhow::Result<Browser> {
        Browser::new(self.port, &std::fs::read(self.authority())?)
    }

    /// Returns the control plane's origin.
    pub fn base_url(&self) -> String {
        format!("https://kalpana.localhost:{}", self.port)
    }

    /// Returns the local authority's certificate.
    pub fn authority(&self) -> PathBuf {
        self.data_dir().join("public/authority.crt")
    }

    /// Returns the data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("d")
    }

    /// Returns a folder that goes with the world.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the process id of a role, as a child of the supervisor.
    ///
    /// # Errors
    /// If the site or the role does not run.
    pub fn pid_of(&self, role: &str) -> anyhow::Result<i32> {
        let supervisor = self
            .process
            .as_ref()
            .and_then(Child::id)
            .context("the site runs")?;
        let children =
            std::fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children"))?;
        for pid in children.split_whitespace() {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut arguments = command.split(|byte| *byte == 0);
            if arguments.nth(1) == Some(role.as_bytes()) {
                return Ok(pid.parse()?);
            }
        }
        bail!("{role} does not run")
    }

    /// Returns the process ids of all gateways, those that drain included, the oldest first.
    ///
    /// # Errors
    /// If the site does not run.
    pub fn gateways(&self) -> anyhow::Result<Vec<i32>> {
        let supervisor = self.process.as_ref().and_then(Child::id);
        let supervisor = supervisor.context("the site runs")?;
        let path = format!("/proc/{supervisor}/task/{supervisor}/children");
        let children = std::fs::read_to_string(path)?;
        let is_gateway = |pid: &&str| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            command.split(|byte| *byte == 0).nth(1) == Some(b"gateway")
        };
        let pids = children.split_whitespace().filter(is_gateway);
        Ok(pids.map(str::parse).collect::<Result<_, _>>()?)
    }

    /// Runs `kalpana gateway --upgrade` for this site.
    ///
    /// # Errors
    /// If it cannot be run.
    pub async fn upgrade_gateway(&self) -> anyhow::Result<Ran> {
        let own = self.arguments();
        let mut arguments = vec!["gateway", "--upgrade"];
        arguments.extend(own.iter().map(String::as_str));
        self.kalpana(&arguments, &[], "").await
    }

    /// Kills a role and waits until its successor is ready.
    ///
    /// # Errors
    /// If it does not come back.
    pub async fn kill_role(&self, role: &str) -> anyhow::Result<()> {
        let before = self.pid_of(role)?;
        let ready_before = self.output().matches(&format!("{role} is back")).count();
        kill(Pid::from_raw(before), Signal::SIGKILL)?;
        until(&format!("{role} to be back"), START_LIMIT, async || {
            let ready = self.output().matches(&format!("{role} is back")).count();
            Ok((ready > ready_before).then_some(()))
        })
        .await
    }

    /// Kills the supervisor, as the kernel would when memory is short.
    ///
    /// # Errors
    /// If the site does not run.
    pub async fn kill_supervisor(&mut self) -> anyhow::Result<()> {
        let mut process = self.process.take().context("the site runs")?;
        process.start_kill()?;
        process.wait().await?;
        Ok(())
    }

    /// Asks the site to stop and returns its exit code.
    ///
    /// # Errors
    /// If it does not stop.
    pub async fn stop(&mut self) -> anyhow::Result<i32> {
        let mut process = self.process.take().context("the site runs")?;
        let pid = i32::try_from(process.id().context("it lives")?)?;
        kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        let status = tokio::time::timeout(START_LIMIT, process.wait())
            .await
            .context("it stops")??;
        Ok(status.code().unwrap_or(-1))
    }

    /// Stops the site and removes all that it left on the engine.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub async fn tear_down(mut self) -> anyhow::Result<()> {
        if self.process.is_some() {
            self.stop().await?;
        }
        docker::clean_up(&self.instance).await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.reserved.clear();
        if let Some(process) = &mut self.process {
            // The roles die with their supervisor.
            let _ = process.start_kill();
            let output = self
                .output
                .lock()
                .map(|output| output.clone())
                .unwrap_or_default();
            let _ = writeln!(std::io::stderr(), "the site's output:\n{output}");
        }
        // Left over only when a test failed; a blocking call is fine there.
        let script = format!(
            "f=label=kalpana.instance={}; \
             docker ps -aq --filter $f | xargs -r docker rm -f; \
             docker network ls -q --filter $f | xargs -r docker network rm; \
             docker volume ls -q --filter $f | xargs -r docker volume rm -f",
            self.instance
        );
        let _ = std::process::Command::new("sh")
            .args(["-c", &script])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// Returns the workspace image that is tested: `KALPANA_IMAGE`, else the one built last.
pub fn image() -> String {
    std::env::var("KALPANA_IMAGE").unwrap_or_else(|_| "kalpana/workspace:dev".to_owned())
}

/// What a command of the executable did.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it answered.
    pub stdout: String,
    /// What it told beside the answer.
    pub stderr: String,
}

impl Ran {
    /// Reads the answer as JSON.
    ///
    /// # Errors
    /// If the command failed or its answer is something else.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        anyhow::ensure!(self.code == 0, "exit code {}: {}", self.code, self.stderr);
        serde_json::from_str(&self.stdout).with_context(|| self.stdout.clone())
    }
}

/// Finds the executable: `KALPANA_BINARY`, else the one built beside the tests.
///
/// # Errors
/// If it is not built.
pub fn executable() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("KALPANA_BINARY") {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let folder = test
        .parent()
        .and_then(Path::parent)
        .context("the test is in target/…/deps")?;
    let executable = folder.join("kalpana");
    anyhow::ensure!(
        executable.exists(),
        "{} is not built; `make test` builds it, or `cargo build -p kalpana`",
        executable.display()
    );
    Ok(executable)
}

async fn collect(output: impl AsyncRead + Unpin, into: Arc<Mutex<String>>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut text = into.lock().expect("no holder panics");
        text.push_str(&line);
        text.push('\n');
    }
}
