//! BIND, as a name server that takes dynamic updates.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::process::{Process, free_port};

/// Where Debian puts its programs; not every shell has these on its path.
const NAMED: &str = "/usr/sbin/named";
const TSIG_KEYGEN: &str = "/usr/sbin/tsig-keygen";

/// How long loading two small zones may take on a busy machine.
const LOAD_LIMIT: Duration = Duration::from_secs(60);

/// The name server of two zones, [`Bind::ZONE`] and below it [`Bind::DELEGATED`]. Whoever has its
/// key may change TXT records of both, and nothing else.
#[derive(Debug)]
pub struct Bind {
    process: Option<Process>,
    server: SocketAddr,
    folder: tempfile::TempDir,
}

impl Bind {
    /// The zone.
    pub const ZONE: &str = "example.test";
    /// A zone below it, where names of the other may lead by CNAME.
    pub const DELEGATED: &str = "_acme.example.test";
    /// The name of the key for updates.
    pub const KEY_NAME: &str = "kalpana-test";
    /// The name of a key that it knows and that may change nothing.
    pub const STRANGER: &str = "stranger";
    /// The name of the test's own key, which may change everything.
    const OWN_KEY: &str = "owner";

    /// Starts one. Another one is as a secondary of it that lags behind: it has the same zones and
    /// hears of no change.
    ///
    /// # Errors
    /// If it is not installed or does not start, with its log.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("kbind").tempdir()?;
        let path = folder.path();
        for (key, file) in [
            (Self::KEY_NAME, "update.key"),
            (Self::STRANGER, "stranger.key"),
            (Self::OWN_KEY, "owner.key"),
        ] {
            write_key(&path.join(file), key).await?;
        }
        for zone in [Self::ZONE, Self::DELEGATED] {
            std::fs::write(path.join(zone), records(zone))?;
        }
        let server = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        std::fs::write(path.join("named.conf"), configuration(path, server))?;
        let mut bind = Self {
            process: None,
            server,
            folder,
        };
        bind.start_again().await?;
        Ok(bind)
    }

    /// Starts it after [`Bind::end`] at its port, with the records that it had.
    ///
    /// # Errors
    /// As [`Bind::start`].
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        let said_before = self.log().len();
        let folder = self.folder.path();
        // -g keeps it in the foreground with its log on stderr.
        let arguments = ["-g", "-n", "1", "-c"].map(ToOwned::to_owned);
        let config = folder.join("named.conf").display().to_string();
        let arguments = [&arguments[..], &[config]].concat();
        let (ports, log) = ([self.server.port()], folder.join("log"));
        self.process = Some(Process::start(NAMED, &arguments, &[], &ports, &log).await?);
        // It takes connections before, and refuses every question.
        let deadline = Instant::now() + LOAD_LIMIT;
        while !self.log()[said_before..].contains("all zones loaded") {
            if Instant::now() > deadline {
                bail!("{NAMED} does not load its zones:\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // It goes on without a port that another program was faster to take.
        let said = &self.log()[said_before..];
        anyhow::ensure!(!said.contains("address in use"), "a port is taken:\n{said}");
        Ok(())
    }

    /// Returns where it answers, by UDP and by TCP.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// Returns the file with the key for updates, as `tsig-keygen` prints it: hmac-sha256, mode
    /// 0600.
    pub fn key_file(&self) -> PathBuf {
        self.folder.path().join("update.key")
    }

    /// Returns the file with the key that may change nothing.
    pub fn stranger_key_file(&self) -> PathBuf {
        self.folder.path().join("stranger.key")
    }

    /// Returns the TXT records that it has of a name, sorted. It follows no CNAME.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn txt(&self, name: &str) -> anyhow::Result<Vec<String>> {
        let output = Command::new("dig")
            .arg(format!("@{}", self.server.ip()))
            .args(["-p", &self.server.port().to_string()])
            .args(["+noall", "+answer", "+norecurse", "+time=10", "+tries=1"])
            .args(["-t", "TXT", "-q", &format!("{name}.")])
            .output()
            .await
            .context("dig; `scripts/packages test` installs it")?;
        let text = String::from_utf8(output.stdout)?;
        anyhow::ensure!(output.status.success(), "dig {name}: {text}");
        let mut values: Vec<String> = text
            .lines()
            .filter(|line| line.split_whitespace().nth(3) == Some("TXT"))
            .filter_map(|line| line.split('"').nth(1))
            .map(ToOwned::to_owned)
            .collect();
        values.sort();
        Ok(values)
    }

    /// Adds a record, written as in a zone's file: `www.example.test. 60 A 127.0.0.1`.
    ///
    /// # Errors
    /// If it refuses.
    pub async fn add(&self, record: &str) -> anyhow::Result<()> {
        let script = format!(
            "server {} {}\nupdate add {record}\nsend\n",
            self.server.ip(),
            self.server.port()
        );
        let mut nsupdate = Command::new("nsupdate")
            .arg("-k")
            .arg(self.folder.path().join("owner.key"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("nsupdate; `scripts/packages test` installs it")?;
        let mut stdin = nsupdate.stdin.take().context("piped")?;
        stdin.write_all(script.as_bytes()).await?;
        drop(stdin);
        let output = nsupdate.wait_with_output().await?;
        anyhow::ensure!(
            output.status.success(),
            "nsupdate of {record}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Ends it without a warning.
    pub async fn end(&mut self) {
        if let Some(process) = self.process.take() {
            process.end().await;
        }
    }

    /// Stops it from answering; connections are taken still.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Ends [`Bind::pause`].
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    /// Returns what it has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

async fn write_key(path: &Path, name: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let output = Command::new(TSIG_KEYGEN)
        .args(["-a", "hmac-sha256", name])
        .output()
        .await
        .context("tsig-keygen; `scripts/packages test` installs it")?;
    anyhow::ensure!(output.status.success(), "tsig-keygen failed");
    let mut file = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    Ok(std::io::Write::write_all(&mut file, &output.stdout)?)
}

fn configuration(folder: &Path, server: SocketAddr) -> String {
    let folder = folder.display();
    let mut text = format!(
        r#"
options {{
    directory "{folder}";
    pid-file "{folder}/named.pid";
    session-keyfile "{folder}/session.key";
    lock-file none;
    listen-on port {port} {{ {address}; }};
    listen-on-v6 {{ none; }};
    recursion no;
    notify no;
    dnssec-validation no;
}};
controls {{ }};
include "{folder}/update.key";
include "{folder}/stranger.key";
include "{folder}/owner.key";
"#,
        port = server.port(),
        address = server.ip(),
    );
    for zone in [Bind::ZONE, Bind::DELEGATED] {
        text += &format!(
            r#"
zone "{zone}" {{
    type primary;
    file "{zone}";
    update-policy {{ grant {key} zonesub TXT; grant {own} zonesub ANY; }};
}};
"#,
            key = Bind::KEY_NAME,
            own = Bind::OWN_KEY,
        );
    }
    text
}

/// Returns the records of a zone in the beginning.
fn records(zone: &str) -> String {
    let mut text = format!(
        "$ORIGIN {zone}.\n\
         $TTL 1\n\
         @ SOA ns1.{main}. hostmaster.{main}. 1 60 10 3600 1\n\
         @ NS ns1.{main}.\n",
        main = Bind::ZONE,
    );
    if zone == Bind::ZONE {
        text += "ns1 A 127.0.0.1\n";
        text += &format!("{}. NS ns1\n", Bind::DELEGATED);
    }
    text
}
