//! The directory of histories: a file for each workspace.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use kalpana_domain::Timestamp;
use kalpana_domain::id::WorkspaceId;

use super::ring::{self, Record};

/// How the name of a history ends.
const EXTENSION: &str = "ring";

/// The directory of histories cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep figures in {}: {source}", path.display())]
pub(crate) struct HistoryError {
    path: PathBuf,
    source: io::Error,
}

type HistoryResult<T> = Result<T, HistoryError>;

/// Keeps histories. All calls are of the file system, and block.
#[derive(Debug, Clone)]
pub(crate) struct Histories {
    root: PathBuf,
}

impl Histories {
    /// Opens the directory `root`, making it if it is not there, for nobody but this user.
    ///
    /// # Errors
    /// [`HistoryError`] when the system refuses.
    pub(crate) fn open(root: PathBuf) -> HistoryResult<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&root);
        match made {
            Ok(()) => Ok(Self { root }),
            Err(source) => Err(HistoryError { path: root, source }),
        }
    }

    /// Adds a minute to the history of a workspace.
    ///
    /// # Errors
    /// [`HistoryError`] when the system refuses.
    pub(crate) fn append(&self, workspace: WorkspaceId, record: &Record) -> HistoryResult<()> {
        let path = self.path(workspace);
        ring::append(&path, workspace, record).map_err(|source| HistoryError { path, source })
    }

    /// Returns the last day of a workspace, oldest minute first.
    ///
    /// # Errors
    /// [`HistoryError`] when the system refuses.
    pub(crate) fn read(
        &self,
        workspace: WorkspaceId,
        now: Timestamp,
    ) -> HistoryResult<Vec<Record>> {
        let path = self.path(workspace);
        ring::read(&path, workspace, now).map_err(|source| HistoryError { path, source })
    }

    /// Removes the history of a workspace. One that is not there is fine.
    ///
    /// # Errors
    /// [`HistoryError`] when the system refuses.
    pub(crate) fn remove(&self, workspace: WorkspaceId) -> HistoryResult<()> {
        let path = self.path(workspace);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|source| HistoryError { path, source }),
        }
    }

    /// Lists the workspaces that have a history.
    ///
    /// # Errors
    /// [`HistoryError`] when the system refuses.
    pub(crate) fn workspaces(&self) -> HistoryResult<Vec<WorkspaceId>> {
        let refused = |source| HistoryError {
            path: self.root.clone(),
            source,
        };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.root).map_err(refused)? {
            let name = entry.map_err(refused)?.file_name();
            let stem = name.to_str().and_then(|name| name.rsplit_once('.'));
            let id = stem.filter(|(_, extension)| *extension == EXTENSION);
            found.extend(id.and_then(|(id, _)| WorkspaceId::parse(id).ok()));
        }
        Ok(found)
    }

    fn path(&self, workspace: WorkspaceId) -> PathBuf {
        self.root.join(format!("{workspace}.{EXTENSION}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::ring::tests::record;

    #[test]
    fn histories_are_kept_apart_listed_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let histories = Histories::open(directory.path().join("a/b")).unwrap();
        let ids = ["abcdefghij01", "zzzzzzzzzz01"].map(|id| WorkspaceId::parse(id).unwrap());
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        std::fs::write(directory.path().join("a/b/notes.txt"), "").unwrap();
        for (id, memory) in ids.into_iter().zip([1, 2]) {
            let of_now = record(1_800_000_000, memory);
            histories.append(id, &of_now).unwrap();
            assert_eq!(histories.read(id, now).unwrap(), [of_now]);
        }
        let mut listed = histories.workspaces().unwrap();
        listed.sort();
        assert_eq!(listed, ids);
        histories.remove(ids[0]).unwrap();
        histories.remove(ids[0]).unwrap();
        assert_eq!(histories.workspaces().unwrap(), [ids[1]]);
    }
}
