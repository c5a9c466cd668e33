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
        let histories = Self { root };
        histories.make_directory()?;
        Ok(histories)
    }

    fn make_directory(&self) -> HistoryResult<()> {
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.root);
        made.map_err(|source| HistoryError {
            path: self.root.clone(),
            source,
        })
    }

    /// Adds a minute to the history of a workspace.
    ///
    /// # Errors
    /// [`HistoryError`] when the system refuses.
    pub(crate) fn append(&self, workspace: WorkspaceId, record: &Record) -> HistoryResult<()> {
        // Whoever removed the directory wanted its histories gone, not that there are none ever again.
        self.make_directory()?;
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
        let whole = self.path(workspace);
        // One that was being made when the process ended.
        let part = ring::part_of(&whole);
        for path in [part, whole] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(|source| HistoryError { path, source })?,
            }
        }
        Ok(())
    }

    /// Lists the workspaces that have a history, or one that was begun.
    ///
    /// # Errors
    /// [`HistoryError`] when the system refuses.
    pub(crate) fn workspaces(&self) -> HistoryResult<Vec<WorkspaceId>> {
        let refused = |source| HistoryError {
            path: self.root.clone(),
            source,
        };
        let mut found = Vec::new();
        let entries = match std::fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            entries => entries.map_err(refused)?,
        };
        for entry in entries {
            let name = entry.map_err(refused)?.file_name();
            let stem = name.to_str().and_then(|name| name.rsplit_once('.'));
            let id =
                stem.filter(|(_, extension)| [EXTENSION, ring::PART_EXTENSION].contains(extension));
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
        let part = ring::part_of(&histories.path(ids[0]));
        std::fs::write(&part, "begun").unwrap();
        assert!(histories.workspaces().unwrap().contains(&ids[0]));
        histories.remove(ids[0]).unwrap();
        assert!(!part.exists());
        std::fs::remove_dir_all(directory.path().join("a")).unwrap();
        assert_eq!(histories.workspaces().unwrap(), []);
        histories.append(ids[0], &record(1_800_000_000, 1)).unwrap();
        assert_eq!(histories.workspaces().unwrap(), [ids[0]]);
    }
}
