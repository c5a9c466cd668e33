//! The real `kalpana gateway`, with certificates from a real authority.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use kalpana_test_acme::{Bind, ChallengeServer, Pebble, PebbleOptions, reserve_port};
use kalpana_tests::until;
use kalpana_tests::world::{UNPRIVILEGED, executable};
use nix::unistd::{chown, geteuid};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::site::Machine;

/// The site's domain, whose records BIND has.
pub(crate) const DOMAIN: &str = Bind::ZONE;

/// A host of a workspace.
pub(crate) const WORKSPACE_HOST: &str = "abcdefghij01.example.test";

/// How long an order may take on a busy machine.
const ORDER_LIMIT: Duration = Duration::from_secs(90);

/// How long the authority's certificates are good, as Let's Encrypt's are. Unit: seconds.
const VALIDITY: u64 = 90 * 86_400;

/// How the site proves that its names are its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    Http01,
    TlsAlpn01,
    /// By dynamic updates, so that there is a wildcard.
    Dns01,
}

impl Proof {
    /// Returns what `certs.acme.challenge` calls it.
    fn setting(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }
}

/// How a gateway is started, beside its proof.
#[derive(Debug)]
pub(crate) struct Options {
    /// Key id and HMAC key (base64url) of the account that the authority asks for.
    pub(crate) eab: Option<(&'static str, &'static str)>,
    /// What is logged.
    pub(crate) log: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            eab: None,
            log: "info",
        }
    }
}

/// A running gateway whose certificate is there. It ends with the test.
pub(crate) struct Gateway {
    pub(crate) machine: Machine,
    pub(crate) pebble: Pebble,
    /// Where it listens for TLS.
    pub(crate) port: u16,
    /// The PEM file with the one root that issued certificates lead to.
    pub(crate) root_file: String,
    names: Names,
    process: Child,
    _reserved: [socket2::Socket; 2],
}

/// Who is asked for names.
pub(crate) enum Names {
    Any(ChallengeServer),
    Zone(Bind),
}

impl Gateway {
    /// Starts one.
    pub(crate) async fn start(proof: Proof) -> anyhow::Result<Self> {
        Self::with(proof, Options::default()).await
    }

    /// Starts one with further settings.
    pub(crate) async fn with(proof: Proof, options: Options) -> anyhow::Result<Self> {
        // The authority must know beforehand where names are proven.
        let (tls, port) = reserve_port()?;
        let (plain, plain_port) = reserve_port()?;
        let account = |(id, key): (&str, &str)| (id.to_owned(), key.to_owned());
        let authority = PebbleOptions {
            http_port: plain_port,
            tls_port: port,
            eab: options.eab.map(account),
            validity: Some(VALIDITY),
            ..PebbleOptions::default()
        };
        let names = match proof {
            Proof::Dns01 => Names::Zone(Bind::start().await?),
            _ => Names::Any(ChallengeServer::start().await?),
        };
        let asked = match &names {
            Names::Any(server) => server.address(),
            Names::Zone(bind) => bind.server(),
        };
        let pebble = Pebble::start_asking(asked, authority).await?;
        let machine = Machine::new()?;
        let ports = (port, plain_port);
        let settings = settings(&machine, proof, ports, &options, &names, &pebble)?;
        let settings = machine.file("kalpana.toml", &settings)?;
        let root_file = machine.file("root.pem", &pebble.issuing_root(0).await?)?;
        let process = run(&machine, "gateway", &settings)?;
        let mut gateway = Self {
            machine,
            pebble,
            port,
            root_file,
            names,
            process,
            _reserved: [tls, plain],
        };
        gateway.until_issued().await?;
        Ok(gateway)
    }

    /// Waits until the site's certificate is there.
    async fn until_issued(&mut self) -> anyhow::Result<()> {
        let (machine, process) = (&self.machine, &mut self.process);
        let issued = until("a certificate", ORDER_LIMIT, async || {
            if let Some(status) = process.try_wait()? {
                bail!("the gateway ended with {status}");
            }
            let listed = machine.certs(&["list", "--format", "json"]).await?;
            let is_good = listed.code == 0 && listed.json()["certificates"][0]["state"] == "good";
            Ok(is_good.then_some(()))
        });
        let issued = issued.await;
        issued.with_context(|| format!("its log:\n{}\n{}", self.log(), self.pebble.log()))
    }

