//! The backend for sites with more than one machine: a MongoDB replica set.
//!
//! Every write is acknowledged by a majority with the journal, every read is of what a majority
//! has, from the primary: what returned is durable and is seen by whoever reads next.
//!
//! What spans documents is one transaction, by `MongoStore::transact`:
//! - a change and its audit event (every operation that takes an event);
//! - a write and the gate, so that a frozen store is written by nobody (all but the hints below);
//! - the first administrator, the setup secret and "there is no user yet" (`setup`);
//! - a person's address and their organisation (`users`);
//! - the number of a person's workspaces and their quota, and the key of a repeated request
//!   (`workspaces`): transactions see a snapshot, so two of them could each count before the other
//!   adds; both also write the owner's document in `locks`, and one has to begin again;
//! - the sessions and tokens of a person and what ends all of them (`users`), by a document in
//!   `locks` as well;
//! - how a port is shared, the number of a workspace's ports and that the workspace is there
//!   (`sharing`), by a document in `locks` too.
//!
//! Single documents, without a transaction: that a session or token was used, a password hash with
//! better parameters, and the removal of sessions that nobody can use. Losing one of these loses
//! nothing.
//!
//! One file per repository below; `open` connects and checks, `indexes` says what must be there,
//! `document` is how things look in the database, `gate` counts and stops writes, `failure`
//! translates the driver's errors.

mod audit;
mod document;
mod events;
mod failure;
mod gate;
mod indexes;
mod open;
mod sealed;
mod sessions;
mod settings;
mod setup;
mod sharing;
mod state;
mod tokens;
mod transfer;
mod trash;
mod users;
mod workspaces;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kalpana_domain::Timestamp;
use mongodb::bson::{Document, doc};
use mongodb::{Client, ClientSession, Collection, Database};

use crate::error::StoreResult;
use crate::guard::Metrics;
use crate::open::OpenMode;
use crate::repository::{Health, Repository};
use failure::Failure;

/// Names of the collections.
mod name {
    pub(super) const AUDIT_EVENTS: &str = "auditEvents";
    pub(super) const COUNTERS: &str = "counters";
    pub(super) const GATE: &str = "gate";
    pub(super) const IDEMPOTENCY_KEYS: &str = "idempotencyKeys";
    pub(super) const LOCKS: &str = "locks";
    pub(super) const META: &str = "meta";
    pub(super) const ORGANIZATIONS: &str = "organizations";
    pub(super) const PORT_SHARES: &str = "portShares";
    pub(super) const SEALED_COPIES: &str = "sealedCopies";
    pub(super) const SESSIONS: &str = "sessions";
    pub(super) const TOKENS: &str = "tokens";
    pub(super) const USERS: &str = "users";
    pub(super) const WORKSPACES: &str = "workspaces";
}

/// The store in a MongoDB database.
#[derive(Clone)]
pub struct MongoStore {
    client: Client,
    database: Database,
    /// The server and database as people may see it: without user and password.
    location: String,
    poll_interval: Duration,
}

/// What one try of a transaction works with.
struct Attempt<'a> {
    store: &'a MongoStore,
    session: &'a mut ClientSession,
}

impl Attempt<'_> {
    fn collection(&self, name: &str) -> Collection<Document> {
        self.store.collection(name)
    }

    /// Writes `now` into `field` of everything that `filter` selects. Returns the ids, sorted.
    async fn end_all<I>(
        &mut self,
        collection: &str,
        filter: Document,
        field: &str,
        now: Timestamp,
    ) -> Result<Vec<I>, Failure>
    where
        I: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
    {
        let collection = self.collection(collection);
        let mut found = collection
            .find(filter)
            .projection(doc! { "_id": 1 })
            .sort(doc! { "_id": 1 })
            .session(&mut *self.session)
            .await?;
        let mut ids = Vec::new();
        while let Some(document) = found.next(&mut *self.session).await.transpose()? {
            ids.extend(document.get_str("_id").map(str::to_owned));
        }
        if !ids.is_empty() {
            collection
                .update_many(
                    doc! { "_id": { "$in": &ids } },
                    doc! { "$set": { field: document::date(now) } },
                )
                .session(&mut *self.session)
                .await?;
        }
        let ids: StoreResult<Vec<I>> = ids.iter().map(|id| document::parsed(id, "_id")).collect();
        Ok(ids?)
    }
}

type Operation<C, T> = for<'a> fn(&'a mut Attempt<'_>, &'a C) -> BoxFuture<'a, Result<T, Failure>>;

impl MongoStore {
    /// Connects to the configured database.
    ///
    /// # Errors
    /// [`StoreError::Open`](crate::StoreError::Open) when it cannot be used as it is configured,
    /// with the setting and what to do; [`StoreError::Unavailable`](crate::StoreError::Unavailable)
    /// when no server answers.
    pub async fn open(
        settings: &kalpana_config::Store,
        mode: OpenMode,
        metrics: Option<&Metrics>,
    ) -> StoreResult<Self> {
        open::open(settings, mode, metrics).await
    }

    /// Returns the server and database, without user and password.
    pub fn location(&self) -> &str {
        &self.location
    }

    fn collection(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }

    /// Runs `operation` in a transaction, unless the store is frozen: commits if it returns `Ok`,
    /// else leaves everything as it was. Begins again when another transaction was in the way.
    async fn transact<C: Send + Sync, T: Send>(
        &self,
        context: C,
        operation: Operation<C, T>,
    ) -> StoreResult<T> {
        self.transact_always((context, operation), |attempt, (context, operation)| {
            async move {
                gate::pass(attempt).await?;
                operation(attempt, context).await
            }
            .boxed()
        })
        .await
    }

    /// Runs `operation` as [`Self::transact`] does, also in a frozen store.
    async fn transact_always<C: Send + Sync, T: Send>(
        &self,
        context: C,
        operation: Operation<C, T>,
    ) -> StoreResult<T> {
        let mut session = self.client.start_session().await?;
        let context = (self, context, operation);
        session
            .start_transaction()
            .and_run(context, |session, (store, context, operation)| {
                async move {
                    let mut attempt = Attempt { store, session };
                    match operation(&mut attempt, context).await {
                        Ok(value) => Ok(Ok(value)),
                        // The driver decides whether to begin again.
                        Err(Failure::Driver(error)) => Err(error),
                        Err(Failure::Refused(error)) => {
                            session.abort_transaction().await?;
                            Ok(Err(error))
                        }
                    }
                }
                .boxed()
            })
            .await?
    }
}

impl std::fmt::Debug for MongoStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("MongoStore")
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

impl Repository for MongoStore {}

#[async_trait]
impl Health for MongoStore {
    async fn ping(&self) -> StoreResult<()> {
        // A read with the concerns of all others: a primary that cannot reach a majority fails it.
        self.collection(name::META)
            .find_one(doc! { "_id": state::SCHEMA })
            .await?;
        Ok(())
    }
}
