//! The default backend: one SQLite file, compiled in, nothing to install.
//!
//! Two processes open the same file, web with [`OpenMode::Migrate`] and the orchestrator with
//! [`OpenMode::Use`]. Each has one connection that writes and a few that read. Every write is one
//! `BEGIN IMMEDIATE` transaction, so that what it read is still true when it commits; the
//! write-ahead log with `synchronous=FULL` makes a returned write durable, and lets readers go on
//! beside a writer.
//!
//! One file per repository below; `open` opens and checks the file, `row` reads columns,
//! `failure` translates SQLite's errors.

mod audit;
mod events;
mod examine;
mod failure;
mod open;
mod row;
mod sealed;
mod sessions;
mod setup;
mod sharing;
mod state;
mod tokens;
mod transfer;
mod trash;
mod users;
mod workspaces;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use deadpool_sqlite::Pool;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::error::{Outage, StoreError, StoreResult};
pub use crate::open::OpenMode;
use crate::repository::{Health, Repository};
pub(crate) use examine::examine;

/// The store in a SQLite file.
#[derive(Clone)]
pub struct SqliteStore {
    path: PathBuf,
    poll_interval: Duration,
    writer: Pool,
    readers: Pool,
}

impl SqliteStore {
    /// Opens the store at `path`.
    ///
    /// # Errors
    /// [`StoreError::Open`] when the file cannot be used as it is configured, with what to do;
    /// [`StoreError::Corrupt`] when it is damaged; [`StoreError::Unavailable`] when another
    /// process kept it locked for longer than `busy_timeout`, or the disk is full.
    pub async fn open(
        path: &Path,
        settings: &kalpana_config::Store,
        mode: OpenMode,
    ) -> StoreResult<Self> {
        open::open(path, settings, mode).await
    }

    /// Counts the connections of both pools: in use, idle.
    pub(crate) fn connections(&self) -> (usize, usize) {
        let (writer, readers) = (self.writer.status(), self.readers.status());
        let idle = writer.available + readers.available;
        (writer.size + readers.size - idle, idle)
    }

    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `operation` in a transaction that nobody else writes beside, unless the store is
    /// frozen. Commits if it returns `Ok`, else leaves everything as it was.
    async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Transaction<'_>) -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        self.write_always(move |transaction| {
            state::require_writable(transaction)?;
            operation(transaction)
        })
        .await
    }

    /// Runs a write as [`Self::write`] does that a frozen store may leave out.
    async fn hint(
        &self,
        operation: impl FnOnce(&Transaction<'_>) -> StoreResult<()> + Send + 'static,
    ) -> StoreResult<()> {
        match self.write(operation).await {
            Err(StoreError::Frozen { .. }) => Ok(()),
            other => other,
        }
    }

    /// Runs `operation` as [`Self::write`] does, also in a frozen store.
    async fn write_always<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Transaction<'_>) -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        on_connection(&self.writer, move |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = operation(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
        .await
    }

    /// Runs `operation`, which is one statement and so sees one snapshot, that of the latest commit.
    async fn read<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        on_connection(&self.readers, move |connection| operation(connection)).await
    }
}

async fn on_connection<T: Send + 'static>(
    pool: &Pool,
    operation: impl FnOnce(&mut Connection) -> StoreResult<T> + Send + 'static,
) -> StoreResult<T> {
    let connection = pool.get().await.map_err(failure::from_pool)?;
    connection
        .interact(operation)
        .await
        .map_err(|error| StoreError::Unavailable {
            outage: Outage::Refused,
            reason: format!("a store operation was cut short ({error})"),
            source: None,
        })?
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SqliteStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Repository for SqliteStore {}

#[async_trait]
impl Health for SqliteStore {
    async fn ping(&self) -> StoreResult<()> {
        self.read(|connection| {
            Ok(connection.query_row("SELECT count(*) FROM organizations", [], |_| Ok(()))?)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use kalpana_domain::Timestamp;

    use super::*;
    use crate::repository::Setup;

    #[tokio::test]
    async fn a_full_disk_leaves_everything_as_it_was() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("kalpana.sqlite3");
        let settings = kalpana_config::Store::default();
        let store = SqliteStore::open(&path, &settings, OpenMode::Migrate)
            .await
            .expect("made");
        // SQLite reports a file that may not grow as it reports a disk that is full.
        let limit_pages = async |pages: i64| {
            let set = store.write(move |transaction| {
                let sql = format!("PRAGMA max_page_count = {pages}");
                Ok(transaction.query_row(&sql, [], |_| Ok(()))?)
            });
            set.await.expect("set");
        };
        limit_pages(1).await;
        let filled = store
            .write(|transaction| {
                transaction.execute("CREATE TABLE filler (bytes BLOB)", [])?;
                transaction.execute("INSERT INTO filler VALUES (zeroblob(1000000))", [])?;
                Ok(())
            })
            .await;
        let Err(StoreError::Unavailable { reason, .. }) = &filled else {
            panic!("{filled:?}")
        };
        assert!(
            reason.starts_with("disk full") && reason.contains("store.path"),
            "{reason}"
        );
        let tables = store.read(|connection| {
            let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'filler'";
            Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))?)
        });
        assert_eq!(tables.await.expect("read"), 0);
        limit_pages(1 << 30).await;
        let kept = store.put_setup_secret([1; 32], Timestamp::UNIX_EPOCH).await;
        assert!(kept.expect("written"));
    }
}
