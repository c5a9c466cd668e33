//! Browser sessions.

use async_trait::async_trait;
use kalpana_domain::Timestamp;
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::id::{SessionId, UserId};
use kalpana_domain::user::User;
use rusqlite::{Connection, Row};

use super::row::{all, change, one, parsed, plain, secret_hash, timestamp};
use super::{SqliteStore, audit, users};
use crate::error::{StoreError, StoreResult};
use crate::records::{EndedSession, SecretHash, Session};
use crate::repository::Sessions;
use crate::transfer::SessionRecord;

pub(super) fn read(row: &Row<'_>) -> StoreResult<Session> {
    Ok(Session {
        id: parsed(row, "id")?,
        user: parsed(row, "user_id")?,
        secret_hash: secret_hash(row, "secret_hash")?,
        created_at: timestamp(row, "created_at")?,
        last_used_at: timestamp(row, "last_used_at")?,
        expires_at: timestamp(row, "expires_at")?,
        address: plain(row, "address")?,
        user_agent: plain(row, "user_agent")?,
    })
}

/// Writes a session as another store has it.
pub(super) fn replace(connection: &Connection, record: &SessionRecord) -> StoreResult<usize> {
    let session = &record.session;
    change(
        connection,
        "INSERT INTO sessions (id, user_id, secret_hash, created_at, last_used_at, expires_at,
                               ended_at, address, user_agent)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (id) DO UPDATE
         SET last_used_at = excluded.last_used_at, ended_at = excluded.ended_at,
             secret_hash = excluded.secret_hash, expires_at = excluded.expires_at",
        (
            session.id.to_string(),
            session.user.to_string(),
            session.secret_hash,
            session.created_at.as_millisecond(),
            session.last_used_at.as_millisecond(),
            session.expires_at.as_millisecond(),
            record.ended_at.map(Timestamp::as_millisecond),
            &session.address,
            &session.user_agent,
        ),
    )
}

/// Ends the living sessions of a person but `kept`. Returns them, sorted.
pub(super) fn end_others(
    connection: &Connection,
    user: UserId,
    kept: Option<SessionId>,
    now: Timestamp,
) -> StoreResult<Vec<SessionId>> {
    let kept = kept.map(|id| id.to_string()).unwrap_or_default();
    let mut ended: Vec<SessionId> = all(
        connection,
        "UPDATE sessions SET ended_at = ?3
         WHERE user_id = ?1 AND id <> ?2 AND ended_at IS NULL AND expires_at > ?3
         RETURNING id",
        (user.to_string(), kept, now.as_millisecond()),
        |row| parsed(row, "id"),
    )?;
    ended.sort();
    Ok(ended)
}

#[async_trait]
impl Sessions for SqliteStore {
    async fn create_session(&self, session: Session, event: AuditEvent) -> StoreResult<()> {
        self.write(move |transaction| {
            users::require(transaction, session.user)?;
            change(
                transaction,
                "INSERT INTO sessions (id, user_id, secret_hash, created_at, last_used_at,
                                       expires_at, address, user_agent)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                (
                    session.id.to_string(),
                    session.user.to_string(),
                    session.secret_hash,
                    session.created_at.as_millisecond(),
                    session.last_used_at.as_millisecond(),
                    session.expires_at.as_millisecond(),
                    &session.address,
                    &session.user_agent,
                ),
            )?;
            audit::append(transaction, &event)
        })
        .await
    }

    async fn session(
        &self,
        hash: SecretHash,
        now: Timestamp,
        idle_since: Timestamp,
    ) -> StoreResult<Option<(Session, User)>> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT sessions.*, {} FROM sessions JOIN users ON users.id = sessions.user_id {}
                 WHERE sessions.secret_hash = ?1 AND sessions.ended_at IS NULL
                   AND sessions.expires_at > ?2 AND sessions.last_used_at >= ?3",
                users::COLUMNS,
                users::MEMBERSHIP
            );
            let params = (hash, now.as_millisecond(), idle_since.as_millisecond());
            one(connection, &sql, params, |row| {
                Ok((read(row)?, users::read(row)?))
            })
        })
        .await
    }

    async fn touch_session(&self, id: SessionId, now: Timestamp) -> StoreResult<()> {
        self.hint(move |transaction| {
            // Requests in parallel arrive here in any order.
            change(
                transaction,
                "UPDATE sessions SET last_used_at = ?2 WHERE id = ?1 AND last_used_at < ?2",
                (id.to_string(), now.as_millisecond()),
            )?;
            Ok(())
        })
        .await
    }

    async fn sessions_of(
        &self,
        user: UserId,
        now: Timestamp,
        idle_since: Timestamp,
    ) -> StoreResult<Vec<Session>> {
        self.read(move |connection| {
            all(
                connection,
                "SELECT * FROM sessions
                 WHERE user_id = ?1 AND ended_at IS NULL AND expires_at > ?2
                   AND last_used_at >= ?3
                 ORDER BY last_used_at DESC, id DESC",
                (
                    user.to_string(),
                    now.as_millisecond(),
                    idle_since.as_millisecond(),
                ),
                read,
            )
        })
        .await
    }

    async fn end_session(
        &self,
        user: UserId,
        id: SessionId,
        now: Timestamp,
        event: AuditEvent,
    ) -> StoreResult<bool> {
        self.write(move |transaction| {
            let ended = change(
                transaction,
                "UPDATE sessions SET ended_at = ?3
                 WHERE id = ?1 AND user_id = ?2 AND ended_at IS NULL AND expires_at > ?3",
                (id.to_string(), user.to_string(), now.as_millisecond()),
            )?;
            if ended == 1 {
                audit::append(transaction, &event)?;
            }
            Ok(ended == 1)
        })
        .await
    }

    async fn end_other_sessions(
        &self,
        user: UserId,
        kept: Option<SessionId>,
        now: Timestamp,
        event: AuditEvent,
    ) -> StoreResult<Vec<SessionId>> {
        self.write(move |transaction| {
            let ended = end_others(transaction, user, kept, now)?;
            if !ended.is_empty() {
                audit::append(transaction, &event)?;
            }
            Ok(ended)
        })
        .await
    }

    async fn ended_sessions(&self, since: Timestamp) -> StoreResult<Vec<EndedSession>> {
        self.read(move |connection| {
            all(
                connection,
                "SELECT id, ended_at FROM sessions WHERE ended_at >= ?1 ORDER BY ended_at, id",
                [since.as_millisecond()],
                |row| {
                    Ok(EndedSession {
                        id: parsed(row, "id")?,
                        ended_at: timestamp(row, "ended_at")?,
                    })
                },
            )
        })
        .await
    }

    async fn purge_sessions(&self, before: Timestamp) -> StoreResult<u64> {
        let purged = self.write(move |transaction| {
            let removed = change(
                transaction,
                "DELETE FROM sessions WHERE ended_at < ?1 OR expires_at < ?1",
                [before.as_millisecond()],
            )?;
            Ok(removed as u64)
        });
        match purged.await {
            // There is time for this when the store is where it will stay.
            Err(StoreError::Frozen { .. }) => Ok(0),
            other => other,
        }
    }
}
