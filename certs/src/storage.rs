//! Files on disk: private where they must be, and never half written.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use crate::error::Error;

/// Mode of a private key's file.
pub(crate) const PRIVATE: u32 = 0o600;

/// Mode of what everybody may read.
pub(crate) const PUBLIC: u32 = 0o644;

/// Makes `directory` and its parents with `mode`, unless they are there.
pub(crate) fn make_directory(directory: &Path, mode: u32) -> Result<(), Error> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(directory)
        .map_err(|source| unwritable(directory, source))
}

/// Replaces `path` by `contents` as a whole: a reader sees the old file or the new one, and a
/// crash leaves one of the two.
pub(crate) fn write(path: &Path, contents: &[u8], mode: u32) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".kalpana-")
            .permissions(std::fs::Permissions::from_mode(mode))
            .tempfile_in(directory)?;
        file.write_all(contents)?;
        // The process's umask may have taken bits away from a public file.
        file.as_file()
            .set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        std::fs::File::open(directory)?.sync_all()
    };
    write().map_err(|source| unwritable(path, source))
}

/// Reads a file; `None` when it is not there.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match std::fs::read(path) {
        Ok(contents) => Ok(Some(contents)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Unreadable {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Removes a file; one that is not there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritable(path, error)),
        _ => Ok(()),
    }
}

/// Refuses a key file that others may read or that a group may change.
///
/// A group that may only read is how a key owned by root is lent to the gateway's own user.
pub(crate) fn refuse_exposed_key(path: &Path) -> Result<(), Error> {
    let metadata = std::fs::metadata(path).map_err(|source| Error::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o027 == 0 {
        Ok(())
    } else {
        Err(Error::KeyExposed {
            path: path.to_owned(),
            mode,
        })
    }
}

fn unwritable(path: &Path, source: io::Error) -> Error {
    Error::Unwritable {
        path: path.to_owned(),
        source,
    }
}
