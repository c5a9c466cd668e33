//! Looks at the configured store without changing anything, for `kalpana doctor`.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Outage, StoreError, StoreResult};
use crate::mongo::MongoStore;
use crate::open::OpenMode;
use crate::repository::Health;
use crate::sqlite;
use crate::transfer::Transfer;

/// What a store that can be used says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The file, or the server and database; never with a password.
    pub at: String,
    /// How long a question takes; `None` where it is a file.
    pub latency: Option<Duration>,
    /// Where everything is now, when `kalpana migrate` moved it.
    pub moved_to: Option<String>,
}

/// Examines the configured store: MongoDB when `store.mongodb.uri` is set, else the SQLite file at
/// `sqlite_path`, all of which is read.
///
/// # Errors
/// As those of [`open`](crate::open()) in [`OpenMode::Use`].
pub async fn examine(
    settings: &kalpana_config::Store,
    sqlite_path: &Path,
) -> StoreResult<Examined> {
    if settings.mongodb.uri.is_some() {
        let store = MongoStore::open(settings, OpenMode::Use, None).await?;
        let began = Instant::now();
        store.ping().await?;
        return Ok(Examined {
            latency: Some(began.elapsed()),
            moved_to: store.moved_to().await?,
            at: store.location().to_owned(),
        });
    }
    let path = sqlite_path.to_owned();
    let examined = tokio::task::spawn_blocking(move || sqlite::examine(&path)).await;
    let moved_to = examined.map_err(|error| StoreError::Unavailable {
        outage: Outage::Away,
        reason: format!("looking at it was cut short ({error})"),
        source: None,
    })??;
    Ok(Examined {
        at: sqlite_path.display().to_string(),
        latency: None,
        moved_to,
    })
}
