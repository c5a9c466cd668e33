//! Where snapshots are kept: a directory for each workspace, and in it two files for each snapshot,
//! its archive and a record of it in JSON.
//!
//! A record is written before its archive is begun, and again when that is whole or has failed, each
//! time in one step. Whatever a process that died left half made is found by its record.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use kalpana_domain::Timestamp;
use kalpana_domain::id::{SnapshotId, UserId, WorkspaceId};
use kalpana_domain::snapshot::{SnapshotKind, SnapshotNote, SnapshotRef};
use kalpana_protocol::orchestrator::SnapshotState;
use serde::{Deserialize, Serialize};

/// What is known of a snapshot, as it stands beside its archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Its id, and the stem of its files' names.
    pub(crate) id: SnapshotId,
    /// The workspace it was taken of.
    pub(crate) workspace: WorkspaceId,
    /// Whose that was.
    pub(crate) owner: UserId,
    /// What that was called.
    pub(crate) name: String,
    /// Why it was taken.
    pub(crate) kind: SnapshotKind,
    /// What a person wrote about it.
    pub(crate) note: SnapshotNote,
    /// How far it is.
    pub(crate) state: SnapshotState,
    /// When it was asked for.
    pub(crate) created_at: Timestamp,
    /// When it was ready, or failed.
    pub(crate) finished_at: Option<Timestamp>,
    /// Bytes of its archive.
    pub(crate) bytes: u64,
    /// Files in it.
    pub(crate) files: u64,
    /// Files that could not be read, and are not in it.
    #[serde(default)]
    pub(crate) skipped: u64,
    /// The SHA-256 of its archive, in hexadecimal digits.
    pub(crate) sha256: String,
    /// Why it failed, in a sentence for people.
    pub(crate) failure: Option<String>,
    /// Of an archive: when its files were put back into the volumes of their workspace. From then on
    /// those are what counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) filled_at: Option<Timestamp>,
}

impl Record {
    /// Notes that whoever was making it has ended.
    fn interrupted(&mut self) {
        let text = "Kalpana ended while the snapshot was taken; take it again.";
        self.state = SnapshotState::Failed;
        self.bytes = 0;
        self.failure = Some(text.to_owned());
    }

    /// Returns how it is named elsewhere.
    pub(crate) fn reference(&self) -> SnapshotRef {
        SnapshotRef {
            workspace: self.workspace,
            snapshot: self.id,
        }
    }
}

/// The directory of snapshots cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep snapshots in {}: {source}", path.display())]
pub(crate) struct ShelfError {
    path: PathBuf,
    source: io::Error,
}

impl ShelfError {
    /// Tells whether nothing more fits on the disk.
    pub(crate) fn is_full(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }
}

type ShelfResult<T> = Result<T, ShelfError>;

/// Keeps snapshots. Clones keep the same.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    root: PathBuf,
    /// Those that this process is making, with the bytes written so far.
    making: Arc<Mutex<HashMap<SnapshotId, Arc<AtomicU64>>>>,
}

impl Shelf {
    /// Opens the directory `root`, making it if it is not there, for nobody but this user.
    ///
    /// # Errors
    /// [`ShelfError`] when the system refuses.
    pub(crate) fn open(root: PathBuf) -> ShelfResult<Self> {
        make_directory(&root)?;
        Ok(Self {
            root,
            making: Arc::default(),
        })
    }

    /// Returns the directory, whose disk is filled.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes the record of a snapshot that is to be made.
    ///
    /// # Errors
    /// [`ShelfError`] when the system refuses.
    pub(crate) fn begin(&self, record: &Record) -> ShelfResult<()> {
        make_directory(&self.directory(record.workspace))?;
        // What is written into it outlives a power cut only if it does.
        let root = File::open(&self.root).and_then(|root| root.sync_all());
        root.map_err(refused(&self.root))?;
        self.lock().insert(record.id, Arc::default());
        let written = self.put(record);
        if written.is_err() {
            self.lock().remove(&record.id);
        }
        written
    }

