//! Looks at the container engine and the packet filter without changing anything, for `kalpana doctor`.

use std::io;
use std::path::{Path, PathBuf};

use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::net::UnixStream;

/// What an engine that answers says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineFacts {
    /// Its version.
    pub version: String,
    /// `1` or `2`.
    pub cgroup_version: Option<String>,
    /// What keeps images and containers: `overlay2`, say.
    pub storage_driver: Option<String>,
    /// Where it keeps everything.
    pub root_dir: Option<PathBuf>,
    /// The names of the runtimes that it knows.
    pub runtimes: Vec<String>,
    /// Whether the workspace image is there.
    pub has_image: bool,
}

/// Why an engine says nothing.
#[derive(Debug, thiserror::Error)]
pub enum EngineSilence {
    /// Nobody can be connected to.
    #[error("{socket} cannot be connected to")]
    Unreachable {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody answers, and not as an engine does.
    #[error("what answers at {socket} is no engine that we understand")]
    Unreadable {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// How the host's packet filter is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PacketFilter {
    /// Our table is there, and whole.
    InForce,
    /// There is no table of ours.
    Absent,
    /// There is one that lacks something, or holds what we would not put there.
    NotWhole,
    /// There is no `nft` to ask.
    NoTool,
    /// This process may not ask.
    Forbidden,
    /// The answer could not be had or understood: why.
    Unreadable(String),
}

/// Examines the packet filter of this host.
pub async fn examine_packet_filter() -> PacketFilter {
    crate::firewall::examine().await
}

/// Examines the engine behind `socket`. May take `limit_seconds` for each question.
///
/// # Errors
/// [`EngineSilence`] when it does not answer.
pub async fn examine(
    socket: &Path,
    image: &str,
    limit_seconds: u64,
) -> Result<EngineFacts, EngineSilence> {
    if let Err(source) = UnixStream::connect(socket).await {
        let socket = socket.to_owned();
        return Err(EngineSilence::Unreachable { socket, source });
    }
    let unreadable = |error: bollard::errors::Error| EngineSilence::Unreadable {
        socket: socket.to_owned(),
        source: error.into(),
    };
    let path = socket.to_string_lossy();
    let client =
        Docker::connect_with_unix(&path, limit_seconds, API_DEFAULT_VERSION).map_err(unreadable)?;
    let client = client.negotiate_version().await.map_err(unreadable)?;
    let info = client.info().await.map_err(unreadable)?;
    let has_image = match client.inspect_image(image).await {
        Ok(_) => true,
        Err(bollard::errors::Error::DockerResponseServerError {
            status_code: 404, ..
        }) => false,
        Err(error) => return Err(unreadable(error)),
    };
    Ok(EngineFacts {
        version: info.server_version.unwrap_or_default(),
        cgroup_version: info.cgroup_version.map(|version| version.to_string()),
        storage_driver: info.driver,
        root_dir: info.docker_root_dir.map(PathBuf::from),
        runtimes: info.runtimes.unwrap_or_default().into_keys().collect(),
        has_image,
    })
}