    /// Returns what the command line shows of a certificate, as JSON.
    pub(crate) async fn shown(&self, id: &str) -> anyhow::Result<Value> {
        let ran = self
            .machine
            .certs(&["show", id, "--format", "json"])
            .await?;
        ensure!(ran.code == 0, "{ran:?}");
        Ok(ran.json())
    }

    /// Returns the address of a page.
    pub(crate) fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/", self.port)
    }

    /// Returns all that it has printed.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.machine.path("log")).unwrap_or_default()
    }

    /// Returns the directory with its account, its orders and its certificates.
    pub(crate) fn vault(&self) -> PathBuf {
        self.machine.path("d/gateway/tls/acme")
    }

    /// Returns the file with the key for updates, where names are proven by DNS.
    pub(crate) fn update_key(&self) -> Option<PathBuf> {
        match &self.names {
            Names::Any(_) => None,
            Names::Zone(bind) => Some(bind.key_file()),
        }
    }
}

/// Writes all files that a configuration names, and returns the configuration.
pub(crate) fn settings(
    machine: &Machine,
    proof: Proof,
    (port, plain_port): (u16, u16),
    options: &Options,
    names: &Names,
    pebble: &Pebble,
) -> anyhow::Result<String> {
    let root = std::fs::read_to_string(pebble.root_file())?;
    let root_file = machine.file("authority.pem", &root)?;
    let mut text = format!(
        r#"
[server]
domain = "{DOMAIN}"
data_dir = "{data_dir}"

[gateway]
listen = "127.0.0.1:{port}"
listen_http = "127.0.0.1:{plain_port}"

[telemetry]
gateway_port = 0
web_port = 0
log = "{log}"
log_format = "json"

[certs]
source = "acme"

[certs.acme]
directory = "{directory}"
root_file = "{root_file}"
agree_to_terms = true
email = "ops@{DOMAIN}"
challenge = "{challenge}"
"#,
        data_dir = machine.path("d").display(),
        log = options.log,
        directory = pebble.directory_url(),
        challenge = proof.setting(),
    );
    if let Some((id, key)) = options.eab {
        let file = secret(machine, "eab", key)?;
        text += &format!("eab_key_id = \"{id}\"\neab_hmac_key_file = \"{file}\"\n");
    }
    if let Names::Zone(bind) = names {
        let file = secret(machine, "tsig", &std::fs::read_to_string(bind.key_file())?)?;
        text += &format!(
            r#"
[certs.acme.dns]
resolvers = ["{server}"]

[certs.acme.dns.rfc2136]
server = "{server}"
key_name = "{name}"
key_file = "{file}"
"#,
            server = bind.server(),
            name = Bind::KEY_NAME,
        );
    }
    Ok(text)
}

/// Writes a file that only the gateway may read, and returns its path.
fn secret(machine: &Machine, name: &str, contents: &str) -> anyhow::Result<String> {
    let path = machine.file(name, contents)?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
    give(Path::new(&path))?;
    Ok(path)
}

/// Makes a file the gateway's own, where that runs as somebody else.
pub(crate) fn give(path: &Path) -> anyhow::Result<()> {
    if geteuid().is_root() {
        chown(path, Some(UNPRIVILEGED.into()), Some(UNPRIVILEGED.into()))?;
    }
    Ok(())
}

/// Starts a role, as a user with no rights at all.
pub(crate) fn run(machine: &Machine, role: &str, settings: &str) -> anyhow::Result<Child> {
    for folder in ["", "d", "d/public", "d/run"] {
        give(&machine.path(folder))?;
    }
    let mut command = Command::new("setpriv");
    if geteuid().is_root() {
        let own = [
            format!("--reuid={UNPRIVILEGED}"),
            format!("--regid={UNPRIVILEGED}"),
        ];
        command.args(own).arg("--clear-groups");
    }
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(machine.path("log"))?;
    // The kernel ends it with the thread that started it, so that no test leaves one behind.
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(executable()?)
        .args([role, "--config", settings])
        .env_clear()
        .envs(std::env::var("PATH").map(|path| ("PATH", path)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("the {role} cannot be started"))
}
