//! The proxies that ours is compared with, and how each is configured.
//!
//! All serve the same certificate, send to the same upstream program, keep connections to it, log
//! no requests and have one thread. Each judges requests as well as it can: by itself where it
//! knows how, else by asking [`super::auth`], whose time then counts as its own. What is not alike
//! is said in its configuration, in `peers/`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::ValueEnum;

use super::certificate::Certificate;
use super::child::{Child, PROXY_CPU, free_address};
use super::fairness::Judgement;
use super::target::{Target, Visitor};
use super::{fixture, token};

/// Names the folder that `scripts/bench-peers` installs to.
pub(crate) const FOLDER_VARIABLE: &str = "KALPANA_BENCH_PEERS";

/// haproxy's table of routes, in its folder, and the socket by which it is changed.
pub(crate) const HAPROXY_MAP: &str = "haproxy.map";
/// The same.
pub(crate) const HAPROXY_SOCKET: &str = "haproxy.sock";

/// A proxy to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// haproxy, which judges by itself.
    Haproxy,
    /// nginx, with `auth_request`.
    Nginx,
    /// Envoy, which checks signature and expiry by itself.
    Envoy,
    /// Caddy, with `forward_auth`.
    Caddy,
    /// Traefik, with `forwardAuth`.
    Traefik,
    /// JupyterHub's configurable-http-proxy, which judges nothing.
    Chp,
}

/// What a peer is set up with.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    /// Where configuration and logs go.
    pub(crate) folder: &'a Path,
    /// What it serves.
    pub(crate) certificate: &'a Certificate,
    /// Where requests go.
    pub(crate) upstream: SocketAddr,
    /// How many workspaces have visitors.
    pub(crate) count: usize,
    /// How many workspaces it has a route to.
    pub(crate) routes: usize,
    /// Until when sessions are good. Unit: seconds since 1970.
    pub(crate) expires: i64,
}

impl Peer {
    /// Returns its name in the results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
            Self::Caddy => "caddy",
            Self::Traefik => "traefik",
            Self::Chp => "chp",
        }
    }

    /// Starts it, with the service that it asks, and waits until it listens.
    pub(crate) async fn start(self, around: &Surroundings<'_>) -> anyhow::Result<Target> {
        let address = free_address()?;
        let auth = free_address()?;
        let visitors = (0..around.count).map(|number| {
            let token = token::sign(&fixture::subject(number), around.expires);
            Visitor::new(number, address, |_| format!("{}={token}", token::COOKIE))
        });
        let visitors = visitors.collect::<anyhow::Result<_>>()?;
        let mut children = Vec::new();
        if matches!(self, Self::Nginx | Self::Caddy | Self::Traefik) {
            let program = std::env::current_exe()?.display().to_string();
            let command = [program, "auth".into(), format!("--listen={auth}")];
            let name = format!("{}-auth", self.name());
            let mut child = Child::start(&name, PROXY_CPU, around.folder, &command, &[])?;
            child.until_listening(auth).await?;
            children.push(child);
        }
        let values = values(around, address, auth);
        let mut proxy = self.launch(around, &values)?;
        proxy.until_listening(address).await?;
        children.insert(0, proxy);
        Ok(Target {
            name: self.name(),
            address,
            visitors,
            judgement: self.judgement(),
            children,
        })
    }

    fn judgement(self) -> Judgement {
        match self {
            Self::Envoy => Judgement::Signature,
            Self::Chp => Judgement::Nothing,
            Self::Haproxy | Self::Nginx | Self::Caddy | Self::Traefik => Judgement::Whole,
        }
    }

    fn launch(
        self,
        around: &Surroundings<'_>,
        values: &BTreeMap<&str, String>,
    ) -> anyhow::Result<Child> {
        let write = |name: &str, template: &str| -> anyhow::Result<String> {
            let path = around.folder.join(name);
            std::fs::write(&path, fill(template, values)?)?;
            Ok(path.display().to_string())
        };
        // Go and Node look at how many processors there are, not at how many they may use.
        let single = [("GOMAXPROCS", "1")];
        let command: Vec<String> = match self {
            Self::Haproxy => {
                std::fs::write(around.folder.join(HAPROXY_MAP), map(around.routes))?;
                let config = write("haproxy.cfg", include_str!("peers/haproxy.cfg"))?;
                vec!["-db".into(), "-f".into(), config]
            }
            Self::Nginx => {
                let config = write("nginx.conf", include_str!("peers/nginx.conf"))?;
                let prefix = around.folder.display().to_string();
                let log = format!("{prefix}/nginx-error.log");
                let flags = ["-p", &prefix, "-e", &log, "-c", &config];
                flags.map(ToOwned::to_owned).to_vec()
            }
            Self::Envoy => {
                let config = write("envoy.yaml", include_str!("peers/envoy.yaml"))?;
                let flags = ["--concurrency", "1", "--log-level", "error"];
                let more = ["--disable-hot-restart", "-c", &config];
                flags.into_iter().chain(more).map(Into::into).collect()
            }
            Self::Caddy => {
                let config = write("Caddyfile", include_str!("peers/Caddyfile"))?;
                let flags = ["run", "--adapter", "caddyfile", "--config", &config];
                flags.map(ToOwned::to_owned).to_vec()
            }
            Self::Traefik => {
                let dynamic = include_str!("peers/traefik-dynamic.yaml");
                write("traefik-dynamic.yaml", dynamic)?;
                let config = write("traefik.yaml", include_str!("peers/traefik.yaml"))?;
                vec![format!("--configFile={config}")]
            }
            Self::Chp => {
                let api = free_address()?.port();
                format!(
                    "--ip 127.0.0.1 --port {} --api-ip 127.0.0.1 --api-port {api} \
                     --ssl-cert {} --ssl-key {} --default-target http://{} --log-level error",
                    values["port"], values["chain"], values["key"], values["upstream"]
                )
                .split_ascii_whitespace()
                .map(ToOwned::to_owned)
                .collect()
            }
        };
        let program = self.program()?.display().to_string();
        let command: Vec<String> = std::iter::once(program).chain(command).collect();
        Child::start(self.name(), PROXY_CPU, around.folder, &command, &single)
    }

    fn program(self) -> anyhow::Result<PathBuf> {
        let folder = std::env::var_os(FOLDER_VARIABLE);
        let folder = folder.with_context(|| {
            format!("{FOLDER_VARIABLE} is not set\nhint: `make bench-gateway` sets it")
        })?;
        let file = match self {
            Self::Chp => "configurable-http-proxy",
            peer => peer.name(),
        };
        Ok(PathBuf::from(folder).join("proxies").join(file))
    }
}

