//! A workspace: what was asked for, and what is known of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::id::{Generation, OrganizationId, UserId, WorkspaceId};
use crate::lifecycle::Lifecycle;
use crate::repository::{BranchName, RepositoryUrl};
use crate::sleep::SleepPolicy;
use crate::snapshot::SnapshotRef;

/// The name a person gave a workspace. Never part of a host name, a path or a container name.
///
/// 1 to 64 characters: ASCII letters, digits, space, `-`, `_` and `.`; a letter or digit first and
/// last.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkspaceName(String);

/// A text was not a workspace name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a workspace name has 1 to 64 characters: letters, digits, space, '-', '_' and '.', with a letter or digit first and last"
)]
pub struct InvalidWorkspaceName;

impl WorkspaceName {
    /// Longest name, in characters.
    pub const LIMIT: usize = 64;

    /// Reads a name.
    ///
    /// # Errors
    /// [`InvalidWorkspaceName`] for any text outside the rule of the type.
    pub fn parse(text: &str) -> Result<Self, InvalidWorkspaceName> {
        let is_edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        let is_legal = text.len() <= Self::LIMIT
            && is_edge(text.bytes().next())
            && is_edge(text.bytes().last())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b" -_.".contains(&byte));
        if is_legal {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidWorkspaceName)
        }
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for WorkspaceName {
    type Error = InvalidWorkspaceName;
    fn try_from(text: String) -> Result<Self, InvalidWorkspaceName> {
        Self::parse(&text)
    }
}

impl From<WorkspaceName> for String {
    fn from(name: WorkspaceName) -> Self {
        name.0
    }
}

impl fmt::Display for WorkspaceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How much of the machine a workspace may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// 1 CPU, 2 GiB: one editor tab or two, small projects.
    Small,
    /// 2 CPUs, 4 GiB.
    Medium,
    /// 4 CPUs, 8 GiB.
    Large,
}

/// The limits that a [`Size`] stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// CPU time per wall-clock time, in thousandths of one CPU.
    pub cpu_millis: u64,
    /// Memory including what swap would add, in bytes.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub pids: u64,
}

impl Size {
    /// Every size, smallest first.
    pub const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Large];

    /// Returns the size's limits.
    ///
    /// Source of the smallest: an editor with two tabs, their extension hosts and a terminal was
    /// measured at 0.5 to 1.3 GiB and 80 to 190 processes.
    pub fn resources(self) -> Resources {
        let scale = match self {
            Self::Small => 1,
            Self::Medium => 2,
            Self::Large => 4,
        };
        Resources {
            cpu_millis: 1000 * scale,
            memory_bytes: (2 << 30) * scale,
            pids: 1024,
        }
    }

    /// Returns the size's name as it stands in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }
}

/// A text named no known choice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what}, expected one of {expected}")]
pub struct UnknownChoice {
    /// What was being chosen.
    pub what: &'static str,
    /// The choices, separated by commas.
    pub expected: &'static str,
}

impl FromStr for Size {
    type Err = UnknownChoice;
    fn from_str(text: &str) -> Result<Self, UnknownChoice> {
        Self::ALL
            .into_iter()
            .find(|size| size.as_str() == text)
            .ok_or(UnknownChoice {
                what: "size",
                expected: "small, medium, large",
            })
    }
}

/// What a workspace's programs may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Egress {
    /// Everything the host's firewall lets through.
    Open,
    /// Nothing beyond the workspace's own network.
    None,
}

impl Egress {
    /// Returns the name as it stands in the API and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::None => "none",
        }
    }
}

impl FromStr for Egress {
    type Err = UnknownChoice;
    fn from_str(text: &str) -> Result<Self, UnknownChoice> {
        match text {
            "open" => Ok(Self::Open),
            "none" => Ok(Self::None),
            _ => Err(UnknownChoice {
                what: "egress",
                expected: "open, none",
            }),
        }
    }
}

/// What a person asked for when they made the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The name shown to people.
    pub name: WorkspaceName,
    /// The repository cloned into it on first start, if any.
    pub repository: Option<RepositoryUrl>,
    /// The branch checked out; the remote's default when absent.
    pub branch: Option<BranchName>,
    /// CPU, memory and process limits.
    pub size: Size,
    /// What its programs may reach.
    pub egress: Egress,
}

/// What the user wants of the workspace now. The orchestrator brings the world to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// A container with an editor that answers.
    Running,
    /// No container.
    Stopped,
    /// Nothing but the volumes, from which it can be restored.
    Deleted,
    /// Nothing, for good.
    Purged,
}

impl Desired {
    /// Returns the name kept in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Deleted => "deleted",
            Self::Purged => "purged",
        }
    }
}

impl FromStr for Desired {
    type Err = UnknownChoice;
    fn from_str(text: &str) -> Result<Self, UnknownChoice> {
        [Self::Running, Self::Stopped, Self::Deleted, Self::Purged]
            .into_iter()
            .find(|desired| desired.as_str() == text)
            .ok_or(UnknownChoice {
                what: "desired state",
                expected: "running, stopped, deleted, purged",
            })
    }
}

/// A workspace as the store remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// Its name in URLs and on the host.
    pub id: WorkspaceId,
    /// The organisation it counts towards.
    pub organization: OrganizationId,
    /// Who made it, and who alone may connect to it.
    pub owner: UserId,
    /// What was asked for.
    pub spec: Spec,
    /// How it sleeps.
    #[serde(default)]
    pub sleep: SleepPolicy,
    /// The snapshot that its volumes are to be filled from before it starts, in place of all that is
    /// in them. `None` once they are: nothing empties a volume otherwise.
    #[serde(default)]
    pub filled_from: Option<SnapshotRef>,
    /// What is wanted now.
    pub desired: Desired,
    /// Where it is.
    pub lifecycle: Lifecycle,
    /// Which incarnation; raised by each start.
    pub generation: Generation,
    /// Raised by each write of the row: a writer that saw an older one is refused.
    pub version: u64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When the row last changed.
    pub updated_at: Timestamp,
}

impl Workspace {
    /// Tells whether it is stopped and its files are in a snapshot alone: they are put in place when
    /// it starts.
    pub fn is_archived(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Stopped) && self.filled_from.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_kept() {
        for name in ["a", "My project", "api-v2.1", "con", "0"] {
            assert_eq!(
                WorkspaceName::parse(name).map(String::from),
                Ok(name.to_owned())
            );
        }
    }

    #[test]
    fn names_that_would_hurt_somewhere_are_refused() {
        let long = "a".repeat(300);
        for name in [
            "",
            "-",
            " a",
            "a ",
            "a\n",
            "a/b",
            "../a",
            "🦀",
            "naïve",
            "a\0",
            long.as_str(),
        ] {
            assert_eq!(
                WorkspaceName::parse(name),
                Err(InvalidWorkspaceName),
                "{name:?}"
            );
        }
    }

    #[test]
    fn choices_read_what_they_write() {
        for size in Size::ALL {
            assert_eq!(size.as_str().parse(), Ok(size));
        }
        assert!("gigantic".parse::<Size>().is_err());
        assert_eq!("none".parse(), Ok(Egress::None));
    }
}
