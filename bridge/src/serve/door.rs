//! The workspace's socket: who comes in, and where to.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kalpana_protocol::preamble::{self, Denial, LINE_LIMIT, Preamble, Target, Unverified};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::nonces::Nonces;
use super::{Shared, forward, rpc};
use crate::{clock, log};

/// How long a dialler may take to say what it wants.
const PREAMBLE_DEADLINE: Duration = Duration::from_secs(5);

/// Bytes that are read after a refusal, and how long for.
const UNREAD_LIMIT: u64 = 64 << 10;
const UNREAD_DEADLINE: Duration = Duration::from_secs(1);

/// Most connections at once; more wait in the socket's own queue.
const CONNECTION_LIMIT: usize = 4096;

/// Opens the socket, in place of one that an earlier bridge left.
///
/// It is bound under its final name: a rename would leave the old name as the address that peers
/// see, and the gateway compares addresses.
///
/// # Errors
/// If the run directory does not let us.
pub(super) fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    // The directory hands its group on to the socket; the gateway is in it.
    std::fs::set_permissions(path, Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Lets in who may come in.
pub(super) struct Door {
    shared: Arc<Shared>,
    nonces: Mutex<Nonces>,
    places: Arc<Semaphore>,
}

impl Door {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let places = Arc::new(Semaphore::new(CONNECTION_LIMIT));
        Self {
            shared,
            nonces: Mutex::default(),
            places,
        }
    }

    /// Accepts connections for ever.
    pub(super) async fn run(self: Arc<Self>, listener: UnixListener) {
        loop {
            let place = Arc::clone(&self.places).acquire_owned().await;
            match listener.accept().await {
                Ok((stream, _)) => {
                    let door = Arc::clone(&self);
                    tokio::spawn(async move {
                        // Whatever breaks a connection, it is the dialler's to notice and to log.
                        let _ = door.connection(stream).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: closing connections give some back.
                    log::say_to_init(&format!("cannot accept a connection: {error}"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn connection(&self, mut stream: UnixStream) -> io::Result<()> {
        let Ok(line) = tokio::time::timeout(PREAMBLE_DEADLINE, read_line(&mut stream)).await else {
            return refuse(stream, Denial::Malformed).await;
        };
        let now = clock::unix_seconds();
        let admitted = line?
            .ok_or(Denial::Malformed)
            .and_then(|line| self.admit(&line, now));
        let target = match admitted {
            Ok(preamble) => preamble.target,
            Err(denial) => return refuse(stream, denial).await,
        };
        let shared = &self.shared;
        match target {
            Target::Rpc => {
                stream
                    .write_all(preamble::answer(Ok(())).as_bytes())
                    .await?;
                rpc::serve(shared, stream).await;
                Ok(())
            }
            Target::Editor => match forward::editor(shared).await {
                Ok(editor) => forward::join(stream, editor).await,
                Err(denial) => refuse(stream, denial).await,
            },
            Target::Port(port) => match forward::port(port).await {
                Ok(server) => forward::join(stream, server).await,
                Err(denial) => refuse(stream, denial).await,
            },
        }
    }

    /// Decides about a preamble. Each is good for one connection.
    fn admit(&self, line: &[u8], now: u64) -> Result<Preamble, Denial> {
        let launch = &self.shared.settings.launch;
        let unverified = Unverified::parse(line).map_err(|_| Denial::Malformed)?;
        let key = launch.keys.of(unverified.audience());
        let preamble = unverified.verify(key, &launch.workspace, launch.generation, now)?;
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        if nonces.insert(preamble.nonce, preamble.expires, now) {
            Ok(preamble)
        } else {
            Err(Denial::Denied)
        }
    }
}

/// Reads the first line, newline included. `None` if it is too long, incomplete, or if more than
/// the line came: a dialler that has not been let in has nothing more to say.
async fn read_line(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::with_capacity(LINE_LIMIT);
    while line.len() < LINE_LIMIT {
        let room = LINE_LIMIT - line.len();
        if (&mut *stream).take(room as u64).read_buf(&mut line).await? == 0 {
            return Ok(None);
        }
        if let Some(end) = line.iter().position(|&byte| byte == b'\n') {
            return Ok((end + 1 == line.len()).then_some(line));
        }
    }
    Ok(None)
}

async fn refuse(mut stream: UnixStream, denial: Denial) -> io::Result<()> {
    stream
        .write_all(preamble::answer(Err(denial)).as_bytes())
        .await?;
    stream.shutdown().await?;
    // A socket that is closed over unread bytes is reset, and the answer with it.
    let mut rest = stream.take(UNREAD_LIMIT);
    let mut nowhere = tokio::io::sink();
    let reading = tokio::io::copy(&mut rest, &mut nowhere);
    let _ = tokio::time::timeout(UNREAD_DEADLINE, reading).await;
    Ok(())
}