    /// Returns what counts the bytes of a snapshot that is being made.
    pub(crate) fn counter(&self, of: SnapshotId) -> Arc<AtomicU64> {
        Arc::clone(self.lock().entry(of).or_default())
    }

    /// Writes what became of a snapshot. Of one that failed the archive is removed.
    ///
    /// # Errors
    /// [`ShelfError`] when the system refuses: the next process will find it half made.
    pub(crate) fn finish(&self, record: &Record) -> ShelfResult<()> {
        let removed = match record.state {
            SnapshotState::Failed => remove(&self.archive(record.reference())),
            SnapshotState::Making | SnapshotState::Ready => Ok(()),
        };
        let written = self.put(record);
        // Whatever came of that, nobody is making it any more.
        self.lock().remove(&record.id);
        removed.and(written)
    }

    /// Lists the snapshots of a workspace, newest first. Records that cannot be read are left out, and
    /// said in the log.
    ///
    /// # Errors
    /// [`ShelfError`] when the system refuses.
    pub(crate) fn list(&self, workspace: WorkspaceId) -> ShelfResult<Vec<Record>> {
        let mut found = Vec::new();
        for of in self.references(workspace)? {
            found.extend(self.get(of)?);
        }
        found.sort_by_key(|record| std::cmp::Reverse((record.created_at, record.id)));
        Ok(found)
    }

    /// Lists the snapshots of which there is a record, legible or not.
    fn references(&self, workspace: WorkspaceId) -> ShelfResult<Vec<SnapshotRef>> {
        let names = names(&self.directory(workspace))?.into_iter();
        let id = |name: String| SnapshotId::parse(name.strip_suffix(".json")?).ok();
        Ok(names
            .filter_map(id)
            .map(|snapshot| SnapshotRef {
                workspace,
                snapshot,
            })
            .collect())
    }

    /// Returns a snapshot's record. `None` when there is none, or one that cannot be read.
    ///
    /// # Errors
    /// [`ShelfError`] when the system refuses.
    pub(crate) fn get(&self, of: SnapshotRef) -> ShelfResult<Option<Record>> {
        let mut found = self.read(of)?;
        if let Some(record) = &mut found
            && record.state == SnapshotState::Making
        {
            let making = self.lock();
            match making.get(&record.id) {
                Some(bytes) => record.bytes = bytes.load(Ordering::Relaxed),
                // What became of it could not be written down.
                None => record.interrupted(),
            }
        }
        Ok(found)
    }

