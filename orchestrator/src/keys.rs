//! The keys that open bridges, derived from one secret of this host.
//!
//! Nothing but the node key is stored: a key for a generation is made when it is needed and means
//! nothing once the generation has passed.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use hkdf::Hkdf;
use kalpana_domain::id::{Generation, WorkspaceId};
use kalpana_protocol::launch::ConnectKeys;
use kalpana_protocol::preamble::{Audience, ConnectKey, key_info};
use sha2::Sha256;

/// The key's file in the orchestrator's directory.
const FILE_NAME: &str = "node.key";

const LENGTH: usize = 32;

/// The secret from which every bridge key of this host is derived.
pub(crate) struct NodeKey([u8; LENGTH]);

/// The node key could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum NodeKeyError {
    /// The system refused.
    #[error("cannot read or write {}; check its owner and permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not a key.
    #[error(
        "{} is not a key of {LENGTH} bytes; restore it, or remove it and restart every workspace",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl NodeKey {
    /// Reads the key from `directory`, making both if they are not there.
    ///
    /// # Errors
    /// [`NodeKeyError`] when the system refuses, or the file is not a key.
    pub(crate) fn load_or_create(directory: &Path) -> Result<Self, NodeKeyError> {
        let path = directory.join(FILE_NAME);
        let io = |source| NodeKeyError::Io {
            path: path.clone(),
            source,
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(io)?;
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(directory, &path).map_err(io)?;
            }
            Err(error) => return Err(io(error)),
            Ok(_) => {}
        }
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(io)?;
        file.take(LENGTH as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(io)?;
        match <[u8; LENGTH]>::try_from(bytes) {
            Ok(key) => Ok(Self(key)),
            Err(_) => Err(NodeKeyError::Damaged { path }),
        }
    }

    /// Returns the key by which `audience` dials one generation of one workspace.
    pub(crate) fn connect_key(
        &self,
        workspace: WorkspaceId,
        generation: Generation,
        audience: Audience,
    ) -> ConnectKey {
        let mut key = [0; LENGTH];
        let info = key_info(workspace.as_str(), generation.0, audience);
        Hkdf::<Sha256>::new(None, &self.0)
            .expand(info.as_bytes(), &mut key)
            .expect("HKDF-SHA256 gives up to 8160 bytes");
        ConnectKey::from_bytes(key)
    }

    /// Returns the keys of every audience.
    pub(crate) fn connect_keys(
        &self,
        workspace: WorkspaceId,
        generation: Generation,
    ) -> ConnectKeys {
        let key = |audience| self.connect_key(workspace, generation, audience);
        ConnectKeys {
            gateway: key(Audience::Gateway),
            orchestrator: key(Audience::Orchestrator),
        }
    }

    #[cfg(test)]
    pub(crate) fn from_bytes(bytes: [u8; LENGTH]) -> Self {
        Self(bytes)
    }
}

/// Writes a fresh key so that the file is either absent or whole.
fn create(directory: &Path, path: &Path) -> io::Result<()> {
    let unfinished = directory.join(format!("{FILE_NAME}.{:08x}", rand::random::<u32>()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    let key: [u8; LENGTH] = rand::random();
    let written = file.write_all(&key).and_then(|()| file.sync_all());
    // A link never replaces: had another process been faster, its key would stay.
    let linked = written.and_then(|()| match std::fs::hard_link(&unfinished, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    std::fs::remove_file(&unfinished)?;
    linked?;
    File::open(directory)?.sync_all()
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("NodeKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn id(text: &str) -> WorkspaceId {
        WorkspaceId::parse(text).unwrap()
    }

    #[test]
    fn the_key_is_made_once_and_only_its_owner_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("orchestrator");
        let first = NodeKey::load_or_create(&directory).unwrap();
        let second = NodeKey::load_or_create(&directory).unwrap();
        assert_eq!(first.0, second.0);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory.join(FILE_NAME)), 0o600);
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(
            std::fs::read_dir(&directory).unwrap().count(),
            1,
            "nothing is left over"
        );
    }

    #[test]
    fn a_damaged_key_is_refused_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        for damaged in [&b"short"[..], &[0; 33]] {
            let path = directory.path().join(FILE_NAME);
            std::fs::write(&path, damaged).unwrap();
            let error = NodeKey::load_or_create(directory.path()).unwrap_err();
            assert!(matches!(error, NodeKeyError::Damaged { .. }));
            assert_eq!(std::fs::read(&path).unwrap(), damaged);
        }
    }

    #[test]
    fn keys_differ_by_workspace_generation_and_audience() {
        let node = NodeKey::from_bytes([7; 32]);
        let key = |workspace: &str, generation, audience| {
            node.connect_key(id(workspace), Generation(generation), audience)
                .expose()
        };
        let keys = [
            key("abcdefghij01", 1, Audience::Gateway),
            key("abcdefghij01", 1, Audience::Orchestrator),
            key("abcdefghij01", 2, Audience::Gateway),
            key("abcdefghij02", 1, Audience::Gateway),
        ];
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
        assert_eq!(keys[0], key("abcdefghij01", 1, Audience::Gateway));
    }
}
