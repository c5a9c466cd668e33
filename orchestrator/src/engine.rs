//! What we need from a container runtime, and nothing more.
//!
//! There is no way here to remove a volume, to copy files into or out of a container, or to run
//! something in one: what the trait does not have cannot be done by mistake. Volumes are removed by
//! [`crate::trash`] alone, through a trait of its own.

pub(crate) mod docker;
#[cfg(test)]
pub(crate) mod fake;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::{HostConfig, MountPoint};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use kalpana_domain::Timestamp;
use kalpana_domain::id::{Generation, WorkspaceId};

use crate::container::ContainerDefinition;
use crate::network::{NetworkDefinition, Subnet};
use crate::volume::VolumeDefinition;

/// Result of an engine call.
pub(crate) type EngineResult<T> = Result<T, EngineError>;

/// A container runtime. Every call has a deadline of its own.
#[async_trait]
pub(crate) trait Engine: fmt::Debug + Send + Sync {
    /// Returns what the engine is and can do. Serves as the probe of whether it answers.
    async fn capabilities(&self) -> EngineResult<Capabilities>;

    /// Tells whether an image is on the host.
    async fn has_image(&self, image: &str) -> EngineResult<bool>;

    /// Lists every network of the engine, ours or not: subnets must not overlap with any.
    async fn networks(&self) -> EngineResult<Vec<NetworkSeen>>;

    /// Makes a network.
    async fn create_network(&self, definition: &NetworkDefinition) -> EngineResult<()>;

    /// Removes a network. One that is not there is fine.
    async fn remove_network(&self, id: &str) -> EngineResult<()>;

    /// Makes a volume. One that is there stays as it is.
    async fn create_volume(&self, definition: &VolumeDefinition) -> EngineResult<()>;

    /// Lists the containers of this instance: of one workspace, or all.
    async fn containers(&self, of: Option<WorkspaceId>) -> EngineResult<Vec<ContainerSeen>>;

    /// Makes a container.
    async fn create_container(&self, definition: &ContainerDefinition) -> EngineResult<()>;

    /// Returns how a container is really set up.
    async fn inspect_container(&self, id: &str) -> EngineResult<Inspection>;

    /// Starts a container. One that runs is fine.
    async fn start_container(&self, id: &str) -> EngineResult<()>;

    /// Freezes every process of a container. One that is frozen is fine.
    async fn pause_container(&self, id: &str) -> EngineResult<()>;

    /// Lets the processes of a frozen container go on. One that is not frozen is fine.
    async fn unpause_container(&self, id: &str) -> EngineResult<()>;

    /// Asks a container to end and ends it after `grace`. One that does not run is fine.
    async fn stop_container(&self, id: &str, grace: Duration) -> EngineResult<()>;

    /// Removes a container, running or not, never its volumes. One that is not there is fine.
    async fn remove_container(&self, id: &str) -> EngineResult<()>;

    /// Returns what a container wrote: the last `tail` lines, and what follows if `follow`.
    fn logs(&self, id: &str, tail: usize, follow: bool) -> BoxStream<'static, EngineResult<Bytes>>;

    /// Returns what happens to our containers from now on.
    fn events(&self) -> BoxStream<'static, EngineResult<EngineEvent>>;
}

/// What an engine is and can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// Its version, for people.
    pub(crate) version: String,
    /// CPUs of the host: limits above are refused by the engine.
    pub(crate) cpus: u64,
    /// Whether the kernel limits swap. Where it does not, asking for it is silently dropped.
    pub(crate) limits_swap: bool,
    /// The uid of a container's root as the host sees it.
    pub(crate) root_uid: u32,
}

/// A network of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NetworkSeen {
    /// The engine's id.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// The workspace it was made for, if by us.
    pub(crate) workspace: Option<WorkspaceId>,
    /// Its IPv4 subnets.
    pub(crate) subnets: Vec<Subnet>,
    /// Whether it leads nowhere.
    pub(crate) is_internal: bool,
    /// Whether its members may reach each other.
    pub(crate) is_open_inside: bool,
    /// When it was made; the distant past when the engine does not say.
    pub(crate) created_at: Timestamp,
}

/// A container of this instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContainerSeen {
    /// The engine's id.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// The workspace on its label.
    pub(crate) workspace: Option<WorkspaceId>,
    /// The generation on its label.
    pub(crate) generation: Option<Generation>,
    /// The hash of the definition it was made from.
    pub(crate) spec_hash: Option<String>,
    /// The hash of the list by which its image vouches for the editor's files.
    pub(crate) assets: Option<String>,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// What it does.
    pub(crate) state: ContainerState,
}

