//! The route feed: what the orchestrator tells the gateway of each workspace.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::feed::Line;
use crate::orchestrator::PhaseName;

/// A line of the route feed.
pub type RouteLine = Line<Vec<Route>, RouteChange>;

/// A change to the route table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RouteChange {
    /// This route is new or has become this.
    Upsert {
        /// The route.
        route: Route,
    },
    /// This workspace is gone.
    Remove {
        /// Its id.
        workspace: String,
    },
}

/// Who may reach a workspace, and where it listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The workspace's id.
    pub workspace: String,
    /// The user id of its owner.
    pub owner: String,
    /// The incarnation that sessions must be made for.
    pub generation: u64,
    /// Where requests go, or why they cannot.
    pub target: Target,
}

/// Where a workspace is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Target {
    /// It runs.
    Running {
        /// Absolute path of the bridge's socket.
        socket: String,
        /// The uid that must be listening there, the container root's as the host sees it.
        peer_uid: u32,
        /// The gateway's key for the preamble.
        key: ConnectKey,
        /// SHA-256, in lower-case hexadecimal, of the list of files by which the workspace's image
        /// vouches for what its editor serves to browsers. `None` when it has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        assets: Option<String>,
    },
    /// It is being started.
    Starting {
        /// How far that is, once something has been done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<Step>,
    },
    /// It is being stopped.
    Stopping,
    /// It has no container.
    Stopped,
    /// Its last start or run ended badly.
    Failed {
        /// The sentence for people.
        message: String,
    },
    /// Its container is frozen, and goes on where it was once it is woken.
    Paused {
        /// Whether a visit leaves it asleep.
        #[serde(default)]
        stays_asleep: bool,
    },
}

/// How far a start is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The phase under way; those before it are done.
    pub phase: PhaseName,
    /// What the workspace says it is doing, in words of its own. At most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A key that opens connections to one generation of one workspace. Never shown in logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnectKey(pub String);

impl fmt::Debug for ConnectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ConnectKey(…)")
    }
}
