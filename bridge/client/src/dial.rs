//! From a socket's path to a stream that the bridge has let in.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kalpana_protocol::preamble::{
    self, ANSWER_LIMIT, Audience, ConnectKey, Denial, Preamble, Target,
};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::error::ConnectError;
use crate::rpc::{self, Notifications, RpcClient};

/// How long a preamble is good for.
const PREAMBLE_LIFETIME_SECONDS: u64 = 60;

/// One generation of one workspace, and the key to its bridge.
#[derive(Debug, Clone)]
pub struct Bridge {
    /// The bridge's socket on this host, absolute.
    pub socket: PathBuf,
    /// Whose the socket must be: the container's root, as this host numbers it.
    pub peer_uid: u32,
    /// The workspace's id.
    pub workspace: String,
    /// Which start of the workspace.
    pub generation: u64,
    /// Who we are.
    pub audience: Audience,
    /// The key of that audience, workspace and generation.
    pub key: ConnectKey,
}

impl Bridge {
    /// Opens a way to the editor or to a port. After this the stream is the server's.
    ///
    /// Unit of `limit`: wall-clock time, from dialling to the bridge's answer.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(
        &self,
        target: Target,
        now: jiff::Timestamp,
        limit: Duration,
    ) -> Result<UnixStream, ConnectError> {
        tokio::time::timeout(limit, self.open(target, now))
            .await
            .map_err(|_| ConnectError::Timeout)?
    }

    /// Opens the conversation with the bridge itself, as `client` (name and version).
    ///
    /// Unit of `limit`: wall-clock time, from dialling to the answer to `initialize`.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn rpc(
        &self,
        client: &str,
        now: jiff::Timestamp,
        limit: Duration,
    ) -> Result<(RpcClient, Notifications), ConnectError> {
        let opening = async {
            let stream = self.open(Target::Rpc, now).await?;
            rpc::open(stream, self, client).await
        };
        tokio::time::timeout(limit, opening)
            .await
            .map_err(|_| ConnectError::Timeout)?
    }

    async fn open(&self, target: Target, now: jiff::Timestamp) -> Result<UnixStream, ConnectError> {
        let mut stream = self.dial().await?;
        let now = u64::try_from(now.as_second()).unwrap_or(0);
        let preamble = Preamble {
            target,
            workspace: self.workspace.clone(),
            generation: self.generation,
            expires: now.saturating_add(PREAMBLE_LIFETIME_SECONDS),
            audience: self.audience,
            nonce: rand::random(),
        };
        let lost = |source| ConnectError::Unreachable {
            path: self.socket.clone(),
            source,
        };
        stream
            .write_all(preamble.sign(&self.key).as_bytes())
            .await
            .map_err(lost)?;
        let line = read_answer(&mut stream).await.map_err(lost)?;
        let protocol = |reason| ConnectError::Protocol { reason };
        let outcome = preamble::parse_answer(&line).map_err(|_| protocol("not an answer"))?;
        match outcome {
            Ok(()) => Ok(stream),
            Err(Denial::Denied) => Err(ConnectError::Denied),
            Err(Denial::Expired) => Err(ConnectError::Expired),
            Err(Denial::WrongGeneration) => Err(ConnectError::WrongGeneration),
            Err(Denial::Malformed) => Err(protocol("it could not read the preamble")),
            Err(Denial::NotReady) if target == Target::Editor => Err(ConnectError::NotReady),
            Err(Denial::Refused(listening)) if let Target::Port(port) = target => {
                Err(ConnectError::Refused { port, listening })
            }
            Err(Denial::NotReady | Denial::Refused(_)) => {
                Err(protocol("an answer to something else"))
            }
        }
    }

    /// Connects to the very file that was looked at.
    ///
    /// The container's root can put anything into the directory: a link to the engine's socket,
    /// say. So the file is opened without following links and without leaving the directory, must
    /// be a socket, and is then reached by its descriptor. The address the peer reports stays the
    /// one it was bound to.
    async fn dial(&self) -> Result<UnixStream, ConnectError> {
        let file = open_socket(&self.socket)
            .map_err(|error| self.unusable(error.into()))?
            .ok_or_else(|| self.impostor("not a socket".to_owned()))?;
        let by_descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
        let stream = UnixStream::connect(by_descriptor)
            .await
            .map_err(|error| self.unusable(error))?;
        let found = stream
            .peer_cred()
            .map_err(|error| self.unusable(error))?
            .uid();
        if found == self.peer_uid {
            Ok(stream)
        } else {
            Err(self.impostor(format!("it is of user {found}, not {}", self.peer_uid)))
        }
    }

    fn unusable(&self, source: io::Error) -> ConnectError {
        match source
            .raw_os_error()
            .map(rustix::io::Errno::from_raw_os_error)
        {
            Some(rustix::io::Errno::LOOP | rustix::io::Errno::XDEV) => {
                self.impostor("a symbolic link".to_owned())
            }
            _ => ConnectError::Unreachable {
                path: self.socket.clone(),
                source,
            },
        }
    }

    fn impostor(&self, reason: String) -> ConnectError {
        ConnectError::Impostor {
            path: self.socket.clone(),
            reason,
        }
    }
}

