//! The one-time link that makes the first administrator.
//!
//! Every transaction that depends on "there is no user yet" writes the setup document, which is
//! always there: of two at once, one begins again and sees what the other did.

use async_trait::async_trait;
use futures_util::FutureExt;
use kalpana_domain::Timestamp;
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::user::{Role, User};
use mongodb::bson::doc;

use super::failure::Failure;
use super::{Attempt, MongoStore, audit, document, name, state, users};
use crate::error::{StoreError, StoreResult};
use crate::records::{NewUser, SecretHash};
use crate::repository::Setup;

/// Makes a setup link that is still out mean nothing.
pub(super) async fn forget(attempt: &mut Attempt<'_>) -> Result<(), Failure> {
    attempt
        .collection(name::META)
        .update_one(
            doc! { "_id": state::SETUP },
            doc! { "$unset": { "secretHash": "", "createdAt": "" }, "$inc": { "changes": 1_i64 } },
        )
        .session(&mut *attempt.session)
        .await?;
    Ok(())
}

#[async_trait]
impl Setup for MongoStore {
    async fn is_setup_required(&self) -> StoreResult<bool> {
        let user = self.collection(name::USERS).find_one(doc! {}).await?;
        Ok(user.is_none())
    }

    async fn put_setup_secret(&self, hash: SecretHash, now: Timestamp) -> StoreResult<bool> {
        self.transact((hash, now), |attempt, (hash, now)| {
            async move {
                if users::any(attempt).await? {
                    return Ok(false);
                }
                attempt
                    .collection(name::META)
                    .update_one(
                        doc! { "_id": state::SETUP },
                        doc! {
                            "$set": {
                                "secretHash": document::hash(hash),
                                "createdAt": document::date(*now),
                            },
                            "$inc": { "changes": 1_i64 },
                        },
                    )
                    .session(&mut *attempt.session)
                    .await?;
                Ok(true)
            }
            .boxed()
        })
        .await
    }

    async fn complete_setup(
        &self,
        hash: SecretHash,
        user: NewUser,
        event: AuditEvent,
    ) -> StoreResult<User> {
        let context = (hash, user, self.entry(event).await?);
        self.transact(context, |attempt, (hash, user, entry)| {
            async move {
                if users::any(attempt).await? {
                    return Err(StoreError::Conflict { what: "setup" }.into());
                }
                let secret = attempt
                    .collection(name::META)
                    .find_one(doc! { "_id": state::SETUP, "secretHash": document::hash(hash) })
                    .session(&mut *attempt.session)
                    .await?;
                if secret.is_none() {
                    let what = "setup secret";
                    return Err(StoreError::NotFound { what }.into());
                }
                let made = users::insert(attempt, user, Role::Administrator).await?;
                audit::append(attempt, entry).await?;
                Ok(made)
            }
            .boxed()
        })
        .await
    }
}
