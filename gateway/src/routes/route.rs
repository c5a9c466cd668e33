//! One route, small: a gateway holds as many as there are workspaces.

use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use kalpana_bridge_client::Bridge;
use kalpana_config::Site;
use kalpana_domain::address::Surface;
use kalpana_domain::id::{Generation, UserId, WorkspaceId};
use kalpana_protocol::preamble::{Audience, ConnectKey, Target as BridgeTarget};
use kalpana_protocol::routes::{Route as WireRoute, Step, Target as WireTarget};
use serde::{Deserialize, Serialize};

use crate::assets::manifest::Digest;

/// Who may reach a workspace, and where it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Route {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its owner, who alone may reach what they do not share.
    pub owner: UserId,
    /// The incarnation that sessions must be made for.
    pub generation: Generation,
    /// Where requests go, or why they cannot.
    pub target: Target,
    /// The list by which its image vouches for the editor's files.
    pub assets: Option<Digest>,
}

/// Where a workspace is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Target {
    /// Behind a bridge.
    Running(Peer),
    /// It is being started.
    Starting {
        /// How far that is.
        step: Option<Box<Step>>,
    },
    /// It is being stopped.
    Stopping,
    /// It has no container.
    Stopped,
    /// Its last start or run ended badly.
    Failed {
        /// The sentence for people.
        message: Box<str>,
    },
    /// It is frozen until somebody wakes it.
    Paused {
        /// Whether a visit leaves it asleep.
        stays_asleep: bool,
    },
}

/// What a running workspace's bridge is told by and recognised by.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Peer {
    /// Where it listens, when that is not where this site's bridges do.
    elsewhere: Option<Box<Path>>,
    /// Whose the socket must be.
    uid: u32,
    /// What opens connections to it.
    key: ConnectKey,
}

/// A route of the feed made no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the route has an unusable {field}")]
pub struct InvalidRoute {
    field: &'static str,
}

impl Route {
    /// Tells whether there is something to reach.
    pub fn runs(&self) -> bool {
        matches!(self.target, Target::Running(_))
    }

    /// Returns where the bridge of a running workspace of this site listens.
    pub fn socket(&self, site: &Site) -> Option<PathBuf> {
        match &self.target {
            Target::Running(peer) => Some(match &peer.elsewhere {
                Some(path) => path.to_path_buf(),
                None => site.bridge_socket(self.workspace.as_str()),
            }),
            _ => None,
        }
    }

    /// Returns the bridge of a running workspace of this site.
    pub fn bridge(&self, site: &Site) -> Option<Bridge> {
        let Target::Running(peer) = &self.target else {
            return None;
        };
        Some(Bridge {
            socket: self.socket(site)?,
            peer_uid: peer.uid,
            workspace: self.workspace.to_string(),
            generation: self.generation.0,
            audience: Audience::Gateway,
            key: peer.key.clone(),
        })
    }

    /// Reads a route of the feed.
    ///
    /// # Errors
    /// [`InvalidRoute`] names the first field that makes no sense.
    pub fn read(wire: WireRoute, site: &Site) -> Result<Self, InvalidRoute> {
        let invalid = |field| InvalidRoute { field };
        let workspace = WorkspaceId::parse(&wire.workspace).map_err(|_| invalid("workspace id"))?;
        let assets = match &wire.target {
            WireTarget::Running { assets, .. } => assets.as_deref().and_then(Digest::parse),
            _ => None,
        };
        let target = match wire.target {
            WireTarget::Running {
                socket,
                peer_uid,
                key,
                assets: _,
            } => {
                let is_usual = site.bridge_socket(&wire.workspace).as_os_str() == &*socket;
                Target::Running(Peer {
                    elsewhere: (!is_usual).then(|| PathBuf::from(socket).into()),
                    uid: peer_uid,
                    key: ConnectKey::parse(&key.0).map_err(|_| invalid("key"))?,
                })
            }
            WireTarget::Starting { step } => Target::Starting {
                step: step.map(Box::new),
            },
            WireTarget::Stopping => Target::Stopping,
            WireTarget::Stopped => Target::Stopped,
            WireTarget::Failed { message } => Target::Failed {
                message: message.into(),
            },
            WireTarget::Paused { stays_asleep } => Target::Paused { stays_asleep },
        };
        Ok(Self {
            workspace,
            owner: UserId::parse(&wire.owner).map_err(|_| invalid("owner"))?,
            generation: Generation(wire.generation),
            target,
            assets,
        })
    }
}

#[cfg(test)]
impl Peer {
    /// One that nothing is behind.
    pub(crate) fn nowhere() -> Self {
        Self {
            elsewhere: None,
            uid: 0,
            key: ConnectKey::from_bytes([0; 32]),
        }
    }
}

/// Returns what to ask the bridge for, to reach a surface.
pub fn bridge_target(surface: Surface) -> BridgeTarget {
    match surface {
        Surface::Editor => BridgeTarget::Editor,
        Surface::Port(port) => BridgeTarget::Port(NonZeroU16::new(port).unwrap_or(NonZeroU16::MAX)),
    }
}
