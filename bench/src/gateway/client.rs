//! The client's side of a connection: TLS 1.3 with one curve and one cipher, so that every proxy
//! does the same work.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::http1;
use super::target::Visitor;

/// A connection to a proxy.
pub(crate) type Stream = TlsStream<TcpStream>;

/// Longest wait for a connection or an answer. Nothing takes this long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Addresses that clients come from in turns, so that ports do not run out.
const SOURCES: u8 = 8;

thread_local! {
    static NEXT_SOURCE: Cell<u8> = const { Cell::new(0) };
}

/// Which protocol a connection is to speak.
pub(crate) const HTTP1: &[u8] = b"http/1.1";
/// The same.
pub(crate) const HTTP2: &[u8] = b"h2";

/// Returns a client that trusts `authority`. With `resumes` it remembers the sessions that it was
/// given.
pub(crate) fn config(
    authority: &CertificateDer<'static>,
    protocol: &[u8],
    resumes: bool,
) -> anyhow::Result<Arc<ClientConfig>> {
    let provider = CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = if resumes {
        Resumption::in_memory_sessions(8)
    } else {
        Resumption::disabled()
    };
    Ok(Arc::new(config))
}

/// Connects over TCP.
pub(crate) async fn connect_tcp(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let source = NEXT_SOURCE.with(|next| next.replace((next.get() + 1) % SOURCES));
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::new(127, 0, 0, 2 + source), 0).into())?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects and shakes hands.
pub(crate) async fn connect(
    config: &Arc<ClientConfig>,
    address: SocketAddr,
    visitor: &Visitor,
) -> anyhow::Result<Stream> {
    let connecting = async {
        let stream = connect_tcp(address).await.context("connecting")?;
        let connector = TlsConnector::from(Arc::clone(config));
        let shaking = connector.connect(visitor.server_name.clone(), stream);
        shaking.await.context("shaking hands")
    };
    tokio::time::timeout(PATIENCE, connecting)
        .await
        .context("no connection in time")?
}

/// Opens a WebSocket.
pub(crate) async fn open_websocket(
    config: &Arc<ClientConfig>,
    address: SocketAddr,
    visitor: &Visitor,
) -> anyhow::Result<Stream> {
    let mut stream = connect(config, address, visitor).await?;
    let upgrade = visitor.upgrade();
    let mut buffer = Vec::new();
    let asking = http1::exchange(&mut stream, &upgrade, &mut buffer);
    let status = tokio::time::timeout(PATIENCE, asking).await??;
    anyhow::ensure!(status == 101, "the upgrade was answered {status}");
    Ok(stream)
}
