//! Opening the file: what must hold before a row is read, and what to tell whom it does not.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use deadpool_sqlite::{Config, Hook, HookError, Pool, Runtime};
use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_domain::id::OrganizationId;
use kalpana_domain::organization::Organization;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags};
use rusqlite_migration::{M, Migrations};

use super::{OpenMode, SqliteStore, state};
use crate::error::{StoreError, StoreResult};
use crate::open::HALF_FILLED;

/// Marks the file as ours, so that another program's database is never migrated. Written by the
/// first migration.
const APPLICATION_ID: i32 = 0x4b6c_706e;

/// Wait before a file that others are preparing is looked at again.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// The write-ahead log is cut back to this after a checkpoint. Unit: bytes.
const WAL_SIZE_LIMIT: i64 = 64 << 20;

const MIGRATION_LIST: &[M<'_>] = &[
    M::up(include_str!("../../migrations/sqlite/0001_initial.sql")),
    M::up(include_str!("../../migrations/sqlite/0002_state.sql")),
    M::up(include_str!("../../migrations/sqlite/0003_sharing.sql")),
    M::up(include_str!(
        "../../migrations/sqlite/0004_sealed_copies.sql"
    )),
    M::up(include_str!("../../migrations/sqlite/0005_trash.sql")),
    M::up(include_str!("../../migrations/sqlite/0006_sleep.sql")),
    M::up(include_str!("../../migrations/sqlite/0007_filled_from.sql")),
];
const MIGRATIONS: Migrations<'_> = Migrations::from_slice(MIGRATION_LIST);

/// Opens the store as [`SqliteStore::open`] says.
pub(super) async fn open(
    path: &Path,
    settings: &kalpana_config::Store,
    mode: OpenMode,
) -> StoreResult<SqliteStore> {
    let busy_timeout = settings.busy_timeout.0;
    let file = path.to_owned();
    tokio::task::spawn_blocking(move || prepare(&file, busy_timeout, mode))
        .await
        .map_err(|error| refuse(path, "opening was cut short", error))??;
    Ok(SqliteStore {
        path: path.to_owned(),
        poll_interval: settings.poll_interval.0,
        writer: pool(path, 1, busy_timeout, Access::Write)?,
        readers: pool(path, settings.readers.max(1), busy_timeout, Access::Read)?,
    })
}

/// Checks the file through a connection of its own, and prepares it when `mode` says so.
#[expect(
    clippy::disallowed_methods,
    reason = "on a thread for blocking work, as is all of this"
)]
fn prepare(path: &Path, busy_timeout: Duration, mode: OpenMode) -> StoreResult<()> {
    match mode {
        OpenMode::Migrate | OpenMode::Receive => create(path)?,
        OpenMode::Use => require_file(path)?,
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(uri(path, "rw"), flags)
        .map_err(|error| describe(path, error))?;
    let began = Instant::now();
    loop {
        match check(path, &mut connection, busy_timeout, mode) {
            // SQLite does not wait by itself where two would wait for each other, as when several
            // processes turn a fresh file to its write-ahead log at once.
            Err(Check::Sqlite(error)) if is_busy(&error) && began.elapsed() < busy_timeout => {
                std::thread::sleep(BUSY_PAUSE);
            }
            Err(Check::Sqlite(error)) => return Err(describe(path, error)),
            Err(Check::Store(error)) => return Err(error),
            Ok(()) => return Ok(()),
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
}

/// What stands against using the file.
pub(super) enum Check {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Check {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn check(
    path: &Path,
    connection: &mut Connection,
    busy_timeout: Duration,
    mode: OpenMode,
) -> Result<(), Check> {
    connection.busy_timeout(busy_timeout)?;
    require_our_file(path, connection, mode)?;
    // SQLite falls back to reading when it may not write, and would only say so at the first write.
    if connection.is_readonly(MAIN_DB)? {
        let reason = "the file of store.path may be read but not written by this user; \
             give it the file, or set store.path elsewhere";
        return Err(Check::Store(refuse_plainly(path, reason)));
    }
    if mode != OpenMode::Use {
        require_undamaged(path, connection)?;
        let journal: String =
            connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        if journal != "wal" {
            let reason = "the file system of store.path cannot hold a write-ahead log \
                 (a network file system?); set store.path to a local disk";
            return Err(Check::Store(refuse_plainly(path, reason)));
        }
        migrate(path, connection)?;
    }
    require_current_schema(path, connection)?;
    require_fitting_state(path, connection, mode)
}

/// Makes the directory and an empty file. Modes leave room for a shared group; the process's umask
/// decides whether the group gets in.
fn create(path: &Path) -> StoreResult<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o770)
        .create(directory)
        .map_err(|error| {
            refuse(
                path,
                "its directory cannot be made; set store.path to one that can",
                error,
            )
        })?;
    let made = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o660)
        .open(path);
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(refuse(
            path,
            "this user may not write the file of store.path or its directory; \
             give it both, or set store.path elsewhere",
            error,
        )),
        Err(error) => Err(refuse(
            path,
            "the file of store.path cannot be made or opened",
            error,
        )),
    }
}

pub(super) fn require_file(path: &Path) -> StoreResult<()> {
    match std::fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(refuse(
            path,
            "there is no store at store.path yet; start `kalpana web` (or `kalpana up`) first, \
             which makes it",
            error,
        )),
        Err(error) => Err(refuse(
            path,
            "the file of store.path cannot be reached",
            error,
        )),
    }
}

