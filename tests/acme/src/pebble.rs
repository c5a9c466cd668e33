//! An authority that speaks ACME: Let's Encrypt's own, made for tests.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::json;

use crate::ChallengeServer;
use crate::process::{Process, free_port};

/// How an authority is started.
#[derive(Debug, Clone)]
pub struct PebbleOptions {
    /// Where it looks for proofs of HTTP-01.
    pub http_port: u16,
    /// Where it looks for proofs of TLS-ALPN-01.
    pub tls_port: u16,
    /// How many of a hundred good nonces it refuses.
    pub nonce_reject: u8,
    /// Key id and HMAC key (base64url) of accounts that it asks for.
    pub eab: Option<(String, String)>,
    /// How many other chains it offers.
    pub alternate_roots: u8,
    /// How many intermediates it has.
    pub chain_length: u8,
    /// How long its certificates are good. Unit: seconds. Default: five years.
    pub validity: Option<u64>,
    /// How many of a hundred names that were proven are taken to be proven still.
    pub authz_reuse: u8,
    /// Whether it takes every proof unseen.
    pub always_valid: bool,
}

impl Default for PebbleOptions {
    fn default() -> Self {
        Self {
            http_port: 1,
            tls_port: 1,
            nonce_reject: 5,
            eab: None,
            alternate_roots: 0,
            chain_length: 1,
            validity: None,
            authz_reuse: 0,
            always_valid: false,
        }
    }
}

/// A `pebble` of a test's own.
#[derive(Debug)]
pub struct Pebble {
    folder: tempfile::TempDir,
    options: PebbleOptions,
    resolver: String,
    port: u16,
    management: u16,
    process: Option<Process>,
}

impl Pebble {
    /// Starts one that asks `dns` for names.
    ///
    /// # Errors
    /// If it is not installed or does not start, with its log.
    pub async fn start(dns: &ChallengeServer, options: PebbleOptions) -> anyhow::Result<Self> {
        Self::start_asking(dns.address(), options).await
    }

    /// Starts one that asks the name server at `resolver`.
    ///
    /// # Errors
    /// As [`Pebble::start`].
    pub async fn start_asking(
        resolver: SocketAddr,
        options: PebbleOptions,
    ) -> anyhow::Result<Self> {
        let mut pebble = Self {
            folder: tempfile::Builder::new().prefix("kpebble").tempdir()?,
            options,
            resolver: resolver.to_string(),
            port: free_port()?,
            management: free_port()?,
            process: None,
        };
        make_certificate(pebble.folder.path())?;
        pebble.start_again().await?;
        Ok(pebble)
    }

    /// Starts it after [`Pebble::end`], at the same ports. It remembers nothing: accounts, orders
    /// and its own keys are gone.
    ///
    /// # Errors
    /// As [`Pebble::start`].
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        let folder = self.folder.path();
        let options = &self.options;
        let mut config = json!({
            "listenAddress": format!("127.0.0.1:{}", self.port),
            "managementListenAddress": format!("127.0.0.1:{}", self.management),
            "certificate": folder.join("https.crt"),
            "privateKey": folder.join("https.key"),
            "httpPort": options.http_port,
            "tlsPort": options.tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": options.eab.is_some(),
        });
        if let Some(validity) = options.validity {
            config["certificateValidityPeriod"] = json!(validity);
        }
        if let Some((id, key)) = &options.eab {
            config["externalAccountMACKeys"] = json!({ id: key });
        }
        let path = folder.join("config.json");
        std::fs::write(&path, json!({ "pebble": config }).to_string())?;
        let environment = [
            ("PEBBLE_VA_NOSLEEP", "1".to_owned()),
            ("PEBBLE_WFE_NONCEREJECT", options.nonce_reject.to_string()),
            ("PEBBLE_AUTHZREUSE", options.authz_reuse.to_string()),
            (
                "PEBBLE_ALTERNATE_ROOTS",
                options.alternate_roots.to_string(),
            ),
            ("PEBBLE_CHAIN_LENGTH", options.chain_length.to_string()),
            (
                "PEBBLE_VA_ALWAYS_VALID",
                u8::from(options.always_valid).to_string(),
            ),
        ];
        let arguments = [
            format!("-config={}", path.display()),
            format!("-dnsserver={}", self.resolver),
        ];
        let log = folder.join("log");
        let ports = [self.port, self.management];
        let process = Process::start("pebble", &arguments, &environment, &ports, &log).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends it.
    pub async fn end(&mut self) {
        if let Some(process) = self.process.take() {
            process.end().await;
        }
    }

    /// Stops it from answering; connections are taken still.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Ends [`Pebble::pause`].
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    /// Returns the URL of its directory.
    pub fn directory_url(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// Returns the PEM file with the root that its https is trusted by.
    pub fn root_file(&self) -> PathBuf {
        self.folder.path().join("root.crt")
    }

    /// Returns the root, as PEM, that certificates of this run come from. There is one for each
    /// chain that is offered.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn issuing_root(&self, index: u8) -> anyhow::Result<String> {
        let root = std::fs::read(self.root_file())?;
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&root)?])
            .build()?;
        let url = format!("https://localhost:{}/roots/{index}", self.management);
        let answer = client.get(url).send().await?.error_for_status()?;
        Ok(answer.text().await?)
    }

    /// Returns what it has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Returns how many certificates it has issued, in all its runs.
    pub fn issued(&self) -> usize {
        self.log().matches("Issued certificate serial").count()
    }
}

/// Makes what its own https shows: a leaf, because a certificate that signs is refused as one.
fn make_certificate(folder: &Path) -> anyhow::Result<()> {
    let authority_key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "Root of a test");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = params.self_signed(&authority_key)?;
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate()?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let leaf = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
    let write = |name: &str, text: String| {
        std::fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))
    };
    write("root.crt", authority.pem())?;
    write("https.crt", leaf.pem())?;
    write("https.key", key.serialize_pem())
}
