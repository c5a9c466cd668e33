//! A machine for one test: a data directory, a home, authorities, and servers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_tests::world::executable;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;

/// How long a command may take on a busy machine.
const RUN_LIMIT: Duration = Duration::from_secs(60);

/// A made-up workspace, as `certs check` makes it up.
pub(crate) const WORKSPACE: &str = "a00000000000.kalpana.localhost";

/// What a command said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A machine with nothing running on it.
pub(crate) struct Machine {
    pub(crate) folder: tempfile::TempDir,
}

impl Machine {
    pub(crate) fn new() -> anyhow::Result<Self> {
        // Short, because sockets are below it.
        let folder = tempfile::Builder::new().prefix("kc").tempdir_in("/tmp")?;
        std::fs::create_dir_all(folder.path().join("d/public"))?;
        std::fs::create_dir_all(folder.path().join("d/run"))?;
        std::fs::create_dir_all(folder.path().join("h"))?;
        Ok(Self { folder })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path("h")
    }

    /// Writes a file and returns its path as text.
    pub(crate) fn file(&self, name: &str, contents: &str) -> anyhow::Result<String> {
        let path = self.path(name);
        std::fs::write(&path, contents)?;
        Ok(path.display().to_string())
    }

    /// Makes the site's local authority known, as the gateway does at its first start.
    pub(crate) fn publish(&self, authority: &Authority) -> anyhow::Result<()> {
        std::fs::write(self.path("d/public/authority.crt"), authority.pem())?;
        Ok(())
    }

    /// Runs `kalpana certs` with further variables, on this machine alone.
    pub(crate) async fn certs_with(
        &self,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Ran> {
        let output = Command::new(executable()?)
            .arg("certs")
            .args(arguments)
            .env_clear()
            .envs(std::env::var("PATH").map(|path| ("PATH", path)))
            .env("HOME", self.home())
            .env("KALPANA_SERVER__DATA_DIR", self.path("d"))
            // This machine trusts nobody, unless the test says so.
            .env("SSL_CERT_FILE", self.file("nobody.pem", "")?)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(RUN_LIMIT, output)
            .await
            .with_context(|| format!("kalpana certs {arguments:?} does not end"))??;
        Ok(Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    pub(crate) async fn certs(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        self.certs_with(arguments, &[]).await
    }
}

/// Somebody who signs.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(crate) struct Leaf {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) pem: String,
    pub(crate) key_pem: String,
    key: Vec<u8>,
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Authority {
    pub(crate) fn root(name: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        Ok(Self(CertifiedIssuer::self_signed(
            authority_params(name),
            key,
        )?))
    }

    pub(crate) fn intermediate(&self, name: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let signer: &Issuer<'_, KeyPair> = &self.0;
        Ok(Self(CertifiedIssuer::signed_by(
            authority_params(name),
            key,
            signer,
        )?))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// Signs for these names, from so many days on until so many days from now.
    pub(crate) fn sign(&self, names: &[&str], days: (i64, i64)) -> anyhow::Result<Leaf> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names)?;
        let day = |days: i64| std::time::Duration::from_secs(days.unsigned_abs() * 86_400);
        let now = rcgen_now();
        let at = |days: i64| {
            if days < 0 {
                now - day(days)
            } else {
                now + day(days)
            }
        };
        (params.not_before, params.not_after) = (at(days.0), at(days.1));
        let key = KeyPair::generate()?;
        let signer: &Issuer<'_, KeyPair> = &self.0;
        let certificate = params.signed_by(&key, signer)?;
        Ok(Leaf {
            certificate: certificate.der().clone(),
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            key: key.serialize_der(),
        })
    }
}

/// The time now, in the type that `rcgen` takes.
fn rcgen_now() -> time::OffsetDateTime {
    let now = SystemClock.now().as_second();
    time::OffsetDateTime::from_unix_timestamp(now).expect("a time")
}

/// Shows a chain on a port of this machine, and hangs up, until it is dropped.
pub(crate) async fn serve(
    leaf: &Leaf,
    others: &[CertificateDer<'static>],
) -> anyhow::Result<Server> {
    answer(leaf, others, None).await
}

/// Shows a certificate, and answers each request with `text`.
pub(crate) async fn serve_page(leaf: &Leaf, text: &'static str) -> anyhow::Result<Server> {
    answer(leaf, &[], Some(text)).await
}

async fn answer(
    leaf: &Leaf,
    others: &[CertificateDer<'static>],
    page: Option<&'static str>,
) -> anyhow::Result<Server> {
    let mut chain = vec![leaf.certificate.clone()];
    chain.extend_from_slice(others);
    let key = PrivateKeyDer::try_from(leaf.key.clone()).map_err(anyhow::Error::msg)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if page.is_none() {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let port = listener.local_addr()?.port();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                if let Some(text) = page {
                    let _ = stream.read(&mut [0; 4096]).await?;
                    let length = text.len();
                    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
                    let rest =
                        format!("Content-Length: {length}\r\nConnection: close\r\n\r\n{text}");
                    stream.write_all(format!("{head}{rest}").as_bytes()).await?;
                    stream.shutdown().await?;
                }
                std::io::Result::Ok(())
            });
        }
    });
    Ok(Server { port, task })
}

/// A server that shows a chain.
pub(crate) struct Server {
    pub(crate) port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Returns the setting by which the site is at this server.
    pub(crate) fn setting(&self) -> String {
        format!("server.public_port={}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Writes down the paths of files in a folder that are anything like a database of NSS.
pub(crate) fn is_database(folder: &Path) -> bool {
    folder.join("cert9.db").exists()
}
