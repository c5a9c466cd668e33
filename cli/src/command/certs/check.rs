//! `kalpana certs check`: what visitors are shown, as they see it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use kalpana_config::Site;
use kalpana_domain::clock::{Clock, SystemClock};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::until;
use crate::command::Settings;
use crate::output::{self, Format};
use crate::privilege;

/// Longest wait for a connection, or for an answer over it.
const LIMIT: Duration = Duration::from_secs(15);

/// A workspace that no site has, because ids begin with a letter and have twelve characters.
const MADE_UP: &str = "a00000000000";

/// Days before the end at which an operator should look.
const SOON: i64 = 14;

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Hosts to look at [default: the site's own, and one of a workspace]
    hosts: Vec<String>,
    /// Connect there instead of to the gateway on this machine
    #[arg(long, value_name = "ADDRESS:PORT")]
    connect: Option<SocketAddr>,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    settings: Settings,
}

/// What one host shows.
#[derive(Debug, Serialize)]
struct Report {
    host: String,
    issuer: Option<String>,
    not_after: Option<kalpana_domain::Timestamp>,
    chain_length: usize,
    protocol: Option<String>,
    version: Option<String>,
    /// `system`, `local authority`, or nobody.
    trusted_by: Option<&'static str>,
    findings: Vec<Finding>,
}

/// Something that is not as it should be.
#[derive(Debug, Serialize)]
struct Finding {
    code: &'static str,
    message: String,
    fix: &'static str,
}

impl Check {
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let config = self.settings.load()?;
        let site = privilege::site(&config)?;
        let address = self.connect.unwrap_or_else(|| {
            let listen = config.gateway.listen;
            let ip = if listen.ip().is_unspecified() {
                IpAddr::V4(Ipv4Addr::LOCALHOST)
            } else {
                listen.ip()
            };
            SocketAddr::new(ip, listen.port())
        });
        let hosts = if self.hosts.is_empty() {
            vec![
                site.domain.clone(),
                format!("{MADE_UP}.{}", site.workspace_domain),
            ]
        } else {
            self.hosts.clone()
        };
        let has_wildcard = config.certs.of(&site.workspace_domain).source
            != kalpana_config::CertificateSource::Acme
            || config.certs.acme.has_wildcard();
        let mut reports = Vec::new();
        for host in hosts {
            if host.starts_with(MADE_UP) && !has_wildcard {
                continue;
            }
            reports.push(look(&site, &host, address).await);
        }
        let is_good = reports.iter().all(|report| report.findings.is_empty());
        output::answer(self.format, &reports, |reports| {
            let reports: Vec<String> = reports.iter().map(told).collect();
            reports.join("\n\n")
        })?;
        if !is_good {
            bail!("not everything is as it should be");
        }
        Ok(())
    }
}

fn told(report: &Report) -> String {
    let mut lines = vec![report.host.clone()];
    if let (Some(issuer), Some(not_after)) = (&report.issuer, report.not_after) {
        let by = report.trusted_by.unwrap_or("nobody here");
        lines.push(format!(
            "  by {issuer}, ends {}, {} certificates are sent, trusted by {by}",
            until(not_after),
            report.chain_length
        ));
    }
    if let (Some(version), Some(protocol)) = (&report.version, &report.protocol) {
        lines.push(format!("  {version}, {protocol}"));
    }
    for finding in &report.findings {
        lines.push(format!("  wrong: {} ({})", finding.message, finding.code));
        lines.push(format!("    {}", finding.fix));
    }
    if report.findings.is_empty() {
        lines.push("  good".to_owned());
    }
    lines.join("\n")
}

async fn look(site: &Site, host: &str, address: SocketAddr) -> Report {
    let mut report = Report {
        host: host.to_owned(),
        issuer: None,
        not_after: None,
        chain_length: 0,
        protocol: None,
        version: None,
        trusted_by: None,
        findings: Vec::new(),
    };
    let chain = match shake_hands(host, address, &mut report).await {
        Ok(chain) => chain,
        Err(error) => {
            report.findings.push(Finding {
                code: "tls_failed",
                message: format!("no handshake with {address}: {error:#}"),
                fix: "Check that the gateway runs and listens there (gateway.listen), and \
                      `kalpana certs list` for a certificate that is missing.",
            });
            return report;
        }
    };
    judge_leaf(&chain, host, &mut report);
    report.trusted_by = trusted_by(site, host, address).await;
    if report.trusted_by.is_none() && report.findings.is_empty() {
        report.findings.push(if chain.len() == 1 {
            Finding {
                code: "chain_incomplete",
                message: "only the certificate itself is sent, and nobody here knows who signed it"
                    .to_owned(),
                fix: "Put the intermediate certificates after it into certificate_file \
                      (authorities call this the full chain).",
            }
        } else {
            Finding {
                code: "untrusted",
                message: "nobody here trusts who signed it".to_owned(),
                fix: "`kalpana certs trust` for the site's own authority; \
                      certs.acme.directory = \"letsencrypt\" for one that browsers trust.",
            }
        });
    }
    report
}