/// What a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContainerState {
    /// Made, never started.
    Created,
    /// Runs.
    Running,
    /// Is frozen: its processes are there and do nothing.
    Paused,
    /// Has ended.
    Exited(Death),
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Death {
    /// The exit code of its first process.
    pub(crate) code: i64,
    /// Whether the kernel ended it for using too much memory.
    pub(crate) is_out_of_memory: bool,
}

/// How a container is really set up, to be compared with what was asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Inspection {
    /// Limits, privileges and namespaces.
    pub(crate) host: HostConfig,
    /// What is mounted, tmpfs apart.
    pub(crate) mounts: Vec<MountPoint>,
    /// The user of its first process.
    pub(crate) user: String,
    /// The networks it is in.
    pub(crate) networks: Vec<String>,
    /// Its first process as the engine's host numbers it, while it runs.
    pub(crate) pid: Option<u32>,
}

/// Something happened to a container or network of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EngineEvent {
    /// The workspace on its label, if it is legible.
    pub(crate) workspace: Option<WorkspaceId>,
}

/// The calls of an engine, for messages and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Info,
    InspectImage,
    ListNetworks,
    CreateNetwork,
    RemoveNetwork,
    CreateVolume,
    ListVolumes,
    RemoveVolume,
    ListContainers,
    CreateContainer,
    InspectContainer,
    StartContainer,
    PauseContainer,
    UnpauseContainer,
    StopContainer,
    RemoveContainer,
    Pack,
    Unpack,
    Logs,
    Events,
}

impl Call {
    /// Returns the call's name in metrics and logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::InspectImage => "inspect_image",
            Self::ListNetworks => "list_networks",
            Self::CreateNetwork => "create_network",
            Self::RemoveNetwork => "remove_network",
            Self::CreateVolume => "create_volume",
            Self::ListVolumes => "list_volumes",
            Self::RemoveVolume => "remove_volume",
            Self::ListContainers => "list_containers",
            Self::CreateContainer => "create_container",
            Self::InspectContainer => "inspect_container",
            Self::StartContainer => "start_container",
            Self::PauseContainer => "pause_container",
            Self::UnpauseContainer => "unpause_container",
            Self::StopContainer => "stop_container",
            Self::RemoveContainer => "remove_container",
            Self::Pack => "pack",
            Self::Unpack => "unpack",
            Self::Logs => "logs",
            Self::Events => "events",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.as_str().replace('_', " "))
    }
}

/// Why an engine call gave no result. It may have had its effect all the same.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// Nobody answers.
    #[error("the container engine does not answer at {}", socket.display())]
    Unavailable {
        /// The engine's socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It took too long.
    #[error("the container engine did not {call} within {} s", limit.as_secs())]
    TimedOut {
        /// The call.
        call: Call,
        /// The deadline it missed.
        limit: Duration,
    },
    /// The image is not on the host.
    #[error("the image {image:?} is not on the host")]
    ImageMissing {
        /// The image.
        image: String,
    },
    /// A name or address is in use, or something is not in the state the call needs.
    #[error("the container engine could not {call}: {message}")]
    Conflict {
        /// The call.
        call: Call,
        /// What the engine said.
        message: String,
    },
    /// What the call is about is not there.
    #[error("the container engine could not {call}, it is not there: {message}")]
    NotFound {
        /// The call.
        call: Call,
        /// What the engine said.
        message: String,
    },
    /// The engine refused.
    #[error("the container engine refused to {call} with status {status}: {message}")]
    Refused {
        /// The call.
        call: Call,
        /// The HTTP status.
        status: u16,
        /// What the engine said.
        message: String,
    },
    /// The engine's answer is not what it should be.
    #[error("the container engine's answer to {call} is unreadable")]
    Unreadable {
        /// The call.
        call: Call,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The definition asks for what no workspace may have, so the engine was not asked.
    #[error("the container definition was refused before it reached the engine")]
    Forbidden(#[from] crate::container::ForbiddenDefinition),
}

impl EngineError {
    /// Tells whether the engine as a whole is away, rather than this call refused.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::TimedOut { .. })
    }

    /// Returns the error's kind, as it stands in metrics.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::TimedOut { .. } => "timeout",
            Self::ImageMissing { .. } => "image_missing",
            Self::Conflict { .. } => "conflict",
            Self::NotFound { .. } => "not_found",
            Self::Refused { .. } | Self::Forbidden(_) => "refused",
            Self::Unreadable { .. } => "unreadable",
        }
    }
}
