//! Where a workspace's files live: two named volumes that outlive every container.
//!
//! They are labelled when they are made, so that [`crate::trash`], which removes them, finds them after
//! the workspace is gone.

use std::collections::HashMap;

use kalpana_domain::id::WorkspaceId;

use crate::labels;

/// Where the workspace's files are inside.
pub(crate) const WORKSPACE_TARGET: &str = "/workspace";
/// Where the user's home is inside.
pub(crate) const HOME_TARGET: &str = "/home/dev";

/// A volume to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VolumeDefinition {
    /// Its name.
    pub(crate) name: String,
    /// Its labels.
    pub(crate) labels: HashMap<String, String>,
}

/// Returns the name of the volume behind `/workspace`.
pub(crate) fn workspace_volume(workspace: WorkspaceId) -> String {
    format!("kal-{workspace}-workspace")
}

/// Returns the name of the volume behind the user's home.
pub(crate) fn home_volume(workspace: WorkspaceId) -> String {
    format!("kal-{workspace}-home")
}

/// Returns the names of both volumes of a workspace.
pub(crate) fn names(workspace: WorkspaceId) -> [String; 2] {
    [workspace_volume(workspace), home_volume(workspace)]
}

/// Returns both volumes of a workspace.
pub(crate) fn definitions(instance: &str, workspace: WorkspaceId) -> [VolumeDefinition; 2] {
    names(workspace).map(|name| VolumeDefinition {
        name,
        labels: labels::of(instance, workspace),
    })
}
