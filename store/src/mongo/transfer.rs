//! Giving everything away and taking it in.

use async_trait::async_trait;
use futures_util::{FutureExt, TryStreamExt};
use kalpana_domain::Timestamp;
use mongodb::Client;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::ErrorKind;
use uuid::Uuid;

use super::document::{
    self, AuditEventDocument, IdempotencyKeyDocument, SessionDocument, TokenDocument, UserDocument,
    WorkspaceDocument, date,
};
use super::failure::{Failure, code};
use super::{
    MongoStore, audit, gate, indexes, name, sealed, sessions, settings, sharing, state, tokens,
    users, workspaces,
};
use crate::error::{StoreError, StoreResult};
use crate::transfer::{
    Collection, Freeze, Incoming, MoveId, Record, SetupSecretRecord, Transfer, sequence_of_key,
};

fn collection_name(collection: Collection) -> &'static str {
    match collection {
        Collection::Organizations => name::ORGANIZATIONS,
        Collection::Users => name::USERS,
        Collection::SetupSecret => name::META,
        Collection::Sessions => name::SESSIONS,
        Collection::Tokens => name::TOKENS,
        Collection::Workspaces => name::WORKSPACES,
        Collection::PortShares => name::PORT_SHARES,
        Collection::SealedCopies => name::SEALED_COPIES,
        Collection::IdempotencyKeys => name::IDEMPOTENCY_KEYS,
        Collection::AuditEvents => name::AUDIT_EVENTS,
    }
}

fn read(collection: Collection, document: Document) -> StoreResult<Record> {
    Ok(match collection {
        Collection::Organizations => Record::Organization(users::read_organization(&document)?),
        Collection::Users => Record::User(users::read(document)?),
        Collection::SetupSecret => Record::SetupSecret(read_setup_secret(&document)?),
        Collection::Sessions => Record::Session(sessions::read(document)?),
        Collection::Tokens => Record::Token(tokens::read(document)?),
        Collection::Workspaces => Record::Workspace(Box::new(workspaces::read(document)?)),
        Collection::PortShares => Record::PortShare(Box::new(sharing::read(document)?)),
        Collection::SealedCopies => Record::SealedCopy(sealed::read(document)?),
        Collection::IdempotencyKeys => {
            let document: IdempotencyKeyDocument =
                document::read(document, name::IDEMPOTENCY_KEYS)?;
            Record::IdempotencyKey(document.try_into()?)
        }
        Collection::AuditEvents => {
            let (sequence, event) = audit::read(document)?;
            Record::AuditEvent {
                sequence: u64::try_from(sequence).unwrap_or(0),
                event,
            }
        }
    })
}

fn read_setup_secret(document: &Document) -> StoreResult<SetupSecretRecord> {
    let corrupt = || StoreError::Corrupt {
        what: "document setup".to_owned(),
        source: None,
    };
    let bytes = document
        .get_binary_generic("secretHash")
        .map_err(|_| corrupt())?;
    let created_at = document.get_datetime("createdAt").map_err(|_| corrupt())?;
    Ok(SetupSecretRecord {
        secret_hash: bytes.as_slice().try_into().map_err(|_| corrupt())?,
        created_at: document::time(*created_at, "createdAt")?,
    })
}

fn write(record: &Record) -> StoreResult<Document> {
    match record {
        Record::Organization(organization) => Ok(users::write_organization(organization)),
        Record::User(user) => document::write(&UserDocument::from(user)),
        Record::SetupSecret(secret) => Ok(doc! {
            "_id": state::SETUP,
            "secretHash": document::hash(&secret.secret_hash),
            "createdAt": date(secret.created_at),
            "changes": 0_i64,
        }),
        Record::Session(session) => document::write(&SessionDocument::from(session)),
        Record::Token(token) => document::write(&TokenDocument::from(token)),
        Record::Workspace(workspace) => {
            document::write(&WorkspaceDocument::try_from(workspace.as_ref())?)
        }
        Record::PortShare(share) => sharing::write(share),
        Record::SealedCopy(copy) => sealed::write(copy),
        Record::IdempotencyKey(key) => document::write(&IdempotencyKeyDocument::from(key)),
        Record::AuditEvent { sequence, event } => {
            let sequence = document::number(*sequence, "sequence")?;
            document::write(&AuditEventDocument::new(sequence, event)?)
        }
    }
}

/// Refuses unless every lane of the gate had our mark: one without was written through since.
fn require_all_lanes(marked: u64) -> Result<(), Failure> {
    if marked == u64::from(gate::LANES.unsigned_abs()) {
        Ok(())
    } else {
        Err(StoreError::Conflict { what: "freeze" }.into())
    }
}

impl MongoStore {
    /// Tells whether the configured database has anything in it that was once complete, or that is
    /// not Kalpana's, without making anything.
    ///
    /// # Errors
    /// [`StoreError::Open`] when it cannot be used as it is configured;
    /// [`StoreError::Unavailable`] when no server answers.
    pub async fn exists(configured: &kalpana_config::Store) -> StoreResult<bool> {
        let connection = settings::read(configured, None).await?;
        let client = Client::with_options(connection.options)?;
        let store = Self {
            database: client.database(&configured.mongodb.database),
            client,
            location: connection.location,
            poll_interval: configured.poll_interval.0,
        };
        let collections = store.database.list_collection_names().await?;
        let is_ours = indexes::are_ours(&collections);
        // The schema document is made last: without it, ours is only half made.
        Ok(!is_ours || state::schema(&store).await?.is_some())
    }

