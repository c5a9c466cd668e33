//! Places for stores, and what is done with the stores there.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kalpana_domain::clock::SystemClock;
use kalpana_store::mongo::MongoStore;
use kalpana_store::sqlite::SqliteStore;
use kalpana_store::transfer::mover::{MoveError, Mover, Pace, Progress, Summary};
use kalpana_store::transfer::{Collection, Incoming, Record};
use kalpana_store::{OpenMode, Store, StoreResult};
use kalpana_test_mongodb::Database;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::records;

/// The databases that a test works with.
pub(crate) enum Backend {
    /// SQLite files in a folder.
    Sqlite(tempfile::TempDir),
    /// MongoDB databases on one server.
    Mongodb(Database),
}

/// Where one store is.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Sqlite(std::path::PathBuf),
    Mongodb { uri: String, name: String },
}

impl Backend {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("temporary directory"))
    }

    pub(crate) async fn mongodb() -> Self {
        Self::Mongodb(Database::fresh().await.expect("a MongoDB server"))
    }

    /// Names a place with nothing in it.
    pub(crate) fn place(&self) -> Place {
        let name = format!("{:016x}", rand::random::<u64>());
        match self {
            Self::Sqlite(folder) => Place::Sqlite(folder.path().join(name + ".sqlite3")),
            Self::Mongodb(database) => Place::Mongodb {
                uri: database.uri().to_owned(),
                name: format!("{}_{name}", database.name()),
            },
        }
    }

    /// Makes a store that holds one of everything and more, and opens it.
    pub(crate) async fn filled(&self) -> Store {
        let place = self.place();
        place.fill(records::everything()).await;
        place.open(OpenMode::Use).await.expect("a complete store")
    }
}

impl Place {
    pub(crate) async fn open(&self, mode: OpenMode) -> StoreResult<Store> {
        let mut settings = kalpana_config::Store::default();
        Ok(match self {
            Self::Sqlite(path) => Arc::new(SqliteStore::open(path, &settings, mode).await?),
            Self::Mongodb { uri, name } => {
                settings.mongodb.uri = Some(kalpana_config::Secret::new(uri.clone()));
                settings.mongodb.database.clone_from(name);
                Arc::new(MongoStore::open(&settings, mode, None).await?)
            }
        })
    }

    /// Opens it to be filled.
    pub(crate) async fn receive(&self) -> Store {
        self.open(OpenMode::Receive).await.expect("a store to fill")
    }

    /// Makes a store of these records.
    pub(crate) async fn fill(&self, records: Vec<Record>) {
        let store = self.receive().await;
        let incoming = Incoming {
            from: Uuid::new_v4(),
            started_at: records::at(0),
        };
        store.begin_incoming(incoming).await.expect("empty");
        for collection in Collection::ALL {
            let own = records
                .iter()
                .filter(|record| record.collection() == collection);
            store
                .import(own.cloned().collect())
                .await
                .expect("imported");
        }
        store.complete_incoming().await.expect("completed");
    }

    /// Removes a database that a shared server would keep.
    pub(crate) async fn remove(&self) {
        if let Self::Mongodb { uri, name } = self {
            let client = mongodb::Client::with_uri_str(uri).await.expect("a server");
            client.database(name).drop().await.expect("dropped");
        }
    }
}

/// Everything that a store holds.
pub(crate) async fn dump(store: &Store) -> Vec<Record> {
    let mut all = Vec::new();
    for collection in Collection::ALL {
        let mut after = None;
        loop {
            let page = store
                .export(collection, after, 500)
                .await
                .expect("exported");
            let Some(last) = page.last() else { break };
            after = Some(last.key());
            all.extend(page);
        }
    }
    all
}

/// Small pages, so that there are many.
pub(crate) const PACE: Pace = Pace {
    page: 8,
    freeze: Duration::from_secs(15),
    renewal: Duration::from_millis(500),
    patience: Duration::from_secs(30),
};

pub(crate) fn mover(source: &Store, destination: &Store, pace: Pace) -> Mover<SystemClock> {
    let place = "new".to_owned();
    Mover::new(
        source.clone(),
        destination.clone(),
        place,
        pace,
        SystemClock,
    )
}

/// Moves everything without being disturbed. Returns what was told meanwhile, too.
pub(crate) async fn migrate(
    source: &Store,
    destination: &Store,
) -> Result<(Summary, Vec<Progress>), MoveError> {
    migrate_at(PACE, source, destination).await
}

/// Moves everything at a pace.
pub(crate) async fn migrate_at(
    pace: Pace,
    source: &Store,
    destination: &Store,
) -> Result<(Summary, Vec<Progress>), MoveError> {
    let told = Mutex::new(Vec::new());
    let report = |event| told.lock().expect("no holder panics").push(event);
    let stop = CancellationToken::new();
    let summary = mover(source, destination, pace).run(&report, &stop).await?;
    Ok((summary, told.into_inner().expect("no holder panics")))
}
