//! What is behind every proxy: one small server in a process of its own.
//!
//! Peers reach it over TCP, ours over one Unix socket per workspace, where it speaks the preamble
//! of bridges first. What it answers is the same, and so is the code that answers.
//!
//! `/` is 200 bytes, `/down` one MiB, `/up` takes a body, `/ws` echoes WebSocket frames.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_protocol::preamble::{self, Denial, Unverified};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;

use super::{fixture, frames, http1};

/// Bytes of a usual answer.
const USUAL: usize = 200;

/// Bytes of a large body, either way.
pub(crate) const LARGE: usize = 1 << 20;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// Where it serves.
#[derive(Debug, Clone, Args)]
pub(crate) struct Upstream {
    /// Where peers reach it
    #[arg(long)]
    tcp: SocketAddr,
    /// Where it speaks TLS itself, as what proxies are compared with that add nothing
    #[arg(long)]
    tls: SocketAddr,
    /// The certificate of that
    #[arg(long)]
    certificate: PathBuf,
    /// The key of that
    #[arg(long)]
    key: PathBuf,
    /// The directory of the workspaces' directories
    #[arg(long)]
    workspaces: PathBuf,
    /// How many workspaces there are
    #[arg(long)]
    count: usize,
}

/// Returns the socket of a workspace's bridge.
pub(crate) fn socket(workspaces: &Path, number: usize) -> PathBuf {
    workspaces
        .join(fixture::workspace(number).as_str())
        .join("bridge.sock")
}

impl Upstream {
    /// Serves until the process is ended.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        for number in 0..self.count {
            let path = socket(&self.workspaces, number);
            let folder = path.parent().expect("a file is in a folder");
            std::fs::create_dir_all(folder)?;
            let listener = UnixListener::bind(&path)?;
            // The gateway may run as somebody else.
            std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755))?;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666))?;
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(bridge(stream, number));
                }
            });
        }
        let tls = listen(self.tls)?;
        let acceptor = acceptor(&self.certificate, &self.key)?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = tls.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    stream.set_nodelay(true)?;
                    serve(acceptor.accept(stream).await?).await
                });
            }
        });
        // Last, because that it listens here says that it is ready.
        let tcp = listen(self.tcp)?;
        loop {
            let (stream, _) = tcp.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(serve(stream));
        }
    }
}

/// Listens with room for thousands that come at once.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn acceptor(certificate: &Path, key: &Path) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Judges a preamble as a bridge does, then serves.
async fn bridge(stream: UnixStream, number: usize) -> io::Result<()> {
    let mut stream = BufReader::with_capacity(preamble::LINE_LIMIT, stream);
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await?;
    let now = u64::try_from(SystemClock.now().as_second()).unwrap_or(0);
    let id = fixture::workspace(number);
    let judged = Unverified::parse(&line)
        .map_err(|_| Denial::Malformed)
        .and_then(|unverified| {
            let key = fixture::connect_key(number);
            unverified.verify(&key, id.as_str(), fixture::GENERATION.0, now)
        });
    let answer = preamble::answer(judged.as_ref().map(|_| ()).map_err(|denial| *denial));
    stream.write_all(answer.as_bytes()).await?;
    if judged.is_err() {
        return Ok(());
    }
    // Who dials waits for the answer before it says more, so the reader holds nothing.
    serve(stream.into_inner()).await
}

/// Answers requests on one connection until it ends.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let usual = answer("200 OK", &[b'x'; USUAL]);
    let mut buffer = Vec::new();
    while let Some(head) = http1::read_head(&mut stream, &mut buffer).await? {
        let path = buffer.split(|byte| *byte == b' ').nth(1);
        match path.unwrap_or_default() {
            b"/ws" => {
                let switched = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                     Upgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\r\n",
                    frames::ACCEPT
                );
                stream.write_all(switched.as_bytes()).await?;
                stream.flush().await?;
                let rest = buffer.split_off(head.length);
                return frames::echo(&mut stream, rest).await;
            }
            b"/down" => {
                let text = answer("200 OK", &vec![b'x'; LARGE]);
                stream.write_all(&text).await?;
            }
            _ => {
                let mut rest = (head.length + head.body).saturating_sub(buffer.len());
                while rest > 0 {
                    buffer.clear();
                    buffer.reserve(64 << 10);
                    let read = (&mut stream)
                        .take(rest as u64)
                        .read_buf(&mut buffer)
                        .await?;
                    if read == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    rest -= read;
                }
                stream.write_all(&usual).await?;
            }
        }
        stream.flush().await?;
        buffer.clear();
    }
    Ok(())
}

fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_answers_bodies_and_upgrades_on_one_connection() {
        let (mut ours, theirs) = tokio::io::duplex(1 << 16);
        let server = tokio::spawn(serve(theirs));
        let mut buffer = Vec::new();
        for request in [
            "GET / HTTP/1.1\r\n\r\n",
            "POST /up HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
            "GET /down HTTP/1.1\r\n\r\n",
        ] {
            let status = http1::exchange(&mut ours, request.as_bytes(), &mut buffer).await;
            assert_eq!(status.unwrap(), 200, "{request}");
        }
        let status = http1::exchange(&mut ours, b"GET /ws HTTP/1.1\r\n\r\n", &mut buffer).await;
        assert_eq!(status.unwrap(), 101);
        ours.write_all(&frames::frame(b"hello", true))
            .await
            .unwrap();
        frames::receive(&mut ours, 5, &mut buffer).await.unwrap();
        drop(ours);
        server.await.unwrap().unwrap();
    }
}
