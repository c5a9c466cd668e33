//! Shared ports, as `web` tells the gateway of them on the session feed.

use serde::{Deserialize, Serialize};

/// Every port that is shared, and how widely ports may be. What is not listed is not shared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SharingState {
    /// The widest level that the site allows; nothing is shared without one.
    #[serde(default)]
    pub maximum: Option<String>,
    /// The ports.
    #[serde(default)]
    pub ports: Vec<SharedPort>,
}

/// Who may visit one port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedPort {
    /// The workspace's id.
    pub workspace: String,
    /// The port.
    pub port: u16,
    /// The level: `members`, `organization`, `link` or `public`. A gateway that does not know it
    /// takes the port for one that is not shared.
    pub level: String,
    /// User ids of the people who are named.
    #[serde(default)]
    pub members: Vec<String>,
    /// When it ends by itself, in milliseconds since the epoch.
    #[serde(default)]
    pub expires_at: Option<i64>,
    /// The one incarnation of the workspace that it holds for; any without one.
    #[serde(default)]
    pub generation: Option<u64>,
    /// The links that have not been revoked.
    #[serde(default)]
    pub links: Vec<SharedLink>,
}

/// A link that has not been revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedLink {
    /// Its id.
    pub id: String,
    /// The beginning of the paths that it opens.
    pub path: String,
    /// When what it opened ends, in milliseconds since the epoch.
    pub expires_at: i64,
}
