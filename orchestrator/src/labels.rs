//! The labels by which we find what is ours again, and by which we know what is not.

use std::collections::HashMap;

use kalpana_domain::id::{Generation, WorkspaceId};

/// Which site made it.
pub(crate) const INSTANCE: &str = "kalpana.instance";
/// For which workspace.
pub(crate) const WORKSPACE: &str = "kalpana.workspace";
/// For which start of it.
pub(crate) const GENERATION: &str = "kalpana.generation";
/// From which definition.
pub(crate) const SPEC_HASH: &str = "kalpana.spec-hash";

/// Returns the labels of everything that belongs to a workspace.
pub(crate) fn of(instance: &str, workspace: WorkspaceId) -> HashMap<String, String> {
    HashMap::from([
        (INSTANCE.to_owned(), instance.to_owned()),
        (WORKSPACE.to_owned(), workspace.to_string()),
    ])
}

/// Reads the workspace off labels. `None` when there is none, or not one of ours.
pub(crate) fn workspace(labels: &HashMap<String, String>) -> Option<WorkspaceId> {
    WorkspaceId::parse(labels.get(WORKSPACE)?).ok()
}

/// Reads the generation off labels.
pub(crate) fn generation(labels: &HashMap<String, String>) -> Option<Generation> {
    labels.get(GENERATION)?.parse().ok().map(Generation)
}
