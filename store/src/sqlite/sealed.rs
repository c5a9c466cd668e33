//! What gateways share, sealed.

use async_trait::async_trait;
use rusqlite::{Connection, Row};

use super::SqliteStore;
use super::row::{all, change, count, one, plain, timestamp, to_column};
use crate::error::{StoreError, StoreResult};
use crate::records::{SealedCopy, SealedMark, first_version};
use crate::repository::SealedCopies;

pub(super) fn read(row: &Row<'_>) -> StoreResult<SealedCopy> {
    Ok(SealedCopy {
        name: plain(row, "name")?,
        contents: plain(row, "contents")?,
        version: count(row, "version")?,
        updated_at: timestamp(row, "updated_at")?,
    })
}

/// Writes a copy as it is given, over what was there.
pub(super) fn replace(connection: &Connection, copy: &SealedCopy) -> StoreResult<usize> {
    change(
        connection,
        "INSERT INTO sealed_copies (name, contents, version, updated_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (name) DO UPDATE
         SET contents = excluded.contents, version = excluded.version,
             updated_at = excluded.updated_at",
        (
            &copy.name,
            &copy.contents,
            to_column(copy.version, "version")?,
            copy.updated_at.as_millisecond(),
        ),
    )
}

fn find(connection: &Connection, name: &str) -> StoreResult<Option<SealedCopy>> {
    let sql = "SELECT * FROM sealed_copies WHERE name = ?1";
    one(connection, sql, [name], read)
}

#[async_trait]
impl SealedCopies for SqliteStore {
    async fn sealed_copies(&self, prefix: &str) -> StoreResult<Vec<SealedMark>> {
        let prefix = prefix.to_owned();
        self.read(move |connection| {
            let sql = "SELECT name, version FROM sealed_copies
                       WHERE name >= ?1 AND substr(name, 1, length(?1)) = ?1 ORDER BY name";
            all(connection, sql, [prefix], |row| {
                Ok(SealedMark {
                    name: plain(row, "name")?,
                    version: count(row, "version")?,
                })
            })
        })
        .await
    }

    async fn sealed_copy(&self, name: &str) -> StoreResult<Option<SealedCopy>> {
        let name = name.to_owned();
        self.read(move |connection| find(connection, &name)).await
    }

    async fn put_sealed_copy(&self, copy: &SealedCopy) -> StoreResult<SealedCopy> {
        let mut copy = copy.clone();
        self.write(move |transaction| {
            let known = find(transaction, &copy.name)?.map(|known| known.version);
            if known.unwrap_or(0) != copy.version {
                return Err(StoreError::Conflict { what: "version" });
            }
            copy.version = match known {
                Some(version) => version + 1,
                None => first_version(copy.updated_at),
            };
            replace(transaction, &copy)?;
            find(transaction, &copy.name)?.ok_or(StoreError::NotFound { what: "copy" })
        })
        .await
    }

    async fn remove_sealed_copy(&self, name: &str, version: u64) -> StoreResult<bool> {
        let name = name.to_owned();
        self.write(move |transaction| {
            let version = to_column(version, "version")?;
            let sql = "DELETE FROM sealed_copies WHERE name = ?1 AND version = ?2";
            Ok(change(transaction, sql, (name, version))? == 1)
        })
        .await
    }
}
