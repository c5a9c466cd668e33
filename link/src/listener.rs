//! A Unix socket that only allowed users may connect to.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use crate::peer::PeerPolicy;

/// Why a socket could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process answers there.
    #[error("{path} is in use by another process; is Kalpana running already?")]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot listen on {path}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A listening Unix socket with its policy. The file is removed when this is dropped.
#[derive(Debug)]
pub struct Listener {
    inner: UnixListener,
    path: PathBuf,
    policy: PeerPolicy,
}

impl Listener {
    /// Binds `path` with `mode`, replacing a socket that a dead process left.
    ///
    /// Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// [`BindError::InUse`] when a living process answers there, else [`BindError::Io`].
    pub fn bind(path: &Path, mode: u32, policy: PeerPolicy) -> Result<Self, BindError> {
        let failed = |source| BindError::Io {
            path: path.to_owned(),
            source,
        };
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(BindError::InUse {
                path: path.to_owned(),
            });
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let inner = UnixListener::bind(path).map_err(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
        Ok(Self {
            inner,
            path: path.to_owned(),
            policy,
        })
    }

    /// Waits for the next allowed peer. Others are hung up on, and counted in the log.
    ///
    /// # Errors
    /// The system's, when accepting itself fails.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.inner.accept().await?;
            let uid = stream.peer_cred()?.uid();
            if self.policy.admits(uid) {
                return Ok(stream);
            }
            tracing::warn!(
                peer.uid = uid,
                socket = %self.path.display(),
                "refused user {uid} on the internal socket {}",
                self.path.display()
            );
        }
    }

    /// Returns the policy that requests are checked by.
    pub fn policy(&self) -> &PeerPolicy {
        &self.policy
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A successor that already replaced the file is left alone: it would have been refused
        // while we listened, so the file is ours.
        let _ = std::fs::remove_file(&self.path);
    }
}
