//! Connecting, and what must hold before a document is read.

use std::cmp::Ordering;

use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_domain::id::OrganizationId;
use kalpana_domain::organization::Organization;
use mongodb::Client;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::{Error, ErrorKind};
use uuid::Uuid;

use super::failure::{code, code_of};
use super::indexes::Problem;
use super::settings::{self, refuse};
use super::{MongoStore, audit, gate, indexes, name, state, trash, users};
use crate::error::{StoreError, StoreResult};
use crate::guard::Metrics;
use crate::open::{HALF_FILLED, OpenMode};

/// Opens the store as [`MongoStore::open`] says.
pub(super) async fn open(
    settings: &kalpana_config::Store,
    mode: OpenMode,
    metrics: Option<&Metrics>,
) -> StoreResult<MongoStore> {
    let connection = settings::read(settings, metrics).await?;
    let location = connection.location;
    let client =
        Client::with_options(connection.options).map_err(|error| describe(&location, error))?;
    let store = MongoStore {
        database: client.database(&settings.mongodb.database),
        client,
        location,
        poll_interval: settings.poll_interval.0,
    };
    let located = |error| locate(&store.location, error);
    require_replica_set(&store).await?;
    if mode != OpenMode::Use {
        prepare(&store).await.map_err(located)?;
    }
    require_our_schema(&store).await.map_err(located)?;
    require_indexes(&store).await.map_err(located)?;
    let is_incoming = state::incoming(&store).await.map_err(located)?.is_some();
    match (mode, is_incoming) {
        (OpenMode::Receive, _) | (OpenMode::Use, false) => {}
        (OpenMode::Migrate, false) => make_default_organization(&store).await.map_err(located)?,
        (OpenMode::Migrate | OpenMode::Use, true) => {
            return Err(refuse(&store.location, HALF_FILLED, None));
        }
    }
    Ok(store)
}

async fn require_replica_set(store: &MongoStore) -> StoreResult<()> {
    let hello = store
        .client
        .database("admin")
        .run_command(doc! { "hello": 1 })
        .await
        .map_err(|error| describe(&store.location, error))?;
    let is_router = hello.get_str("msg").is_ok_and(|text| text == "isdbgrid");
    if is_router || hello.get_str("setName").is_ok() {
        return Ok(());
    }
    let reason = "the server of store.mongodb.uri is not part of a replica set, without which \
         MongoDB has no transactions; start mongod with --replSet rs0 and run rs.initiate() once \
         (one member is enough)";
    Err(refuse(&store.location, reason, None))
}

/// The schema that brought the trash.
const TRASH_SINCE: i32 = 4;

/// Makes what is missing. Several processes may do this at once.
async fn prepare(store: &MongoStore) -> StoreResult<()> {
    let collections = store.database.list_collection_names().await?;
    let is_fresh = collections.is_empty();
    let schema = match is_fresh {
        true => None,
        false => state::schema(store).await?,
    };
    match schema {
        // Half made counts as fresh: only our names, and no schema document yet.
        None if is_fresh || indexes::are_ours(&collections) => {}
        None => return Ok(()),
        Some(schema) if schema.is_ours && schema.version <= state::VERSION => {
            if schema.version < TRASH_SINCE {
                trash::begin(store).await?;
            }
        }
        Some(_) => return Ok(()),
    }
    indexes::create(store).await?;
    gate::prepare(store).await?;
    audit::prepare(store).await?;
    let meta = store.collection(name::META);
    meta.update_one(
        doc! { "_id": state::SETUP },
        doc! { "$setOnInsert": { "changes": 0_i64 } },
    )
    .upsert(true)
    .await?;
    // Last, so that a database with this document has all the rest.
    meta.update_one(
        doc! { "_id": state::SCHEMA },
        doc! {
            "$setOnInsert": {
                "application": state::APPLICATION,
                "storeId": Uuid::new_v4().to_string(),
            },
            "$max": { "version": state::VERSION },
        },
    )
    .upsert(true)
    .await?;
    if is_fresh {
        tracing::info!(location = store.location, "prepared the store");
    }
    Ok(())
}

async fn require_our_schema(store: &MongoStore) -> StoreResult<()> {
    let known = state::VERSION;
    let reason = match state::schema(store).await? {
        Some(schema) if !schema.is_ours => foreign().to_owned(),
        Some(schema) => match schema.version.cmp(&known) {
            Ordering::Equal => return Ok(()),
            Ordering::Greater => format!(
                "the database was written by a newer Kalpana (schema {}, this one knows {known}); \
                 run that version again, or restore a backup made before the upgrade",
                schema.version
            ),
            Ordering::Less => format!(
                "the database was written by an older Kalpana (schema {}, this one needs {known}); \
                 start `kalpana web` (or `kalpana up`) of this version first, which upgrades it",
                schema.version
            ),
        },
        None if store.database.list_collection_names().await?.is_empty() => {
            "there is nothing in this database yet; start `kalpana web` (or `kalpana up`) first, \
             which prepares it"
                .to_owned()
        }
        None => foreign().to_owned(),
    };
    Err(refuse(&store.location, &reason, None))
}

