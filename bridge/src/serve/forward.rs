//! Bytes from the socket to a server inside the container, and back.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Duration;

use kalpana_protocol::preamble::{self, Denial};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::{Shared, editor, listening};

/// How long a server on the loopback may take to accept.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Bytes on their way, per direction and connection.
const BUFFER_SIZE: usize = 16 << 10;

/// Connects to the editor.
pub(super) async fn editor(shared: &Shared) -> Result<UnixStream, Denial> {
    if !*shared.is_editor_ready.borrow() {
        return Err(Denial::NotReady);
    }
    let connecting = tokio::time::timeout(CONNECT_DEADLINE, editor::connect(&shared.settings));
    connecting
        .await
        .map_err(|_| Denial::NotReady)?
        .map_err(|_| Denial::NotReady)
}

/// Connects to a port, on whichever loopback its server chose.
pub(super) async fn port(port: NonZeroU16) -> Result<TcpStream, Denial> {
    let addresses = [
        SocketAddr::from((Ipv4Addr::LOCALHOST, port.get())),
        SocketAddr::from((Ipv6Addr::LOCALHOST, port.get())),
    ];
    for address in addresses {
        let connecting = TcpStream::connect(address);
        if let Ok(Ok(stream)) = tokio::time::timeout(CONNECT_DEADLINE, connecting).await {
            // Small writes are the rule here: keystrokes, WebSocket frames.
            let _ = stream.set_nodelay(true);
            return Ok(stream);
        }
    }
    Err(Denial::Refused(listening::ports()))
}

/// Says that the way is open, and copies until both sides have finished.
pub(super) async fn join(
    mut outside: UnixStream,
    mut inside: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<()> {
    outside
        .write_all(preamble::answer(Ok(())).as_bytes())
        .await?;
    tokio::io::copy_bidirectional_with_sizes(&mut outside, &mut inside, BUFFER_SIZE, BUFFER_SIZE)
        .await
        .map(drop)
}