/// Opens a socket file, or returns `None` if it is something else.
fn open_socket(path: &Path) -> rustix::io::Result<Option<OwnedFd>> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(rustix::io::Errno::INVAL);
    };
    // The way to the directory is the host's own, and an operator may keep links on it.
    let directory = rustix::fs::open(
        directory,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let file = rustix::fs::openat2(
        &directory,
        name,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    Ok((kind == FileType::Socket).then_some(file))
}

/// Reads the bridge's line and not a byte more: what follows belongs to the server behind it.
async fn read_answer(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut line = vec![0; 3];
    // The usual answer is `ok` and its newline, and no answer is shorter.
    stream.read_exact(&mut line).await?;
    while !line.ends_with(b"\n") && line.len() < ANSWER_LIMIT {
        line.push(stream.read_u8().await?);
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tokio::net::UnixListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn bridge(socket: PathBuf) -> Bridge {
        Bridge {
            socket,
            peer_uid: rustix::process::geteuid().as_raw(),
            workspace: "abcdefghijk1".into(),
            generation: 4,
            audience: Audience::Gateway,
            key: ConnectKey::from_bytes([1; 32]),
        }
    }

    fn now() -> jiff::Timestamp {
        jiff::Timestamp::from_second(1_800_000_000).unwrap()
    }

    /// Answers one connection with `answer`, whatever it asks.
    fn answering(path: &Path, answer: &'static [u8]) {
        let listener = UnixListener::bind(path).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut preamble = [0; 512];
            let length = stream.read(&mut preamble).await.unwrap();
            assert!(length > 0);
            stream.write_all(answer).await.unwrap();
        });
    }

    async fn outcome(target: Target, answer: &'static [u8]) -> Result<UnixStream, ConnectError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bridge.sock");
        answering(&path, answer);
        bridge(path).connect(target, now(), LIMIT).await
    }

    fn port() -> Target {
        Target::Port(3000.try_into().unwrap())
    }

    #[tokio::test]
    async fn bytes_after_the_answer_are_left_in_the_stream() {
        let mut stream = outcome(Target::Editor, b"ok\nSSH-2.0-x").await.unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "SSH-2.0-x");
    }

    #[tokio::test]
    async fn answers_become_errors() {
        use ConnectError as E;
        let of = outcome;
        assert!(
            matches!(of(port(), b"error refused\n").await, Err(E::Refused { port, listening }) if port.get() == 3000 && listening.is_empty())
        );
        assert!(
            matches!(of(port(), b"error refused 5173,8080\n").await, Err(E::Refused { listening, .. }) if listening.iter().eq([5173, 8080]))
        );
        assert!(matches!(
            of(Target::Editor, b"error not_ready\n").await,
            Err(E::NotReady)
        ));
        assert!(matches!(
            of(port(), b"error denied\n").await,
            Err(E::Denied)
        ));
        assert!(matches!(
            of(port(), b"error expired\n").await,
            Err(E::Expired)
        ));
        assert!(matches!(
            of(port(), b"error wrong_generation\n").await,
            Err(E::WrongGeneration)
        ));
        assert!(matches!(
            of(port(), b"error malformed\n").await,
            Err(E::Protocol { .. })
        ));
        assert!(matches!(
            of(Target::Editor, b"error refused\n").await,
            Err(E::Protocol { .. })
        ));
        assert!(matches!(
            of(port(), b"HTTP/1.1 302 Found\r\n").await,
            Err(E::Protocol { .. })
        ));
        assert!(matches!(
            of(port(), &[b'x'; 4096]).await,
            Err(E::Protocol { .. })
        ));
        assert!(matches!(of(port(), b"").await, Err(E::Unreachable { .. })));
    }

    #[tokio::test]
    async fn link_to_another_socket_is_an_impostor() {
        let directory = tempfile::tempdir().unwrap();
        let engine = directory.path().join("engine.sock");
        let _listener = UnixListener::bind(&engine).unwrap();
        let path = directory.path().join("bridge.sock");
        symlink(&engine, &path).unwrap();
        let outcome = bridge(path.clone())
            .connect(Target::Editor, now(), LIMIT)
            .await;
        assert!(
            matches!(outcome, Err(ConnectError::Impostor { .. })),
            "{outcome:?}"
        );
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "no socket").unwrap();
        let outcome = bridge(path).connect(Target::Editor, now(), LIMIT).await;
        assert!(
            matches!(outcome, Err(ConnectError::Impostor { .. })),
            "{outcome:?}"
        );
    }

    #[tokio::test]
    async fn socket_of_another_user_is_an_impostor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bridge.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut bridge = bridge(path);
        bridge.peer_uid += 1;
        let outcome = bridge.connect(Target::Editor, now(), LIMIT).await;
        assert!(
            matches!(outcome, Err(ConnectError::Impostor { .. })),
            "{outcome:?}"
        );
    }

    #[tokio::test]
    async fn missing_and_dead_sockets_are_unreachable() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bridge.sock");
        let outcome = bridge(path.clone())
            .connect(Target::Editor, now(), LIMIT)
            .await;
        assert!(
            matches!(outcome, Err(ConnectError::Unreachable { .. })),
            "{outcome:?}"
        );
        drop(UnixListener::bind(&path).unwrap());
        let outcome = bridge(path).connect(Target::Editor, now(), LIMIT).await;
        assert!(
            matches!(outcome, Err(ConnectError::Unreachable { .. })),
            "{outcome:?}"
        );
    }

    #[tokio::test]
    async fn silent_bridge_times_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bridge.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let outcome = bridge(path)
            .connect(Target::Editor, now(), Duration::from_millis(50))
            .await;
        assert!(matches!(outcome, Err(ConnectError::Timeout)), "{outcome:?}");
    }
}