fn foreign() -> &'static str {
    "the database belongs to another program; set store.mongodb.database to another name"
}

async fn require_indexes(store: &MongoStore) -> StoreResult<()> {
    let problems = indexes::check(store).await?;
    let Some(problem) = problems.into_iter().next() else {
        return Ok(());
    };
    let reason = match problem {
        Problem::Missing(index) => format!(
            "the index {index} is missing; start `kalpana web` (or `kalpana up`), which makes it"
        ),
        Problem::Different(index) => format!(
            "the index {index} is not what Kalpana needs; drop it in mongosh and start \
             `kalpana web` (or `kalpana up`), which makes it again"
        ),
    };
    Err(refuse(&store.location, &reason, None))
}

async fn make_default_organization(store: &MongoStore) -> StoreResult<()> {
    let organizations = store.collection(name::ORGANIZATIONS);
    let slug = doc! { "slug": Organization::DEFAULT_SLUG };
    if organizations.find_one(slug.clone()).await?.is_some() {
        return Ok(());
    }
    let made = Organization {
        id: OrganizationId::generate(),
        slug: Organization::DEFAULT_SLUG.to_owned(),
        created_at: SystemClock.now(),
    };
    let document: Document = users::write_organization(&made)
        .into_iter()
        .filter(|(field, _)| field != "slug")
        .map(|(field, value): (String, Bson)| (field, value))
        .collect();
    let inserted = organizations
        .update_one(slug, doc! { "$setOnInsert": document })
        .upsert(true)
        .await;
    match inserted {
        Ok(_) => Ok(()),
        // Another process that starts at the same moment.
        Err(error) if super::failure::is_duplicate(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Adds the place and the setting to a failure after the first answer.
fn locate(location: &str, error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable {
            reason,
            source: Some(source),
            ..
        } => match source.downcast::<Error>() {
            Ok(error) => describe(location, *error),
            Err(source) => refuse(location, &reason, Some(source)),
        },
        other => other,
    }
}

/// Says what a failure while opening means for who wrote `[store.mongodb]`.
fn describe(location: &str, error: Error) -> StoreError {
    let text = error.to_string();
    let mentions = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let reason = if is_authentication(&error) || mentions(&["SCRAM", "Authentication failed"]) {
        "the server refuses our user: check store.mongodb.username, password_file and the user in \
         store.mongodb.uri (and its authSource)"
    } else if mentions(&["UnknownIssuer", "BadSignature", "invalid peer certificate"]) {
        "the server's certificate is not signed by store.mongodb.ca_file or does not name the host \
         of store.mongodb.uri; set ca_file to the authority that signed it"
    } else if mentions(&[
        "CertificateRequired",
        "HandshakeFailure",
        "certificate required",
    ]) {
        "the server asks for a certificate of ours; set store.mongodb.certificate_file"
    } else if mentions(&["InvalidContentType", "corrupt message"]) {
        "the server does not speak TLS; take ca_file, certificate_file and tls=true away, or turn \
         TLS on at the server"
    } else {
        match error.kind.as_ref() {
            ErrorKind::InvalidTlsConfig { .. } => {
                "store.mongodb.ca_file or certificate_file cannot be used; both must be PEM, the \
                 second with a certificate and its unencrypted key"
            }
            ErrorKind::ServerSelection { .. } | ErrorKind::Io(_) | ErrorKind::DnsResolve { .. } => {
                "no server of store.mongodb.uri answered within store.mongodb.connect_timeout that \
                 is primary; start MongoDB, or correct the host, port and replicaSet"
            }
            _ => match code_of(&error) {
                Some(code::UNAUTHORIZED) => {
                    "the user of store.mongodb may not use this database: give it the role \
                     readWrite on store.mongodb.database"
                }
                Some(code) if code::NOT_PRIMARY.contains(&code) => {
                    "the server of store.mongodb.uri only reads: name the whole replica set, or \
                     wait until it has a primary"
                }
                Some(code::OUT_OF_DISK_SPACE) => "the MongoDB server's disk is full: free space",
                _ => "the MongoDB server refused; its answer follows",
            },
        }
    };
    refuse(location, reason, Some(Box::new(error)))
}

fn is_authentication(error: &Error) -> bool {
    matches!(error.kind.as_ref(), ErrorKind::Authentication { .. })
        || code_of(error) == Some(code::AUTHENTICATION_FAILED)
}
