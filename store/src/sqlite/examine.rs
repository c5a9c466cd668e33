//! Looks at the file without changing anything, not even the files that SQLite keeps beside it.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::open::{Check, describe, refuse, require_file, require_sound, uri};
use crate::error::{StoreError, StoreResult};

/// Checks the file for damage and its schema, and returns where the store was moved to, if it was.
///
/// Blocks for as long as the whole file takes to be read.
pub(crate) fn examine(path: &Path) -> StoreResult<Option<String>> {
    require_file(path)?;
    let has_log = || log_of(path).exists();
    let was_open = has_log();
    match examine_as(path, was_open) {
        // Somebody began to write meanwhile, beside whom a quiet file cannot be judged.
        Err(_) if !was_open && has_log() => examine_as(path, true),
        examined => examined,
    }
}

fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// A file that somebody has open is read beside them; one that nobody has open is read as it is,
/// because SQLite would make its shared memory beside it otherwise.
fn examine_as(path: &Path, is_open: bool) -> StoreResult<Option<String>> {
    let how = if is_open {
        "readonly_shm=1"
    } else {
        "immutable=1"
    };
    let uri = format!("{}&{how}", uri(path, "ro"));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let examined = Connection::open_with_flags(uri, flags)
        .map_err(Check::from)
        .and_then(|connection| require_sound(path, &connection));
    examined.map_err(|error| match error {
        Check::Store(error) => error,
        Check::Sqlite(error) => match error.sqlite_error_code() {
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => refuse(
                path,
                "this user may not read the file; run this as root, or as the user that runs Kalpana",
                error,
            ),
            _ => match describe(path, error) {
                StoreError::Unavailable { source, reason, .. } => StoreError::Open {
                    at: path.display().to_string(),
                    reason,
                    source,
                },
                other => other,
            },
        },
    })
}