    async fn require_incoming(&self) -> StoreResult<()> {
        match state::incoming(self).await? {
            Some(_) => Ok(()),
            None => Err(StoreError::Conflict { what: "incoming" }),
        }
    }

    /// Inserts documents; returns those that another one is in the way of.
    async fn insert_new(
        &self,
        collection: &str,
        documents: &[Document],
    ) -> StoreResult<Vec<Document>> {
        let inserted = self
            .collection(collection)
            .insert_many(documents)
            .ordered(false)
            .await;
        let Err(error) = inserted else {
            return Ok(Vec::new());
        };
        let ErrorKind::InsertMany(many) = error.kind.as_ref() else {
            return Err(error.into());
        };
        let errors = many.write_errors.as_deref().unwrap_or_default();
        let all_are_duplicates = errors
            .iter()
            .all(|error| code::DUPLICATE_KEY.contains(&error.code));
        if errors.is_empty() || !all_are_duplicates || many.write_concern_error.is_some() {
            return Err(error.into());
        }
        let in_the_way = errors.iter().filter_map(|error| documents.get(error.index));
        Ok(in_the_way.cloned().collect())
    }

    async fn replace(&self, collection: Collection, document: Document) -> StoreResult<()> {
        let documents = self.collection(collection_name(collection));
        let id = doc! { "_id": document.get("_id").cloned().unwrap_or(Bson::Null) };
        if collection.is_append_only() {
            let known = documents.find_one(id).await?.map(audit::read).transpose()?;
            return if known == Some(audit::read(document)?) {
                Ok(())
            } else {
                Err(StoreError::Conflict { what: "audit" })
            };
        }
        documents.replace_one(id, document).upsert(true).await?;
        Ok(())
    }

    /// Lets the next event have a place after those that came from elsewhere.
    async fn count_places(&self, last: i64) -> StoreResult<()> {
        self.collection(name::COUNTERS)
            .update_one(
                doc! { "_id": audit::COUNTER },
                doc! { "$max": { "value": last } },
            )
            .upsert(true)
            .await?;
        Ok(())
    }

    /// Returns up to `limit` events after a place, by asking for places from one to another: not
    /// every server ends an open range early, and a log is long.
    async fn export_log(&self, after: i64, limit: usize) -> StoreResult<Vec<Record>> {
        let counter = self
            .collection(name::COUNTERS)
            .find_one(doc! { "_id": audit::COUNTER })
            .await?;
        let last = counter.map_or(Ok(0), |counter| counter.get_i64("value"));
        let last = last.map_err(|error| StoreError::Corrupt {
            what: "counter of the audit log".to_owned(),
            source: Some(Box::new(error)),
        })?;
        let (mut start, mut records) = (after, Vec::new());
        while records.len() < limit && start < last {
            let missing = limit - records.len();
            let end = start.saturating_add(i64::try_from(missing).unwrap_or(i64::MAX));
            let documents: Vec<Document> = self
                .collection(name::AUDIT_EVENTS)
                .find(doc! { "sequence": { "$gt": start, "$lte": end } })
                .sort(doc! { "sequence": 1 })
                .await?
                .try_collect()
                .await?;
            for document in documents {
                records.push(read(Collection::AuditEvents, document)?);
            }
            start = end;
        }
        Ok(records)
    }

