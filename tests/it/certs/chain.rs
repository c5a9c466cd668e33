//! An issued chain and how it is served, as other people's tools see it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::TlsConnector;

use super::gateway::{DOMAIN, Gateway, Proof};

/// How long a look may take on a busy machine.
const SCAN_LIMIT: Duration = Duration::from_secs(180);

/// Returns the Python into which `scripts/backends` has installed sslyze.
fn python() -> PathBuf {
    let folder = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = folder("KALPANA_CACHE").unwrap_or_else(|| {
        let home = folder("HOME").unwrap_or_else(|| "/root".into());
        let usual = folder("XDG_CACHE_HOME").unwrap_or_else(|| home.join(".cache"));
        usual.join("kalpana")
    });
    cache.join("backends/bin/python")
}

/// Has sslyze look at a gateway, and returns what it found.
async fn sslyze(gateway: &Gateway) -> anyhow::Result<Value> {
    let report = gateway.machine.path("sslyze.json");
    let output = Command::new(python())
        .args(["-m", "sslyze", "--quiet", "--mozilla_config=disable"])
        .arg(format!("--json_out={}", report.display()))
        .arg(format!("--sni={DOMAIN}"))
        .args(["--certinfo", "--certinfo_ca_file", &gateway.root_file])
        .args(["--resum", "--tlsv1_3", "--tlsv1_2", "--tlsv1_1"])
        .args(["--tlsv1", "--sslv3", "--sslv2", "--compression", "--reneg"])
        .arg(format!("127.0.0.1:{}", gateway.port))
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(SCAN_LIMIT, output)
        .await
        .context("sslyze does not end")?
        .context("no sslyze (see scripts/backends)")?;
    ensure!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_str(&with_words(&std::fs::read_to_string(report)?))?;
    let found = &report["server_scan_results"][0];
    ensure!(found["scan_status"] == "COMPLETED", "{found}");
    Ok(found["scan_result"].clone())
}

/// Puts numbers of keys into quotes, which are too large to be read as numbers. Each value is on a
/// line of its own.
fn with_words(report: &str) -> String {
    let lines = report.lines().map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap_or(("", line));
        let number = value.trim_end_matches(',');
        let is_large = number.len() > 18 && number.bytes().all(|byte| byte.is_ascii_digit());
        if is_large {
            let rest = &value[number.len()..];
            format!("{name} \"{number}\"{rest}")
        } else {
            line.to_owned()
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn name_of(certificate: &Value, which: &str) -> String {
    certificate[which]["rfc4514_string"].to_string()
}

#[tokio::test]
async fn sslyze_finds_an_issued_chain_complete_and_in_order_and_only_tls_1_2_and_1_3()
-> anyhow::Result<()> {
    let gateway = Gateway::start(Proof::Dns01).await?;
    let found = sslyze(&gateway).await?;
    let deployments = &found["certificate_info"]["result"]["certificate_deployments"];
    assert_eq!(deployments.as_array().map(Vec::len), Some(1));
    let served = &deployments[0];
    let chain = served["received_certificate_chain"]
        .as_array()
        .context("a chain")?;
    assert_eq!(chain.len(), 2, "the leaf and the intermediate");
    assert_eq!(name_of(&chain[0], "issuer"), name_of(&chain[1], "subject"));
    assert!(name_of(&chain[1], "subject").contains("Pebble Intermediate"));
    let mut names: Vec<&str> = chain[0]["subject_alternative_name"]["dns_names"]
        .as_array()
        .context("names")?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["*.example.test", DOMAIN]);
    assert_eq!(served["received_chain_has_valid_order"], true);
    assert_eq!(served["received_chain_contains_anchor_certificate"], false);
    assert_eq!(served["verified_chain_has_sha1_signature"], false);
    // By the authority's root, and by none of those that the world trusts.
    for path in served["path_validation_results"]
        .as_array()
        .context("paths")?
    {
        let is_own = path["trust_store"]["name"] == "Supplied CA file";
        assert_eq!(path["was_validation_successful"], is_own, "{path}");
    }
    assert_eq!(
        served["verified_certificate_chain"]
            .as_array()
            .map(Vec::len),
        Some(3),
        "up to the root"
    );
    assert_eq!(served["leaf_certificate_has_must_staple_extension"], false);
    assert_eq!(served["ocsp_response"], Value::Null);

    for (version, is_spoken) in [
        ("ssl_2_0", false),
        ("ssl_3_0", false),
        ("tls_1_0", false),
        ("tls_1_1", false),
        ("tls_1_2", true),
        ("tls_1_3", true),
    ] {
        let result = &found[format!("{version}_cipher_suites")]["result"];
        assert_eq!(result["is_tls_version_supported"], is_spoken, "{version}");
    }
    assert_eq!(
        found["tls_compression"]["result"]["supports_compression"],
        false
    );
    let renegotiation = &found["session_renegotiation"]["result"];
    assert_eq!(
        renegotiation["is_vulnerable_to_client_renegotiation_dos"],
        false
    );
    // Sessions are resumed by tickets alone, which the next test looks at: sslyze's own client,
    // an OpenSSL of 2014, sees none of TLS 1.3 and takes those of 1.2 for none.
    let resumption = &found["session_resumption"]["result"];
    assert_eq!(
        resumption["session_id_resumption_result"],
        json!("NOT_SUPPORTED")
    );
    Ok(())
}

/// A client that trusts the authority alone, and remembers sessions.
fn client(
    gateway: &Gateway,
    version: &'static SupportedProtocolVersion,
    protocols: &[&[u8]],
) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&gateway.root_file)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// Shakes hands and asks for a page, with which tickets come; returns how it went.
async fn visit(
    gateway: &Gateway,
    config: &Arc<ClientConfig>,
) -> anyhow::Result<(Option<Vec<u8>>, Option<HandshakeKind>)> {
    let stream = TcpStream::connect(("127.0.0.1", gateway.port)).await?;
    let connector = TlsConnector::from(Arc::clone(config));
    let mut stream = connector
        .connect(ServerName::try_from(DOMAIN)?, stream)
        .await?;
    let alpn = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    let kind = stream.get_ref().1.handshake_kind();
    if alpn.as_deref() == Some(b"http/1.1") {
        let request = format!("GET / HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).await?;
        ensure!(answer[..length].starts_with(b"HTTP/1.1 "), "no answer");
    }
    Ok((alpn, kind))
}

#[tokio::test]
async fn an_issued_certificate_is_served_for_http_2_and_1_and_tickets_resume_both_versions_of_tls()
-> anyhow::Result<()> {
    let gateway = Gateway::start(Proof::Http01).await?;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (offered, chosen) in [
            (&[&b"http/1.1"[..], b"h2"][..], &b"h2"[..]),
            (&[b"h2"], b"h2"),
            (&[b"http/1.1"], b"http/1.1"),
        ] {
            let config = client(&gateway, version, offered)?;
            let (alpn, _) = visit(&gateway, &config).await?;
            assert_eq!(alpn.as_deref(), Some(chosen), "{version:?}");
        }
        let config = client(&gateway, version, &[b"http/1.1"])?;
        let (_, first) = visit(&gateway, &config).await?;
        assert_ne!(first, Some(HandshakeKind::Resumed), "{version:?}");
        let (_, second) = visit(&gateway, &config).await?;
        assert_eq!(second, Some(HandshakeKind::Resumed), "{version:?}");
    }
    Ok(())
}
