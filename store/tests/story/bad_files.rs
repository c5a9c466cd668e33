//! What SQLite's backend says about files that it cannot use: a typed error that names the setting
//! and the way out, and nothing written.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kalpana_domain::audit::AuditAction;
use kalpana_store::StoreError;
use kalpana_store::repository::{Audit, Health, Users};
use kalpana_store::sqlite::{OpenMode, SqliteStore};
use nix::unistd::{Uid, setfsuid};
use rusqlite::Connection;

use crate::trash::{assert_kept_from_now_on, long_deleted};
use crate::world::{event, new_user};

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("temporary directory"),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("kalpana.sqlite3")
    }

    async fn prepared(&self) -> SqliteStore {
        open(&self.path(), OpenMode::Migrate)
            .await
            .expect("prepared")
    }
}

async fn open(path: &Path, mode: OpenMode) -> Result<SqliteStore, StoreError> {
    let settings = kalpana_config::Store {
        busy_timeout: "100ms".parse().expect("legal"),
        ..Default::default()
    };
    SqliteStore::open(path, &settings, mode).await
}

/// Checks that both modes refuse the file, naming the setting and saying `way_out`.
async fn assert_refused(path: &Path, modes: &[OpenMode], way_out: &str) {
    for mode in modes {
        let error = open(path, *mode).await.expect_err("refused");
        assert!(
            matches!(error, StoreError::Open { .. }),
            "{mode:?}: {error:?}"
        );
        let text = error.to_string();
        assert!(
            text.contains("store.path") && text.contains(way_out),
            "{mode:?}: {text}"
        );
        assert!(
            text.contains(&path.display().to_string()),
            "{mode:?}: {text}"
        );
    }
}

const BOTH: &[OpenMode] = &[OpenMode::Migrate, OpenMode::Use];

#[tokio::test]
async fn a_missing_store_is_made_by_one_mode_only() {
    let place = Place::new();
    assert_refused(&place.path(), &[OpenMode::Use], "kalpana web").await;
    assert!(!place.path().exists());
    fs::write(place.path(), "").expect("written");
    assert_refused(&place.path(), &[OpenMode::Use], "kalpana web").await;
    let store = place.prepared().await;
    assert_eq!(store.path(), place.path());
    open(&place.path(), OpenMode::Use)
        .await
        .expect("opened")
        .ping()
        .await
        .expect("answers");
}

#[tokio::test]
async fn others_may_not_read_a_new_store() {
    let place = Place::new();
    let path = place.directory.path().join("a/b/kalpana.sqlite3");
    let store = open(&path, OpenMode::Migrate).await.expect("made");
    store
        .create_user(new_user("ada"), event(AuditAction::UserCreate))
        .await
        .expect("made");
    let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o7777;
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.clone().into_os_string();
        file.push(suffix);
        assert_eq!(mode(Path::new(&file)) & !0o660, 0, "{suffix}");
    }
    assert_eq!(mode(path.parent().expect("has one")) & 0o007, 0);
}

#[tokio::test]
async fn a_file_of_another_kind_is_left_alone() {
    let place = Place::new();
    let text = "not a database ".repeat(1000);
    fs::write(place.path(), &text).expect("written");
    assert_refused(&place.path(), BOTH, "not a SQLite database").await;
    assert_eq!(fs::read_to_string(place.path()).expect("read"), text);
}

#[tokio::test]
async fn a_database_of_another_program_is_left_alone() {
    let place = Place::new();
    let other = Connection::open(place.path()).expect("opened");
    other
        .execute_batch("CREATE TABLE things (name TEXT)")
        .expect("made");
    assert_refused(&place.path(), BOTH, "another program").await;
    let tables: i64 = other
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .expect("counted");
    assert_eq!(tables, 1);
}

#[tokio::test]
async fn a_newer_or_older_schema_is_not_used() {
    let place = Place::new();
    drop(place.prepared().await);
    let set_version = |version: i64| {
        let connection = Connection::open(place.path()).expect("opened");
        connection
            .pragma_update(None, "user_version", version)
            .expect("set");
    };
    set_version(99);
    assert_refused(&place.path(), BOTH, "newer Kalpana (schema 99").await;
    set_version(0);
    assert_refused(&place.path(), &[OpenMode::Use], "start `kalpana web`").await;
}

#[tokio::test]
async fn a_damaged_page_is_found_before_anything_is_written() {
    let place = Place::new();
    drop(place.prepared().await);
    let connection = Connection::open(place.path()).expect("opened");
    let journal: String = connection
        .pragma_update_and_check(None, "journal_mode", "delete", |row| row.get(0))
        .expect("no log beside the file");
    assert_eq!(journal, "delete");
    drop(connection);
    let mut bytes = fs::read(place.path()).expect("read");
    let middle = 4096..bytes.len();
    bytes[middle].fill(0x5a);
    fs::write(place.path(), &bytes).expect("written");
    let error = open(&place.path(), OpenMode::Migrate)
        .await
        .expect_err("refused");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("restore store.path from a backup"),
        "{error}"
    );
    assert_eq!(fs::read(place.path()).expect("read"), bytes);
}

