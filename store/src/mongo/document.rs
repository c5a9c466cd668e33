//! How things look in the database. Field names are camel case; those of users, workspaces and
//! sessions are what other tools around MongoDB call them.

mod people;
mod sealed;
mod sharing;
mod workspace;

use kalpana_domain::Timestamp;
use kalpana_domain::audit::{AuditAction, AuditEvent};
use mongodb::bson::{self, Binary, Bson, DateTime, Document, spec::BinarySubtype};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(super) use people::{SessionDocument, TokenDocument, UserDocument};
pub(super) use sealed::{SealedCopyDocument, SealedMarkDocument};
pub(super) use sharing::PortShareDocument;
pub(super) use workspace::{IdempotencyKeyDocument, WorkspaceDocument};

use crate::error::{StoreError, StoreResult};
use crate::records::SecretHash;

/// Turns a document as it came into its shape.
pub(super) fn read<T: DeserializeOwned>(document: Document, collection: &str) -> StoreResult<T> {
    bson::deserialize_from_document(document).map_err(|error| StoreError::Corrupt {
        what: format!("a document of {collection}"),
        source: Some(Box::new(error)),
    })
}

/// Turns a shape into a document.
pub(super) fn write<T: Serialize>(value: &T) -> StoreResult<Document> {
    bson::serialize_to_document(value).map_err(unwritable)
}

/// Turns part of a document, of which only we know the shape, into a value.
fn write_value<T: Serialize>(value: &T) -> StoreResult<Bson> {
    bson::serialize_to_bson(value).map_err(unwritable)
}

fn read_value<T: DeserializeOwned>(value: Bson, field: &str) -> StoreResult<T> {
    bson::deserialize_from_bson(value).map_err(corrupt(field))
}

fn unwritable(error: bson::error::Error) -> StoreError {
    StoreError::Corrupt {
        what: "a value that MongoDB cannot hold".to_owned(),
        source: Some(Box::new(error)),
    }
}

fn corrupt<E: std::error::Error + Send + Sync + 'static>(
    field: &str,
) -> impl FnOnce(E) -> StoreError {
    let what = format!("field {field}");
    move |error| StoreError::Corrupt {
        what,
        source: Some(Box::new(error)),
    }
}

/// Reads text that one of our types parses.
pub(super) fn parsed<T>(text: &str, field: &str) -> StoreResult<T>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    text.parse().map_err(corrupt(field))
}

/// Writes a time, to the millisecond.
pub(super) fn date(time: Timestamp) -> DateTime {
    DateTime::from_millis(time.as_millisecond())
}

/// Reads a time.
pub(super) fn time(date: DateTime, field: &str) -> StoreResult<Timestamp> {
    Timestamp::from_millisecond(date.timestamp_millis()).map_err(corrupt(field))
}

/// Writes the hash of a secret.
pub(super) fn hash(hash: &SecretHash) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: hash.to_vec(),
    }
}

fn read_hash(binary: &Binary, field: &str) -> StoreResult<SecretHash> {
    SecretHash::try_from(binary.bytes.as_slice()).map_err(corrupt(field))
}

/// Makes a count into what the database holds.
pub(super) fn number(count: u64, field: &str) -> StoreResult<i64> {
    i64::try_from(count).map_err(corrupt(field))
}

fn read_number(number: i64, field: &str) -> StoreResult<u64> {
    u64::try_from(number).map_err(corrupt(field))
}

/// An entry of the audit log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditEventDocument {
    #[serde(rename = "_id")]
    id: String,
    pub(super) sequence: i64,
    at: DateTime,
    organization_id: Option<String>,
    actor: Bson,
    action: AuditAction,
    subject: String,
    address: Option<String>,
    request_id: Option<String>,
}

impl AuditEventDocument {
    pub(super) fn new(sequence: i64, event: &AuditEvent) -> StoreResult<Self> {
        Ok(Self {
            id: event.id.to_string(),
            sequence,
            at: date(event.at),
            organization_id: event.organization.map(|id| id.to_string()),
            actor: write_value(&event.actor)?,
            action: event.action,
            subject: event.subject.clone(),
            address: event.address.clone(),
            request_id: event.request_id.clone(),
        })
    }

    pub(super) fn into_event(self) -> StoreResult<AuditEvent> {
        Ok(AuditEvent {
            id: parsed(&self.id, "_id")?,
            at: time(self.at, "at")?,
            organization: self
                .organization_id
                .map(|id| parsed(&id, "organizationId"))
                .transpose()?,
            actor: read_value(self.actor, "actor")?,
            action: self.action,
            subject: self.subject,
            address: self.address,
            request_id: self.request_id,
        })
    }
}