fn judge_leaf(chain: &[CertificateDer<'static>], host: &str, report: &mut Report) {
    report.chain_length = chain.len();
    let parsed = chain
        .first()
        .and_then(|leaf| X509Certificate::from_der(leaf).ok());
    let Some((_, leaf)) = parsed else {
        report.findings.push(Finding {
            code: "certificate_garbage",
            message: "what is shown is no certificate".to_owned(),
            fix: "Replace certificate_file.",
        });
        return;
    };
    let issuer = leaf.issuer().iter_common_name().next();
    let issuer = issuer.and_then(|name| name.as_str().ok());
    report.issuer = Some(issuer.map_or_else(|| leaf.issuer().to_string(), ToOwned::to_owned));
    let not_after = leaf.validity().not_after.timestamp();
    report.not_after = kalpana_domain::Timestamp::from_second(not_after).ok();
    let now = SystemClock.now().as_second();
    if not_after <= now {
        report.findings.push(Finding {
            code: "certificate_expired",
            message: "its time is over".to_owned(),
            fix: "`kalpana certs list` says why there is no other; certificate files are replaced \
                  by you.",
        });
    } else if not_after - now < SOON * 86_400 && leaf.validity().time_to_expiration().is_some() {
        let lifetime = not_after - leaf.validity().not_before.timestamp();
        // One of six days is always near its end.
        if (not_after - now) * 6 < lifetime {
            report.findings.push(Finding {
                code: "certificate_ends_soon",
                message: "it ends soon, and should have been replaced".to_owned(),
                fix: "`kalpana certs list` says why it was not.",
            });
        }
    }
    if leaf.validity().not_before.timestamp() > now {
        report.findings.push(Finding {
            code: "clock_wrong",
            message: "its time has not come yet".to_owned(),
            fix: "Set this machine's clock.",
        });
    }
    let names = leaf.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.as_slice());
    let covers = names.unwrap_or_default().iter().any(|name| match name {
        GeneralName::DNSName(name) => fits(name, host),
        _ => false,
    });
    if !covers {
        report.findings.push(Finding {
            code: "name_not_covered",
            message: format!("it is not for {host}"),
            fix: "Let the certificate name the domain and *.<workspace domain>.",
        });
    }
}

/// Tells whether a name of a certificate stands for a host; a wildcard does for one label.
fn fits(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
        None => name.eq_ignore_ascii_case(host),
    }
}

async fn shake_hands(
    host: &str,
    address: SocketAddr,
    report: &mut Report,
) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let seen = Arc::new(Looker::default());
    let mut config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&seen) as _)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from(host.to_owned()).context("it is not a host name")?;
    let connect = async {
        let stream = TcpStream::connect(address).await?;
        let connector = TlsConnector::from(Arc::new(config));
        anyhow::Ok(connector.connect(name, stream).await?)
    };
    let stream = tokio::time::timeout(LIMIT, connect)
        .await
        .context("it took too long")??;
    let (_, connection) = stream.get_ref();
    report.version = connection
        .protocol_version()
        .map(|version| format!("{version:?}"));
    report.protocol = connection
        .alpn_protocol()
        .map(|protocol| String::from_utf8_lossy(protocol).into_owned());
    let chain = seen.chain.lock().expect("no holder panics");
    Ok(chain.clone())
}

/// Finds out who trusts what is shown, by asking as a browser would.
async fn trusted_by(site: &Site, host: &str, address: SocketAddr) -> Option<&'static str> {
    let ask = async |builder: reqwest::ClientBuilder| {
        let client = builder
            .resolve(host, address)
            .timeout(LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .ok()?;
        let url = format!("https://{host}:{}/", address.port());
        client.get(url).send().await.ok()
    };
    if ask(reqwest::Client::builder()).await.is_some() {
        return Some("the system");
    }
    let pem = std::fs::read(site.authority_certificate()).ok()?;
    let authority = reqwest::Certificate::from_pem(&pem).ok()?;
    let own = reqwest::Client::builder().tls_certs_only([authority]);
    ask(own).await.map(|_| "the site's local authority")
}

/// Takes whatever is shown, and keeps it to be looked at. Nothing is sent over such a connection.
#[derive(Debug, Default)]
struct Looker {
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Looker {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut chain = self.chain.lock().expect("no holder panics");
        *chain = std::iter::once(end_entity)
            .chain(intermediates)
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