#[tokio::test]
async fn a_locked_store_is_busy_and_recovers() {
    let place = Place::new();
    let store = place.prepared().await;
    let other = Connection::open(place.path()).expect("opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let reader = open(&place.path(), OpenMode::Use)
        .await
        .expect("reading is possible");
    reader.ping().await.expect("reading is possible");
    let refused = store.append_audit(event(AuditAction::SessionRefuse)).await;
    let Err(StoreError::Unavailable { reason, .. }) = &refused else {
        panic!("{refused:?}")
    };
    assert!(
        reason.contains("busy") && reason.contains("store.busy_timeout"),
        "{reason}"
    );
    other.execute_batch("ROLLBACK").expect("unlocked");
    store
        .append_audit(event(AuditAction::SessionRefuse))
        .await
        .expect("written");

    drop((store, reader));
    let exclusive = Connection::open(place.path()).expect("opened");
    exclusive
        .busy_timeout(Duration::from_secs(10))
        .expect("set");
    drop(other);
    exclusive
        .execute_batch("PRAGMA locking_mode = exclusive; BEGIN EXCLUSIVE")
        .expect("locked, reading included");
    for mode in BOTH {
        let error = open(&place.path(), *mode).await.expect_err("refused");
        assert!(
            matches!(error, StoreError::Unavailable { .. }),
            "{mode:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn the_audit_log_refuses_changes_from_anybody() {
    let place = Place::new();
    let store = place.prepared().await;
    store
        .append_audit(event(AuditAction::SessionRefuse))
        .await
        .expect("written");
    let other = Connection::open(place.path()).expect("opened");
    for statement in [
        "UPDATE audit_events SET subject = 'nothing'",
        "DELETE FROM audit_events",
        "INSERT OR REPLACE INTO audit_events SELECT * FROM audit_events",
        "REPLACE INTO audit_events (id, at, actor, action, subject)
             SELECT id, at, actor, action, 'nothing' FROM audit_events",
    ] {
        let error = other.execute(statement, []).expect_err(statement);
        assert!(
            error.to_string().contains("append-only"),
            "{statement}: {error}"
        );
    }
}

#[tokio::test]
async fn unreadable_rows_are_named() {
    let place = Place::new();
    let store = place.prepared().await;
    let ada = store
        .create_user(new_user("ada"), event(AuditAction::UserCreate))
        .await
        .expect("made");
    let other = Connection::open(place.path()).expect("opened");
    other
        .execute("UPDATE users SET email = 'nonsense'", [])
        .expect("changed");
    let refused = store.user(ada.id).await;
    let Err(StoreError::Corrupt { what, .. }) = &refused else {
        panic!("{refused:?}")
    };
    assert_eq!(what, "column user_email");
}

/// Runs `story` where files obey their permissions, which they do not for root.
fn as_nobody(story: impl Future<Output = ()>) {
    let become_nobody = || {
        if Uid::effective().is_root() {
            setfsuid(Uid::from_raw(65_534));
        }
    };
    // Blocking threads are started by this runtime and end with it.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .on_thread_start(become_nobody)
        .build()
        .expect("runtime")
        .block_on(story);
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
}

#[test]
fn a_file_that_may_only_be_read_is_refused() {
    let place = Place::new();
    allow(place.directory.path(), 0o755);
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    drop(runtime.block_on(place.prepared()));
    drop(runtime);
    allow(&place.path(), 0o444);
    as_nobody(assert_refused(&place.path(), BOTH, "this user"));
}

#[test]
fn a_directory_that_may_not_be_written_is_refused() {
    let place = Place::new();
    allow(place.directory.path(), 0o555);
    as_nobody(async {
        assert_refused(&place.path(), &[OpenMode::Migrate], "may not write").await;
        let below = place.directory.path().join("below/kalpana.sqlite3");
        assert_refused(&below, &[OpenMode::Migrate], "cannot be made").await;
    });
    allow(place.directory.path(), 0o755);
}

#[tokio::test]
async fn a_directory_in_place_of_the_file_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path()).expect("made");
    assert_refused(&place.path(), BOTH, "store.path").await;
}

#[tokio::test]
async fn what_was_deleted_before_there_was_a_trash_is_kept_from_now_on() {
    let place = Place::new();
    let store: kalpana_store::Store = std::sync::Arc::new(place.prepared().await);
    let deleted = long_deleted(&store).await;
    drop(store);
    let connection = Connection::open(place.path()).expect("opened");
    connection
        .execute_batch(
            "DROP INDEX workspaces_in_trash;
             ALTER TABLE workspaces DROP COLUMN purged_at;
             ALTER TABLE workspaces DROP COLUMN sleep;
             ALTER TABLE workspaces DROP COLUMN filled_from;
             PRAGMA user_version = 4;",
        )
        .expect("as it was");
    drop(connection);
    let store: kalpana_store::Store = std::sync::Arc::new(place.prepared().await);
    assert_kept_from_now_on(&store, deleted).await;
}
