//! What the store knows of itself, in the collection `meta`.

use mongodb::bson::{Bson, Document, doc};
use uuid::Uuid;

use super::{MongoStore, name};
use crate::error::{StoreError, StoreResult};
use crate::transfer::Incoming;

/// The document that says whose database this is and which schema it has.
pub(super) const SCHEMA: &str = "schema";
/// The document of a store that is being filled.
pub(super) const INCOMING: &str = "incoming";
/// The document of the setup link; there from the start, so that transactions meet at it.
pub(super) const SETUP: &str = "setup";

/// Value of `application` in the schema document.
pub(super) const APPLICATION: &str = "kalpana";

/// The schema that this executable knows.
pub(super) const VERSION: i32 = 6;

/// What the schema document says.
pub(super) struct Schema {
    pub(super) version: i32,
    pub(super) is_ours: bool,
}

pub(super) async fn schema(store: &MongoStore) -> StoreResult<Option<Schema>> {
    let found = store
        .collection(name::META)
        .find_one(doc! { "_id": SCHEMA })
        .await?;
    Ok(found.map(|document| Schema {
        version: document.get_i32("version").unwrap_or(0),
        is_ours: document
            .get_str("application")
            .is_ok_and(|name| name == APPLICATION),
    }))
}

pub(super) async fn store_id(store: &MongoStore) -> StoreResult<Uuid> {
    let found = store
        .collection(name::META)
        .find_one(doc! { "_id": SCHEMA })
        .await?;
    found
        .as_ref()
        .and_then(|document| document.get_str("storeId").ok())
        .and_then(|text| text.parse().ok())
        .ok_or(StoreError::NotFound { what: "store id" })
}

pub(super) async fn incoming(store: &MongoStore) -> StoreResult<Option<Incoming>> {
    let found = store
        .collection(name::META)
        .find_one(doc! { "_id": INCOMING })
        .await?;
    found.map(read_incoming).transpose()
}

fn read_incoming(mut document: Document) -> StoreResult<Incoming> {
    let value = document.remove("value").unwrap_or(Bson::Null);
    mongodb::bson::deserialize_from_bson(value).map_err(|error| StoreError::Corrupt {
        what: "document incoming".to_owned(),
        source: Some(Box::new(error)),
    })
}