fn require_our_file(path: &Path, connection: &Connection, mode: OpenMode) -> Result<(), Check> {
    // In this order: another process may be preparing the file right now, and whoever sees its tables
    // sees its mark after that.
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let is_fresh = id == 0 && tables == 0;
    if id == APPLICATION_ID || (is_fresh && mode != OpenMode::Use) {
        return Ok(());
    }
    let reason = if is_fresh {
        "the store at store.path is still empty; start `kalpana web` (or `kalpana up`) first, \
         which prepares it"
    } else {
        "the file is the SQLite database of another program; set store.path to another file"
    };
    Err(Check::Store(refuse_plainly(path, reason)))
}

fn require_undamaged(path: &Path, connection: &Connection) -> Result<(), Check> {
    let finding: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if finding == "ok" {
        return Ok(());
    }
    tracing::error!(path = %path.display(), finding, "the store is damaged");
    Err(Check::Store(damaged(path, None)))
}

/// Says whether a process could use the file as it is, and where its store was moved to.
pub(super) fn require_sound(path: &Path, connection: &Connection) -> Result<Option<String>, Check> {
    require_our_file(path, connection, OpenMode::Use)?;
    require_undamaged(path, connection)?;
    require_current_schema(path, connection)?;
    require_fitting_state(path, connection, OpenMode::Use)?;
    state::get(connection, state::MOVED_TO).map_err(Check::Store)
}

fn schema_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn migrate(path: &Path, connection: &mut Connection) -> Result<(), Check> {
    let latest = MIGRATION_LIST.len() as i64;
    let before = schema_version(connection)?;
    if before < latest {
        connection.set_transaction_behavior(rusqlite::TransactionBehavior::Immediate);
        let migrated = MIGRATIONS.to_latest(connection);
        // A second process that migrates at the same moment finds the work done.
        if let Err(error) = migrated
            && schema_version(connection)? < latest
        {
            return Err(match error {
                rusqlite_migration::Error::RusqliteError { err, .. } => Check::Sqlite(err),
                other => Check::Store(refuse(
                    path,
                    "its schema cannot be brought up to date",
                    other,
                )),
            });
        }
        tracing::info!(path = %path.display(), from = before, to = latest, "prepared the store");
    }
    state::prepare(connection)?;
    Ok(())
}

/// A store that is being filled is nobody's yet; any other has its default organisation.
fn require_fitting_state(
    path: &Path,
    connection: &Connection,
    mode: OpenMode,
) -> Result<(), Check> {
    let is_incoming = state::incoming(connection).map_err(Check::Store)?.is_some();
    match (mode, is_incoming) {
        (OpenMode::Receive, _) | (OpenMode::Use, false) => Ok(()),
        (OpenMode::Migrate, false) => {
            connection.execute(
                "INSERT INTO organizations (id, slug, created_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (slug) DO NOTHING",
                (
                    OrganizationId::generate().to_string(),
                    Organization::DEFAULT_SLUG,
                    SystemClock.now().as_millisecond(),
                ),
            )?;
            Ok(())
        }
        (OpenMode::Migrate | OpenMode::Use, true) => {
            Err(Check::Store(refuse_plainly(path, HALF_FILLED)))
        }
    }
}

