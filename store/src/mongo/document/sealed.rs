//! What gateways share, sealed.

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime};
use serde::{Deserialize, Serialize};

use super::{date, number, read_number, time};
use crate::error::{StoreError, StoreResult};
use crate::records::{SealedCopy, SealedMark};

/// A sealed copy. The id is its name.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SealedCopyDocument {
    #[serde(rename = "_id")]
    name: String,
    contents: Binary,
    version: i64,
    updated_at: DateTime,
}

impl TryFrom<&SealedCopy> for SealedCopyDocument {
    type Error = StoreError;
    fn try_from(copy: &SealedCopy) -> StoreResult<Self> {
        Ok(Self {
            name: copy.name.clone(),
            contents: Binary {
                subtype: BinarySubtype::Generic,
                bytes: copy.contents.clone(),
            },
            version: number(copy.version, "version")?,
            updated_at: date(copy.updated_at),
        })
    }
}

impl TryFrom<SealedCopyDocument> for SealedCopy {
    type Error = StoreError;
    fn try_from(document: SealedCopyDocument) -> StoreResult<Self> {
        Ok(Self {
            name: document.name,
            contents: document.contents.bytes,
            version: read_number(document.version, "version")?,
            updated_at: time(document.updated_at, "updatedAt")?,
        })
    }
}

/// What is listed of a sealed copy.
#[derive(Debug, Deserialize)]
pub(crate) struct SealedMarkDocument {
    #[serde(rename = "_id")]
    name: String,
    version: i64,
}

impl TryFrom<SealedMarkDocument> for SealedMark {
    type Error = StoreError;
    fn try_from(document: SealedMarkDocument) -> StoreResult<Self> {
        Ok(Self {
            name: document.name,
            version: read_number(document.version, "version")?,
        })
    }
}
