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

/// Which site made a container that carries files. It bears no [`INSTANCE`], so that nobody takes it
/// for a workspace's own.
pub(crate) const PORTER: &str = "kalpana.porter";

/// Whose files such a container carries. Not [`WORKSPACE`], by which people find what runs in one.
pub(crate) const PORTER_OF: &str = "kalpana.porter.workspace";

/// Which process made such a container.
pub(crate) const PORTER_PROCESS: &str = "kalpana.porter.process";

/// By which list of files the image vouches for what its editor serves. An image has it, and the
/// engine shows it on the image's containers.
pub(crate) const ASSETS: &str = "kalpana.assets";

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

/// Reads the hash of an image's list of files off labels. `None` when there is none that can be.
pub(crate) fn assets(labels: &HashMap<String, String>) -> Option<String> {
    let hash = labels.get(ASSETS)?;
    let is_hash = hash.len() == 64
        && hash
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_hash.then(|| hash.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_hash_vouches_for_files() {
        let read = |text: &str| assets(&HashMap::from([(ASSETS.to_owned(), text.to_owned())]));
        let hash = "0a".repeat(32);
        assert_eq!(read(&hash), Some(hash.clone()));
        for other in ["", "0a", &hash.to_uppercase(), &"0g".repeat(32)] {
            assert_eq!(read(other), None, "{other:?}");
        }
        assert_eq!(assets(&HashMap::new()), None);
    }
}