fn require_current_schema(path: &Path, connection: &Connection) -> Result<(), Check> {
    let (found, known) = (schema_version(connection)?, MIGRATION_LIST.len() as i64);
    let reason = match found.cmp(&known) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Greater => format!(
            "the file of store.path was written by a newer Kalpana (schema {found}, this one knows {known}); \
             run that version again, or restore store.path from a backup made before the upgrade"
        ),
        std::cmp::Ordering::Less => format!(
            "the file of store.path was written by an older Kalpana (schema {found}, this one needs {known}); \
             start `kalpana web` (or `kalpana up`) of this version first, which upgrades it"
        ),
    };
    Err(Check::Store(refuse_plainly(path, &reason)))
}

/// Says what a failure while opening means for who set `store.path`.
pub(super) fn describe(path: &Path, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => refuse(
            path,
            "the file is not a SQLite database; set store.path to another file, or move it away",
            error,
        ),
        Some(ErrorCode::DatabaseCorrupt) => damaged(path, Some(Box::new(error))),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => refuse(
            path,
            "this user may not write the file of store.path or its directory; \
             give it both, or set store.path elsewhere",
            error,
        ),
        // Busy, full and failing disks say the same here as later.
        _ => error.into(),
    }
}

fn damaged(path: &Path, source: Option<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    let what = format!(
        "{} is damaged; stop Kalpana and restore store.path from a backup",
        path.display()
    );
    StoreError::Corrupt { what, source }
}

pub(super) fn refuse(
    path: &Path,
    reason: &str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> StoreError {
    let source: Option<Box<dyn std::error::Error + Send + Sync>> = Some(Box::new(source));
    StoreError::Open {
        at: path.display().to_string(),
        reason: reason.to_owned(),
        source,
    }
}

fn refuse_plainly(path: &Path, reason: &str) -> StoreError {
    StoreError::Open {
        at: path.display().to_string(),
        reason: reason.to_owned(),
        source: None,
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Access {
    Read,
    Write,
}

fn pool(path: &Path, size: usize, busy_timeout: Duration, access: Access) -> StoreResult<Pool> {
    let set_up = Hook::async_fn(move |connection, _| {
        Box::pin(async move {
            let done =
                connection.interact(move |connection| configure(connection, busy_timeout, access));
            match done.await {
                Ok(done) => done.map_err(HookError::Backend),
                Err(error) => Err(HookError::message(error.to_string())),
            }
        })
    });
    let Ok(builder) = Config::new(uri(path, "rw")).builder(Runtime::Tokio1);
    builder
        .max_size(size)
        // Behind one waiting write there may be others of this process: they get their own turn.
        .wait_timeout(Some(busy_timeout * 2))
        .post_create(set_up)
        .build()
        .map_err(|error| refuse(path, "its connections cannot be set up", error))
}

fn configure(
    connection: &mut Connection,
    busy_timeout: Duration,
    access: Access,
) -> rusqlite::Result<()> {
    connection.busy_timeout(busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_SIZE_LIMIT, |_| Ok(()))?;
    connection.pragma_update(None, "query_only", access == Access::Read)
}

/// Names the file as a URI, which can say what a plain path cannot: never make a missing file.
pub(super) fn uri(path: &Path, mode: &str) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri.push_str("?mode=");
    uri.push_str(mode);
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_apply_in_order() {
        MIGRATIONS.validate().expect("valid migrations");
    }

    #[test]
    fn odd_paths_are_not_read_as_options() {
        assert_eq!(
            uri(Path::new("/a b?mode=memory#%"), "rw"),
            "file:/a%20b%3Fmode%3Dmemory%23%25?mode=rw"
        );
    }
}
