//! Connects as a browser would, and keeps what is shown, whatever it is.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::judge::Finding;

/// Longest wait for a connection, and for a handshake.
const LIMIT: Duration = Duration::from_secs(10);

/// What a server showed.
#[derive(Debug)]
pub(super) struct Seen {
    /// The certificates as sent, the leaf first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// The version of TLS.
    pub(super) tls: Option<String>,
    /// The protocol within it.
    pub(super) alpn: Option<String>,
}

/// Shakes hands with what answers for `host`, or at `connect`.
///
/// # Errors
/// A [`Finding`] that says how far it came.
pub(super) async fn shake_hands(
    host: &str,
    port: u16,
    connect: Option<SocketAddr>,
) -> Result<Seen, Finding> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| {
        Finding::new(
            "name_not_resolved",
            format!("{host:?} is not the name of a host"),
            "Write it as in a browser's address bar, without https://.",
        )
    })?;
    let addresses = match connect {
        Some(address) => vec![address],
        None => resolve(host, port).await?,
    };
    let stream = open(&addresses).await?;
    let connector = TlsConnector::from(Arc::new(client_config()));
    let shaken = tokio::time::timeout(LIMIT, connector.connect(name, stream)).await;
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(no_handshake(host, &error.to_string())),
        Err(_) => return Err(no_handshake(host, "there is no answer")),
    };
    let (_, connection) = stream.get_ref();
    let sent = connection.peer_certificates().unwrap_or_default();
    let alpn = connection.alpn_protocol();
    Ok(Seen {
        chain: sent.iter().map(|one| one.clone().into_owned()).collect(),
        tls: connection.protocol_version().map(|version| {
            let name = version.as_str().unwrap_or("an unknown version of TLS");
            name.replace("TLSv1_", "TLS 1.")
        }),
        alpn: alpn.map(|protocol| String::from_utf8_lossy(protocol).into_owned()),
    })
}

/// Finds the addresses of a host. Names below `.localhost` are this machine (RFC 6761), as in
/// browsers.
///
/// # Errors
/// A [`Finding`] when there is none.
pub(crate) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Finding> {
    if host == "localhost" || host.ends_with(".localhost") {
        return Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))]);
    }
    let unknown = |why: &str| {
        Finding::new(
            "name_not_resolved",
            format!("the name {host} leads to no address: {why}"),
            "Add a record for it to DNS; workspaces need one for *.<workspace domain>.",
        )
    };
    let found = tokio::time::timeout(LIMIT, tokio::net::lookup_host((host, port))).await;
    match found {
        Ok(Ok(addresses)) => {
            let addresses: Vec<SocketAddr> = addresses.collect();
            if addresses.is_empty() {
                return Err(unknown("it has no addresses"));
            }
            Ok(addresses)
        }
        Ok(Err(error)) => Err(unknown(&error.to_string())),
        Err(_) => Err(unknown("no name server answers")),
    }
}

async fn open(addresses: &[SocketAddr]) -> Result<TcpStream, Finding> {
    let mut reasons = Vec::new();
    for address in addresses {
        let opened = tokio::time::timeout(LIMIT, TcpStream::connect(address)).await;
        let error = match opened {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error,
            Err(_) => io::Error::from(io::ErrorKind::TimedOut),
        };
        reasons.push(format!("{address}: {error}"));
    }
    Err(Finding::new(
        "unreachable",
        format!("nothing can be connected to ({})", reasons.join(", ")),
        "Is Kalpana running? `kalpana up` starts it. A firewall, or a router that does not lead back \
         to this machine, may be in the way: --connect names another address.",
    ))
}

fn no_handshake(host: &str, why: &str) -> Finding {
    Finding::new(
        "handshake_failed",
        format!("what answers for {host} shows no certificate: {why}"),
        "`kalpana certs list` says which certificates are missing; another program may have the \
         port.",
    )
}

fn client_config() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has cipher suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TakesAny { algorithms }))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// Takes whatever is shown, so that it can be looked at; who shows it must have its key. Nothing is
/// sent over such a connection.
#[derive(Debug)]
struct TakesAny {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for TakesAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
