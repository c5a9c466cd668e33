//! The one-time link that makes the first administrator.

use async_trait::async_trait;
use kalpana_domain::Timestamp;
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::user::{Role, User};

use super::row::{change, exists};
use super::{SqliteStore, audit, users};
use crate::error::{StoreError, StoreResult};
use crate::records::{NewUser, SecretHash};
use crate::repository::Setup;

#[async_trait]
impl Setup for SqliteStore {
    async fn is_setup_required(&self) -> StoreResult<bool> {
        self.read(|connection| Ok(!users::any(connection)?)).await
    }

    async fn put_setup_secret(&self, hash: SecretHash, now: Timestamp) -> StoreResult<bool> {
        self.write(move |transaction| {
            if users::any(transaction)? {
                return Ok(false);
            }
            change(
                transaction,
                "INSERT INTO setup_secret (only_row, secret_hash, created_at) VALUES (1, ?1, ?2)
                 ON CONFLICT (only_row) DO UPDATE
                 SET secret_hash = excluded.secret_hash, created_at = excluded.created_at",
                (hash, now.as_millisecond()),
            )?;
            Ok(true)
        })
        .await
    }

    async fn complete_setup(
        &self,
        hash: SecretHash,
        user: NewUser,
        event: AuditEvent,
    ) -> StoreResult<User> {
        self.write(move |transaction| {
            if users::any(transaction)? {
                return Err(StoreError::Conflict { what: "setup" });
            }
            if !exists(
                transaction,
                "SELECT 1 FROM setup_secret WHERE secret_hash = ?1",
                [hash],
            )? {
                return Err(StoreError::NotFound {
                    what: "setup secret",
                });
            }
            let made = users::insert(transaction, &user, Role::Administrator)?;
            audit::append(transaction, &event)?;
            Ok(made)
        })
        .await
    }
}
