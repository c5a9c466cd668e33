//! What gateways share, sealed.

use async_trait::async_trait;
use futures_util::{FutureExt, TryStreamExt};
use mongodb::bson::{Document, doc};

use super::document::{self, SealedCopyDocument, SealedMarkDocument};
use super::failure::Failure;
use super::{Attempt, MongoStore, name};
use crate::error::{StoreError, StoreResult};
use crate::records::{SealedCopy, SealedMark, first_version};
use crate::repository::SealedCopies;

pub(super) fn read(document: Document) -> StoreResult<SealedCopy> {
    document::read::<SealedCopyDocument>(document, name::SEALED_COPIES)?.try_into()
}

pub(super) fn write(copy: &SealedCopy) -> StoreResult<Document> {
    document::write(&SealedCopyDocument::try_from(copy)?)
}

async fn put(attempt: &mut Attempt<'_>, copy: &SealedCopy) -> Result<SealedCopy, Failure> {
    let copies = attempt.collection(name::SEALED_COPIES);
    let id = doc! { "_id": &copy.name };
    let known = copies
        .find_one(id.clone())
        .session(&mut *attempt.session)
        .await?;
    let known = known.map(read).transpose()?.map(|known| known.version);
    if known.unwrap_or(0) != copy.version {
        return Err(StoreError::Conflict { what: "version" }.into());
    }
    let version = match known {
        Some(version) => version + 1,
        None => first_version(copy.updated_at),
    };
    let document = write(&SealedCopy {
        version,
        ..copy.clone()
    })?;
    copies
        .replace_one(id, &document)
        .upsert(true)
        .session(&mut *attempt.session)
        .await?;
    Ok(read(document)?)
}

#[async_trait]
impl SealedCopies for MongoStore {
    async fn sealed_copies(&self, prefix: &str) -> StoreResult<Vec<SealedMark>> {
        let documents: Vec<Document> = self
            .collection(name::SEALED_COPIES)
            .find(doc! { "_id": { "$gte": prefix } })
            .projection(doc! { "version": 1 })
            .sort(doc! { "_id": 1 })
            .await?
            .try_collect()
            .await?;
        let marks = documents.into_iter().map(|document| {
            document::read::<SealedMarkDocument>(document, name::SEALED_COPIES)?.try_into()
        });
        let marks: StoreResult<Vec<SealedMark>> = marks.collect();
        let mut marks = marks?;
        marks.retain(|mark| mark.name.starts_with(prefix));
        Ok(marks)
    }

    async fn sealed_copy(&self, name: &str) -> StoreResult<Option<SealedCopy>> {
        let found = self
            .collection(name::SEALED_COPIES)
            .find_one(doc! { "_id": name })
            .await?;
        found.map(read).transpose()
    }

    async fn put_sealed_copy(&self, copy: &SealedCopy) -> StoreResult<SealedCopy> {
        self.transact(copy.clone(), |attempt, copy| put(attempt, copy).boxed())
            .await
    }

    async fn remove_sealed_copy(&self, name: &str, version: u64) -> StoreResult<bool> {
        let version = document::number(version, "version")?;
        self.transact((name.to_owned(), version), |attempt, (name, version)| {
            async move {
                let removed = attempt
                    .collection(name::SEALED_COPIES)
                    .delete_one(doc! { "_id": name, "version": *version })
                    .session(&mut *attempt.session)
                    .await?;
                Ok(removed.deleted_count == 1)
            }
            .boxed()
        })
        .await
    }
}