/// Returns haproxy's map: the subject that sessions of each workspace must have.
fn map(count: usize) -> String {
    let lines = (0..count).map(|number| {
        let workspace = fixture::workspace(number);
        format!("{workspace} {}\n", fixture::subject(number))
    });
    lines.collect()
}

/// Returns what templates may name.
fn values(
    around: &Surroundings<'_>,
    listen: SocketAddr,
    auth: SocketAddr,
) -> BTreeMap<&'static str, String> {
    let path = |path: &Path| path.display().to_string();
    BTreeMap::from([
        ("folder", path(around.folder)),
        ("listen", listen.to_string()),
        ("port", listen.port().to_string()),
        ("upstream", around.upstream.to_string()),
        ("upstream_port", around.upstream.port().to_string()),
        ("auth", auth.to_string()),
        ("domain", fixture::DOMAIN.to_owned()),
        ("chain", path(&around.certificate.chain)),
        ("key", path(&around.certificate.key)),
        ("both", path(&around.certificate.both)),
        ("cookie", token::COOKIE.to_owned()),
        ("issuer", token::ISSUER.to_owned()),
        ("secret", token::SECRET.to_owned()),
        ("secret_base64", URL_SAFE_NO_PAD.encode(token::SECRET)),
    ])
}

/// Fills in a template: `{name}` is a value, `{{` and `}}` are braces.
fn fill(template: &str, values: &BTreeMap<&str, String>) -> anyhow::Result<String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        filled.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            filled.push_str(brace);
            rest = after;
        } else {
            let (name, after) = rest.split_once('}').context("a brace is not closed")?;
            filled.push_str(values.get(name).with_context(|| format!("no {name}"))?);
            rest = after;
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_in_and_braces_kept() {
        let values = BTreeMap::from([("port", "80".to_owned())]);
        let filled = fill("a {{ b: {port}, c: {{}} }}", &values).unwrap();
        assert_eq!(filled, "a { b: 80, c: {} }");
        assert!(fill("{other}", &values).is_err());
        assert!(fill("{port", &values).is_err());
    }

    #[test]
    fn every_template_names_only_what_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = Certificate::make(folder.path()).unwrap();
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let around = Surroundings {
            folder: folder.path(),
            certificate: &certificate,
            upstream: address,
            count: 1,
            routes: 1,
            expires: 0,
        };
        let values = values(&around, address, address);
        for template in [
            include_str!("peers/haproxy.cfg"),
            include_str!("peers/nginx.conf"),
            include_str!("peers/Caddyfile"),
            include_str!("peers/traefik.yaml"),
            include_str!("peers/traefik-dynamic.yaml"),
            include_str!("peers/envoy.yaml"),
        ] {
            fill(template, &values).unwrap();
        }
    }

    #[test]
    fn the_map_gives_each_workspace_its_subject() {
        let expected = "w00000000000 w00000000000 00000000-0000-0000-0000-000a00000000\n";
        assert_eq!(map(1), expected);
    }
}
