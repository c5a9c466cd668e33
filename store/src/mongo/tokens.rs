//! API tokens.

use async_trait::async_trait;
use futures_util::{FutureExt, TryStreamExt};
use kalpana_domain::Timestamp;
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::id::{TokenId, UserId};
use kalpana_domain::user::User;
use mongodb::bson::{Document, doc};

use super::document::{self, TokenDocument, date};
use super::failure::Failure;
use super::{Attempt, MongoStore, audit, name, users};
use crate::error::StoreResult;
use crate::records::Token;
use crate::repository::{Tokens, Users};
use crate::transfer::TokenRecord;

pub(super) fn read(document: Document) -> StoreResult<TokenRecord> {
    document::read::<TokenDocument>(document, name::TOKENS)?.try_into()
}

/// Revokes the living tokens of a person, in a transaction that holds the lock of
/// [`users::lock_access`]. Returns them, sorted.
pub(super) async fn revoke_all(
    attempt: &mut Attempt<'_>,
    user: UserId,
    now: Timestamp,
) -> Result<Vec<TokenId>, Failure> {
    let filter = doc! {
        "userId": user.to_string(),
        "revokedAt": null,
        "expiresAt": { "$gt": date(now) },
    };
    attempt
        .end_all(name::TOKENS, filter, "revokedAt", now)
        .await
}

#[async_trait]
impl Tokens for MongoStore {
    async fn create_token(&self, token: Token, event: AuditEvent) -> StoreResult<()> {
        let context = (token, self.entry(event).await?);
        self.transact(context, |attempt, (token, entry)| {
            async move {
                users::require(attempt, token.user).await?;
                users::lock_access(attempt, token.user).await?;
                let record = TokenRecord {
                    token: token.clone(),
                    revoked_at: None,
                };
                attempt
                    .collection(name::TOKENS)
                    .insert_one(document::write(&TokenDocument::from(&record))?)
                    .session(&mut *attempt.session)
                    .await
                    .map_err(|error| Failure::collision(error, "id"))?;
                audit::append(attempt, entry).await
            }
            .boxed()
        })
        .await
    }

    async fn token(&self, id: TokenId, now: Timestamp) -> StoreResult<Option<(Token, User)>> {
        let found = self
            .collection(name::TOKENS)
            .find_one(doc! {
                "_id": id.to_string(),
                "revokedAt": null,
                "expiresAt": { "$gt": date(now) },
            })
            .await?;
        let Some(record) = found.map(read).transpose()? else {
            return Ok(None);
        };
        let user = self.user(record.token.user).await?;
        Ok(user.map(|user| (record.token, user)))
    }

    async fn tokens_of(&self, user: UserId, now: Timestamp) -> StoreResult<Vec<Token>> {
        let documents: Vec<Document> = self
            .collection(name::TOKENS)
            .find(doc! {
                "userId": user.to_string(),
                "revokedAt": null,
                "expiresAt": { "$gt": date(now) },
            })
            .sort(doc! { "createdAt": -1, "_id": -1 })
            .await?
            .try_collect()
            .await?;
        documents
            .into_iter()
            .map(|document| read(document).map(|record| record.token))
            .collect()
    }

    async fn touch_token(&self, id: TokenId, now: Timestamp) -> StoreResult<()> {
        self.collection(name::TOKENS)
            .update_one(
                doc! { "_id": id.to_string() },
                doc! { "$max": { "lastUsedAt": date(now) } },
            )
            .await?;
        Ok(())
    }

    async fn revoke_token(
        &self,
        user: UserId,
        id: TokenId,
        now: Timestamp,
        event: AuditEvent,
    ) -> StoreResult<bool> {
        let context = (user, id, now, self.entry(event).await?);
        self.transact(context, |attempt, (user, id, now, entry)| {
            async move {
                let revoked = attempt
                    .collection(name::TOKENS)
                    .update_one(
                        doc! {
                            "_id": id.to_string(),
                            "userId": user.to_string(),
                            "revokedAt": null,
                            "expiresAt": { "$gt": date(*now) },
                        },
                        doc! { "$set": { "revokedAt": date(*now) } },
                    )
                    .session(&mut *attempt.session)
                    .await?;
                if revoked.matched_count == 1 {
                    audit::append(attempt, entry).await?;
                }
                Ok(revoked.matched_count == 1)
            }
            .boxed()
        })
        .await
    }
}