    /// Returns a record as it is written.
    fn read(&self, of: SnapshotRef) -> ShelfResult<Option<Record>> {
        let path = self.record(of);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(refused(&path))?,
        };
        match serde_json::from_slice::<Record>(&text) {
            Ok(record) if record.reference() == of => Ok(Some(record)),
            unreadable => {
                let reason = match unreadable {
                    Ok(_) => "it is another's".to_owned(),
                    Err(error) => error.to_string(),
                };
                tracing::warn!(
                    path = %path.display(), reason,
                    "the record {} of a snapshot is left out: {reason}", path.display()
                );
                Ok(None)
            }
        }
    }

    /// Returns where a snapshot's archive is.
    pub(crate) fn archive(&self, of: SnapshotRef) -> PathBuf {
        self.directory(of.workspace)
            .join(format!("{}.tar.zst", of.snapshot))
    }

    /// Removes a snapshot, its record first. One that is not there is fine.
    ///
    /// # Errors
    /// [`ShelfError`] when the system refuses.
    pub(crate) fn remove(&self, of: SnapshotRef) -> ShelfResult<()> {
        remove(&self.record(of))?;
        remove(&self.archive(of))
    }

    /// Removes all snapshots of a workspace.
    ///
    /// # Errors
    /// [`ShelfError`] when the system refuses.
    pub(crate) fn remove_all(&self, workspace: WorkspaceId) -> ShelfResult<()> {
        let directory = self.directory(workspace);
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(refused(&directory)),
        }
    }

    /// Lists the workspaces of which there are snapshots.
    ///
    /// # Errors
    /// [`ShelfError`] when the system refuses.
    pub(crate) fn workspaces(&self) -> ShelfResult<Vec<WorkspaceId>> {
        let names = names(&self.root)?.into_iter();
        Ok(names
            .filter_map(|name| WorkspaceId::parse(&name).ok())
            .collect())
    }

    /// Settles what processes before this one left: what they were making has failed, and archives
    /// without a record go. Returns how many had been in the making.
    ///
    /// # Errors
    /// [`ShelfError`] when the system refuses.
    pub(crate) fn settle(&self, now: Timestamp) -> ShelfResult<usize> {
        let mut interrupted = 0;
        for workspace in self.workspaces()? {
            for of in self.references(workspace)? {
                let Some(mut record) = self.read(of)? else {
                    continue;
                };
                if record.state == SnapshotState::Making {
                    record.interrupted();
                    record.finished_at = Some(now);
                    interrupted += 1;
                    // Until it can be written down it counts as failed all the same.
                    if let Err(error) = self.finish(&record) {
                        tracing::warn!(%error, "could not settle a snapshot: {error}");
                    }
                }
            }
            let directory = self.directory(workspace);
            for name in names(&directory)? {
                let of = name
                    .strip_suffix(".tar.zst")
                    .and_then(|stem| SnapshotId::parse(stem).ok())
                    .map(|snapshot| SnapshotRef {
                        workspace,
                        snapshot,
                    });
                let is_left = of.is_some_and(|of| !self.record(of).exists());
                if is_left || name.ends_with(UNFINISHED) {
                    remove(&directory.join(name))?;
                }
            }
        }
        Ok(interrupted)
    }

    /// Writes a record in one step.
    fn put(&self, record: &Record) -> ShelfResult<()> {
        let path = self.record(record.reference());
        let unfinished = path.with_extension(&UNFINISHED[1..]);
        let write = || {
            let mut file = File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&unfinished)?;
            file.write_all(&serde_json::to_vec_pretty(record)?)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(self.directory(record.workspace))?.sync_all()
        };
        write().map_err(refused(&path))
    }

    fn directory(&self, workspace: WorkspaceId) -> PathBuf {
        self.root.join(workspace.as_str())
    }

    fn record(&self, of: SnapshotRef) -> PathBuf {
        self.directory(of.workspace)
            .join(format!("{}.json", of.snapshot))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SnapshotId, Arc<AtomicU64>>> {
        self.making.lock().expect("no holder panics")
    }
}

/// How the name of a record ends that is being written.
const UNFINISHED: &str = ".unfinished";

fn refused(path: &Path) -> impl FnOnce(io::Error) -> ShelfError {
    let path = path.to_owned();
    move |source| ShelfError { path, source }
}

fn make_directory(path: &Path) -> ShelfResult<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(refused(path))
}

/// Lists the names in a directory that are text; none of one that is not there.
fn names(directory: &Path) -> ShelfResult<Vec<String>> {
    let listed = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(refused(directory))?,
    };
    let mut names = Vec::new();
    for entry in listed {
        let name = entry.map_err(refused(directory))?.file_name();
        names.extend(name.into_string().ok());
    }
    Ok(names)
}

