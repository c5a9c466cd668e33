//! API tokens.

use async_trait::async_trait;
use kalpana_domain::Timestamp;
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::id::{TokenId, UserId};
use kalpana_domain::user::{Scope, User};
use rusqlite::{Connection, Row};

use super::row::{all, change, one, optional_timestamp, parsed, plain, secret_hash, timestamp};
use super::{SqliteStore, audit, users};
use crate::error::{StoreError, StoreResult};
use crate::records::Token;
use crate::repository::Tokens;
use crate::transfer::TokenRecord;

pub(super) fn read(row: &Row<'_>) -> StoreResult<Token> {
    Ok(Token {
        id: parsed(row, "id")?,
        user: parsed(row, "user_id")?,
        secret_hash: secret_hash(row, "secret_hash")?,
        name: plain(row, "name")?,
        scopes: read_scopes(&plain::<String>(row, "scopes")?)?,
        created_at: timestamp(row, "created_at")?,
        expires_at: timestamp(row, "expires_at")?,
        last_used_at: optional_timestamp(row, "last_used_at")?,
    })
}

fn read_scopes(text: &str) -> StoreResult<Vec<Scope>> {
    let scopes: Result<_, _> = text.split_ascii_whitespace().map(str::parse).collect();
    scopes.map_err(
        |error: kalpana_domain::workspace::UnknownChoice| StoreError::Corrupt {
            what: "column scopes".to_owned(),
            source: Some(Box::new(error)),
        },
    )
}

fn write_scopes(scopes: &[Scope]) -> String {
    scopes
        .iter()
        .map(|scope| scope.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Writes a token as another store has it.
pub(super) fn replace(connection: &Connection, record: &TokenRecord) -> StoreResult<usize> {
    let token = &record.token;
    change(
        connection,
        "INSERT INTO tokens (id, user_id, secret_hash, name, scopes, created_at, expires_at,
                             last_used_at, revoked_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (id) DO UPDATE
         SET last_used_at = excluded.last_used_at, revoked_at = excluded.revoked_at",
        (
            token.id.to_string(),
            token.user.to_string(),
            token.secret_hash,
            &token.name,
            write_scopes(&token.scopes),
            token.created_at.as_millisecond(),
            token.expires_at.as_millisecond(),
            token.last_used_at.map(Timestamp::as_millisecond),
            record.revoked_at.map(Timestamp::as_millisecond),
        ),
    )
}

/// Revokes the living tokens of a person. Returns them, sorted.
pub(super) fn revoke_all(
    connection: &Connection,
    user: UserId,
    now: Timestamp,
) -> StoreResult<Vec<TokenId>> {
    let mut revoked: Vec<TokenId> = all(
        connection,
        "UPDATE tokens SET revoked_at = ?2
         WHERE user_id = ?1 AND revoked_at IS NULL AND expires_at > ?2
         RETURNING id",
        (user.to_string(), now.as_millisecond()),
        |row| parsed(row, "id"),
    )?;
    revoked.sort();
    Ok(revoked)
}

#[async_trait]
impl Tokens for SqliteStore {
    async fn create_token(&self, token: Token, event: AuditEvent) -> StoreResult<()> {
        self.write(move |transaction| {
            users::require(transaction, token.user)?;
            change(
                transaction,
                "INSERT INTO tokens (id, user_id, secret_hash, name, scopes, created_at,
                                     expires_at, last_used_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                (
                    token.id.to_string(),
                    token.user.to_string(),
                    token.secret_hash,
                    &token.name,
                    write_scopes(&token.scopes),
                    token.created_at.as_millisecond(),
                    token.expires_at.as_millisecond(),
                    token.last_used_at.map(Timestamp::as_millisecond),
                ),
            )?;
            audit::append(transaction, &event)
        })
        .await
    }

    async fn token(&self, id: TokenId, now: Timestamp) -> StoreResult<Option<(Token, User)>> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT tokens.*, {} FROM tokens JOIN users ON users.id = tokens.user_id {}
                 WHERE tokens.id = ?1 AND tokens.revoked_at IS NULL AND tokens.expires_at > ?2",
                users::COLUMNS,
                users::MEMBERSHIP
            );
            one(
                connection,
                &sql,
                (id.to_string(), now.as_millisecond()),
                |row| Ok((read(row)?, users::read(row)?)),
            )
        })
        .await
    }

    async fn tokens_of(&self, user: UserId, now: Timestamp) -> StoreResult<Vec<Token>> {
        self.read(move |connection| {
            all(
                connection,
                "SELECT * FROM tokens
                 WHERE user_id = ?1 AND revoked_at IS NULL AND expires_at > ?2
                 ORDER BY created_at DESC, id DESC",
                (user.to_string(), now.as_millisecond()),
                read,
            )
        })
        .await
    }

    async fn touch_token(&self, id: TokenId, now: Timestamp) -> StoreResult<()> {
        self.hint(move |transaction| {
            change(
                transaction,
                "UPDATE tokens SET last_used_at = ?2
                 WHERE id = ?1 AND coalesce(last_used_at, ?2 - 1) < ?2",
                (id.to_string(), now.as_millisecond()),
            )?;
            Ok(())
        })
        .await
    }

    async fn revoke_token(
        &self,
        user: UserId,
        id: TokenId,
        now: Timestamp,
        event: AuditEvent,
    ) -> StoreResult<bool> {
        self.write(move |transaction| {
            let revoked = change(
                transaction,
                "UPDATE tokens SET revoked_at = ?3
                 WHERE id = ?1 AND user_id = ?2 AND revoked_at IS NULL AND expires_at > ?3",
                (id.to_string(), user.to_string(), now.as_millisecond()),
            )?;
            if revoked == 1 {
                audit::append(transaction, &event)?;
            }
            Ok(revoked == 1)
        })
        .await
    }
}
