//! Keys on disk: made once, mode 0600, replaced atomically, refused when others may read them.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A key file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It could not be read or written.
    #[error("cannot use the key file {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others may read it, so that the key may be known already.
    #[error(
        "the key file {path} has mode {mode:04o}; run `chmod 600` on it, or remove it to make a new key"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It does not hold a key.
    #[error("the key file {path} does not hold a key; remove it to make a new one")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// Largest key file read. Unit: bytes.
const LIMIT: u64 = 4096;

/// Returns what the file holds, after writing what `make` gives if there is no file. When two
/// processes make it at once, both get the one that came first.
pub(crate) fn load_or_create(
    path: &Path,
    make: impl FnOnce() -> String,
) -> Result<String, KeyFileError> {
    match load(path) {
        Err(KeyFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        loaded => return loaded,
    }
    match write(path, &make(), Existing::Keep) {
        Err(KeyFileError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
        written => written?,
    }
    load(path)
}

/// Replaces what the file holds.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), KeyFileError> {
    write(path, text, Existing::Replace)
}

fn load(path: &Path) -> Result<String, KeyFileError> {
    let failed = |source| KeyFileError::Io {
        path: path.to_owned(),
        source,
    };
    let file = fs::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = String::new();
    file.take(LIMIT)
        .read_to_string(&mut text)
        .map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => KeyFileError::Malformed {
                path: path.to_owned(),
            },
            _ => failed(error),
        })?;
    Ok(text)
}

#[derive(Clone, Copy, PartialEq)]
enum Existing {
    Keep,
    Replace,
}

fn write(path: &Path, text: &str, existing: Existing) -> Result<(), KeyFileError> {
    let failed = |source| KeyFileError::Io {
        path: path.to_owned(),
        source,
    };
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new()
        .prefix(".key-")
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(directory)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    let persisted = match existing {
        Existing::Keep => file.persist_noclobber(path),
        Existing::Replace => file.persist(path),
    };
    persisted.map_err(|error| failed(error.error))?;
    // The name is durable only with its directory.
    fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_by_its_owner_only() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("key");
        assert_eq!(
            load_or_create(&path, || "first".to_owned()).expect("made"),
            "first"
        );
        assert_eq!(
            load_or_create(&path, || "second".to_owned()).expect("read"),
            "first"
        );
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o7777, 0o600);
        replace(&path, "third").expect("replaced");
        assert_eq!(load_or_create(&path, String::new).expect("read"), "third");
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 1);
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("key");
        load_or_create(&path, || "canary".to_owned()).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
        let error = load_or_create(&path, String::new).expect_err("refused");
        assert!(
            matches!(error, KeyFileError::Exposed { mode: 0o640, .. }),
            "{error:?}"
        );
        assert!(!format!("{error} {error:?}").contains("canary"));
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("absent/key");
        let error = load_or_create(&path, String::new).expect_err("refused");
        assert!(matches!(error, KeyFileError::Io { .. }));
    }
}