fn remove(path: &Path) -> ShelfResult<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(refused(path)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns a snapshot as it is before it is made.
    pub(crate) fn record() -> Record {
        Record {
            id: SnapshotId::generate(),
            workspace: WorkspaceId::parse("abcdefghij01").unwrap(),
            owner: UserId::from_bytes([2; 16]),
            name: "My project".into(),
            kind: SnapshotKind::Manual,
            note: SnapshotNote::default(),
            state: SnapshotState::Making,
            created_at: Timestamp::UNIX_EPOCH,
            finished_at: None,
            bytes: 0,
            files: 0,
            skipped: 0,
            sha256: String::new(),
            failure: None,
            filled_at: None,
        }
    }

    fn ready(record: &Record) -> Record {
        Record {
            state: SnapshotState::Ready,
            finished_at: Some(Timestamp::UNIX_EPOCH),
            bytes: 3,
            ..record.clone()
        }
    }

    #[test]
    fn what_is_kept_is_found_by_another_process() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(directory.path().join("s")).unwrap();
        let made = record();
        shelf.begin(&made).unwrap();
        let path = shelf.archive(made.reference());
        fs::write(&path, "abc").unwrap();
        shelf.counter(made.id).store(2, Ordering::Relaxed);
        let listed = shelf.list(made.workspace).unwrap();
        assert_eq!(
            listed,
            [Record {
                bytes: 2,
                ..made.clone()
            }]
        );
        shelf.finish(&ready(&made)).unwrap();
        let other = Shelf::open(directory.path().join("s")).unwrap();
        assert_eq!(other.settle(Timestamp::UNIX_EPOCH).unwrap(), 0);
        assert_eq!(other.list(made.workspace).unwrap(), [ready(&made)]);
        assert_eq!(fs::read(other.archive(made.reference())).unwrap(), b"abc");
        other.remove(made.reference()).unwrap();
        other.remove(made.reference()).unwrap();
        assert_eq!(other.list(made.workspace).unwrap(), []);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_process_left_half_made_has_failed_and_takes_no_room() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(directory.path().to_owned()).unwrap();
        let (half, whole) = (record(), record());
        shelf.begin(&half).unwrap();
        let path = shelf.archive(half.reference());
        fs::write(&path, "half").unwrap();
        shelf.begin(&whole).unwrap();
        fs::write(shelf.archive(whole.reference()), "abc").unwrap();
        shelf.finish(&ready(&whole)).unwrap();
        let folder = path.parent().unwrap();
        let stray = folder.join(format!("{}.tar.zst", SnapshotId::generate()));
        fs::write(&stray, "no record").unwrap();
        fs::write(folder.join("x.unfinished"), "").unwrap();
        fs::write(folder.join("notes.txt"), "a person's").unwrap();

        let next = Shelf::open(directory.path().to_owned()).unwrap();
        assert_eq!(next.settle(Timestamp::UNIX_EPOCH).unwrap(), 1);
        let found = next.get(half.reference()).unwrap().unwrap();
        assert_eq!(found.state, SnapshotState::Failed);
        assert!(found.failure.unwrap().contains("take it again"));
        assert_eq!(next.get(whole.reference()).unwrap(), Some(ready(&whole)));
        let mut left = names(folder).unwrap();
        left.sort();
        let mut expected = vec![
            format!("{}.json", half.id),
            format!("{}.json", whole.id),
            format!("{}.tar.zst", whole.id),
            "notes.txt".to_owned(),
        ];
        expected.sort();
        assert_eq!(left, expected);
        assert_eq!(next.settle(Timestamp::UNIX_EPOCH).unwrap(), 0);
        next.remove_all(whole.workspace).unwrap();
        assert_eq!(next.workspaces().unwrap(), []);
        next.remove_all(whole.workspace).unwrap();
    }

    #[test]
    fn one_whose_archive_cannot_be_removed_is_not_in_the_making_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(directory.path().to_owned()).unwrap();
        let made = record();
        shelf.begin(&made).unwrap();
        // No file, so it cannot be removed as one.
        fs::create_dir(shelf.archive(made.reference())).unwrap();
        let failed = Record {
            state: SnapshotState::Failed,
            ..made.clone()
        };
        assert!(shelf.finish(&failed).is_err());
        assert_eq!(shelf.get(made.reference()).unwrap(), Some(failed));
    }

    #[test]
    fn records_that_are_damaged_or_anothers_are_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(directory.path().to_owned()).unwrap();
        let (good, bad, moved) = (record(), record(), record());
        for made in [&good, &bad, &moved] {
            shelf.begin(made).unwrap();
            shelf.finish(&ready(made)).unwrap();
        }
        fs::write(shelf.record(bad.reference()), "{").unwrap();
        fs::copy(
            shelf.record(good.reference()),
            shelf.record(moved.reference()),
        )
        .unwrap();
        assert_eq!(shelf.list(good.workspace).unwrap(), [ready(&good)]);
    }
}
