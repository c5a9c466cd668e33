//! What a container is, as its bridge sees it.

use serde::{Deserialize, Serialize};

/// The answer to `env/info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentInfo {
    /// The bridge's own version.
    pub bridge_version: String,
    /// The workspace's id.
    pub workspace: String,
    /// The generation that runs.
    pub generation: u64,
    /// The folder the editor opens.
    pub folder: String,
    /// The workspace's user.
    pub user: UserInfo,
    /// The operating system of the image.
    pub system: SystemInfo,
}

/// The user that everything but the bridge runs as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserInfo {
    /// The name in the image's `/etc/passwd`.
    pub name: String,
    /// The numeric id.
    pub uid: u32,
    /// The numeric group.
    pub gid: u32,
    /// The home directory.
    pub home: String,
    /// The login shell.
    pub shell: String,
}

/// The operating system of the image and the kernel below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemInfo {
    /// `ID` of `/etc/os-release`, such as `debian`.
    pub id: String,
    /// `PRETTY_NAME` of `/etc/os-release`.
    pub name: String,
    /// The kernel's release.
    pub kernel: String,
    /// The machine's architecture, such as `x86_64`.
    pub architecture: String,
}