    async fn is_empty(&self) -> StoreResult<bool> {
        for collection in Collection::ALL {
            if !self.export(collection, None, 1).await?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[async_trait]
impl Transfer for MongoStore {
    async fn store_id(&self) -> StoreResult<Uuid> {
        state::store_id(self).await
    }

    async fn export(
        &self,
        collection: Collection,
        after: Option<String>,
        limit: usize,
    ) -> StoreResult<Vec<Record>> {
        let after = after.unwrap_or_default();
        let filter = match collection {
            Collection::AuditEvents => {
                let after = document::number(sequence_of_key(&after), "sequence")?;
                return self.export_log(after, limit).await;
            }
            Collection::SetupSecret if after.is_empty() => {
                doc! { "_id": state::SETUP, "secretHash": { "$exists": true } }
            }
            Collection::SetupSecret => return Ok(Vec::new()),
            _ => doc! { "_id": { "$gt": after } },
        };
        let documents: Vec<Document> = self
            .collection(collection_name(collection))
            .find(filter)
            .sort(doc! { "_id": 1 })
            .limit(limit as i64)
            .await?
            .try_collect()
            .await?;
        documents
            .into_iter()
            .map(|document| read(collection, document))
            .collect()
    }

    async fn count(&self, collection: Collection) -> StoreResult<u64> {
        let filter = match collection {
            Collection::SetupSecret => {
                doc! { "_id": state::SETUP, "secretHash": { "$exists": true } }
            }
            _ => doc! {},
        };
        let documents = self.collection(collection_name(collection));
        Ok(documents.count_documents(filter).await?)
    }

    async fn import(&self, records: Vec<Record>) -> StoreResult<()> {
        self.require_incoming().await?;
        let Some(collection) = records.first().map(Record::collection) else {
            return Ok(());
        };
        let documents: Vec<Document> = records.iter().map(write).collect::<Result<_, _>>()?;
        let in_the_way = match collection {
            // Its document is there from the start.
            Collection::SetupSecret => documents,
            _ => {
                let name = collection_name(collection);
                self.insert_new(name, &documents).await?
            }
        };
        for document in in_the_way {
            self.replace(collection, document).await?;
        }
        let last = records.iter().filter_map(|record| match record {
            Record::AuditEvent { sequence, .. } => i64::try_from(*sequence).ok(),
            _ => None,
        });
        match last.max() {
            Some(last) => self.count_places(last).await,
            None => Ok(()),
        }
    }

    async fn remove(&self, collection: Collection, keys: Vec<String>) -> StoreResult<()> {
        self.require_incoming().await?;
        let documents = self.collection(collection_name(collection));
        match collection {
            Collection::AuditEvents => {}
            Collection::SetupSecret => {
                let forget = doc! { "$unset": { "secretHash": "", "createdAt": "" } };
                documents
                    .update_one(doc! { "_id": state::SETUP }, forget)
                    .await?;
            }
            _ => {
                documents
                    .delete_many(doc! { "_id": { "$in": keys } })
                    .await?;
            }
        }
        Ok(())
    }

    async fn incoming(&self) -> StoreResult<Option<Incoming>> {
        state::incoming(self).await
    }

    async fn begin_incoming(&self, incoming: Incoming) -> StoreResult<()> {
        match state::incoming(self).await? {
            Some(known) if known.from == incoming.from => return Ok(()),
            None if self.is_empty().await? => {}
            _ => return Err(StoreError::Conflict { what: "incoming" }),
        }
        let value =
            mongodb::bson::serialize_to_bson(&incoming).map_err(|error| StoreError::Corrupt {
                what: "document incoming".to_owned(),
                source: Some(Box::new(error)),
            })?;
        self.collection(name::META)
            .insert_one(doc! { "_id": state::INCOMING, "value": value })
            .await?;
        Ok(())
    }

    async fn complete_incoming(&self) -> StoreResult<()> {
        self.collection(name::META)
            .delete_one(doc! { "_id": state::INCOMING })
            .await?;
        Ok(())
    }

    async fn freeze(&self, freeze: Freeze, now: Timestamp) -> StoreResult<()> {
        if gate::close(self, freeze, now).await? {
            return Ok(());
        }
        self.thaw(freeze.by).await?;
        Err(StoreError::Conflict { what: "freeze" })
    }

    async fn renew(&self, freeze: Freeze) -> StoreResult<()> {
        self.transact_always(freeze, |attempt, freeze| {
            async move {
                let renewed = attempt
                    .collection(name::GATE)
                    .update_many(
                        doc! { "by": freeze.by.to_string() },
                        doc! { "$set": { "until": date(freeze.until) } },
                    )
                    .session(&mut *attempt.session)
                    .await?;
                require_all_lanes(renewed.matched_count)
            }
            .boxed()
        })
        .await
    }

    async fn thaw(&self, by: MoveId) -> StoreResult<bool> {
        self.transact_always(by, |attempt, by| {
            async move {
                let thawed = attempt
                    .collection(name::GATE)
                    .update_many(
                        doc! { "by": by.to_string() },
                        doc! { "$unset": { "by": "", "until": "" } },
                    )
                    .session(&mut *attempt.session)
                    .await?;
                Ok(thawed.matched_count > 0)
            }
            .boxed()
        })
        .await
    }

    async fn retire(&self, by: MoveId, moved_to: String) -> StoreResult<()> {
        self.transact_always((by, moved_to), |attempt, (by, moved_to)| {
            async move {
                let retired = attempt
                    .collection(name::GATE)
                    .update_many(
                        doc! { "by": by.to_string() },
                        doc! {
                            "$set": { "movedTo": moved_to },
                            "$unset": { "by": "", "until": "" },
                        },
                    )
                    .session(&mut *attempt.session)
                    .await?;
                require_all_lanes(retired.matched_count)
            }
            .boxed()
        })
        .await
    }

    async fn moved_to(&self) -> StoreResult<Option<String>> {
        let moved = self
            .collection(name::GATE)
            .find_one(doc! { "movedTo": { "$ne": null } })
            .await?;
        Ok(moved.and_then(|lane| lane.get_str("movedTo").map(str::to_owned).ok()))
    }

    async fn reinstate(&self) -> StoreResult<()> {
        self.transact_always((), |attempt, ()| {
            async move {
                attempt
                    .collection(name::GATE)
                    .update_many(doc! {}, doc! { "$unset": { "movedTo": "" } })
                    .session(&mut *attempt.session)
                    .await?;
                Ok(())
            }
            .boxed()
        })
        .await
    }
}
