//! Opening the store that the configuration names.

use std::path::Path;
use std::sync::Arc;

use prometheus::Registry;

use crate::Store;
use crate::error::StoreResult;
use crate::guard::{Guard, Limits};
use crate::mongo::MongoStore;
use crate::sqlite::SqliteStore;

/// What a process may do to the store beyond reading and writing rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Make the store when there is none, bring its schema up to date, make the default
    /// organisation, and check it for damage. One process of a site does this.
    Migrate,
    /// Use the store as another process prepared it. Refuses a missing one and any schema but
    /// this executable's own.
    Use,
    /// Make or go on filling a store that another one is moved to: no default organisation.
    Receive,
}

/// Why nobody but the mover opens a store that is being filled.
pub(crate) const HALF_FILLED: &str = "a move into this store is not complete; \
     run the same `kalpana migrate` again, which goes on where it stopped, or choose another store";

/// Opens the configured store behind a [`Guard`]: MongoDB when `store.mongodb.uri` is set, else the
/// SQLite file at `sqlite_path`. Metrics `kalpana_store_*` go to `registry`.
///
/// # Errors
/// [`StoreError::Open`](crate::StoreError::Open) when it cannot be used as it is configured, with
/// the setting and what to do; [`StoreError::Corrupt`](crate::StoreError::Corrupt) when it is
/// damaged; [`StoreError::Unavailable`](crate::StoreError::Unavailable) when it does not answer.
pub async fn open(
    settings: &kalpana_config::Store,
    sqlite_path: &Path,
    mode: OpenMode,
    registry: &Registry,
) -> StoreResult<Store> {
    let limits = Limits {
        operation: settings.operation_timeout.0,
    };
    let metrics = crate::guard::Metrics::register(registry)?;
    if settings.mongodb.uri.is_some() {
        let store = MongoStore::open(settings, mode, Some(&metrics)).await?;
        Ok(Arc::new(Guard::new(Arc::new(store), limits, metrics)))
    } else {
        let store = SqliteStore::open(sqlite_path, settings, mode).await?;
        let pools = store.clone();
        metrics.watch_pool(move || pools.connections());
        Ok(Arc::new(Guard::new(Arc::new(store), limits, metrics)))
    }
}
