//! Giving everything away and taking it in.

use std::io;
use std::path::Path;

use async_trait::async_trait;
use kalpana_domain::Timestamp;
use kalpana_domain::organization::Organization;
use rusqlite::{Connection, Row};
use uuid::Uuid;

use super::row::{
    all, change, converted, count, exists, optional_timestamp, parsed, plain, secret_hash,
    timestamp, to_column,
};
use super::{SqliteStore, audit, sealed, sessions, sharing, state, tokens, workspaces};
use crate::error::{StoreError, StoreResult};
use crate::transfer::{
    Collection, Freeze, IdempotencyKeyRecord, Incoming, MoveId, Record, SessionRecord,
    SetupSecretRecord, TokenRecord, Transfer, UserRecord, WorkspaceRecord, port_of_key,
    sequence_of_key,
};

/// How the records of a collection are read: the rows that a key of `?1` is before, at most `?2`.
fn query(collection: Collection) -> &'static str {
    match collection {
        Collection::Organizations => {
            "SELECT * FROM organizations WHERE id > ?1 ORDER BY id LIMIT ?2"
        }
        Collection::Users => {
            "SELECT users.*, memberships.organization_id, memberships.role FROM users
             JOIN memberships ON memberships.user_id = users.id
             WHERE users.id > ?1 ORDER BY users.id LIMIT ?2"
        }
        Collection::SetupSecret => "SELECT * FROM setup_secret WHERE 'setup' > ?1 LIMIT ?2",
        Collection::Sessions => "SELECT * FROM sessions WHERE id > ?1 ORDER BY id LIMIT ?2",
        Collection::Tokens => "SELECT * FROM tokens WHERE id > ?1 ORDER BY id LIMIT ?2",
        Collection::Workspaces => "SELECT * FROM workspaces WHERE id > ?1 ORDER BY id LIMIT ?2",
        Collection::PortShares => {
            "SELECT * FROM port_shares WHERE (workspace_id, port) > (?1, ?3)
             ORDER BY workspace_id, port LIMIT ?2"
        }
        Collection::SealedCopies => {
            "SELECT * FROM sealed_copies WHERE name > ?1 ORDER BY name LIMIT ?2"
        }
        Collection::IdempotencyKeys => {
            "SELECT * FROM idempotency_keys WHERE (user_id, key) > (?1, ?3)
             ORDER BY user_id, key LIMIT ?2"
        }
        Collection::AuditEvents => {
            "SELECT * FROM audit_events WHERE sequence > CAST(?1 AS INTEGER)
             ORDER BY sequence LIMIT ?2"
        }
    }
}

fn table(collection: Collection) -> &'static str {
    match collection {
        Collection::Organizations => "organizations",
        Collection::Users => "users",
        Collection::SetupSecret => "setup_secret",
        Collection::Sessions => "sessions",
        Collection::Tokens => "tokens",
        Collection::Workspaces => "workspaces",
        Collection::PortShares => "port_shares",
        Collection::SealedCopies => "sealed_copies",
        Collection::IdempotencyKeys => "idempotency_keys",
        Collection::AuditEvents => "audit_events",
    }
}

fn read(collection: Collection, row: &Row<'_>) -> StoreResult<Record> {
    Ok(match collection {
        Collection::Organizations => Record::Organization(Organization {
            id: parsed(row, "id")?,
            slug: plain(row, "slug")?,
            created_at: timestamp(row, "created_at")?,
        }),
        Collection::Users => Record::User(UserRecord {
            id: parsed(row, "id")?,
            email: converted(row, "email")?,
            name: plain(row, "name")?,
            password_hash: plain(row, "password_hash")?,
            organization: parsed(row, "organization_id")?,
            role: parsed(row, "role")?,
            created_at: timestamp(row, "created_at")?,
        }),
        Collection::SetupSecret => Record::SetupSecret(SetupSecretRecord {
            secret_hash: secret_hash(row, "secret_hash")?,
            created_at: timestamp(row, "created_at")?,
        }),
        Collection::Sessions => Record::Session(SessionRecord {
            session: sessions::read(row)?,
            ended_at: optional_timestamp(row, "ended_at")?,
        }),
        Collection::Tokens => Record::Token(TokenRecord {
            token: tokens::read(row)?,
            revoked_at: optional_timestamp(row, "revoked_at")?,
        }),
        Collection::Workspaces => Record::Workspace(Box::new(WorkspaceRecord {
            workspace: workspaces::read(row)?,
            deleted_at: optional_timestamp(row, "deleted_at")?,
        })),
        Collection::PortShares => Record::PortShare(Box::new(sharing::read(row)?)),
        Collection::SealedCopies => Record::SealedCopy(sealed::read(row)?),
        Collection::IdempotencyKeys => Record::IdempotencyKey(IdempotencyKeyRecord {
            user: parsed(row, "user_id")?,
            key: plain(row, "key")?,
            request_hash: secret_hash(row, "request_hash")?,
            workspace: parsed(row, "workspace_id")?,
            expires_at: timestamp(row, "expires_at")?,
        }),
        Collection::AuditEvents => {
            let (sequence, event) = audit::read(row)?;
            Record::AuditEvent {
                sequence: u64::try_from(sequence).unwrap_or(0),
                event,
            }
        }
    })
}

/// Writes a record over one with the same key. Rows that others refer to are changed in place.
fn write(connection: &Connection, record: &Record) -> StoreResult<()> {
    match record {
        Record::Organization(organization) => change(
            connection,
            "INSERT INTO organizations (id, slug, created_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (id) DO UPDATE
             SET slug = excluded.slug, created_at = excluded.created_at",
            (
                organization.id.to_string(),
                &organization.slug,
                organization.created_at.as_millisecond(),
            ),
        )?,
        Record::User(user) => write_user(connection, user)?,
        Record::SetupSecret(secret) => change(
            connection,
            "INSERT INTO setup_secret (only_row, secret_hash, created_at) VALUES (1, ?1, ?2)
             ON CONFLICT (only_row) DO UPDATE
             SET secret_hash = excluded.secret_hash, created_at = excluded.created_at",
            (secret.secret_hash, secret.created_at.as_millisecond()),
        )?,
        Record::Session(record) => sessions::replace(connection, record)?,
        Record::Token(record) => tokens::replace(connection, record)?,
        Record::Workspace(record) => workspaces::replace(connection, record)?,
        Record::PortShare(share) => sharing::replace(connection, share)?,
        Record::SealedCopy(copy) => sealed::replace(connection, copy)?,
        Record::IdempotencyKey(record) => change(
            connection,
            "INSERT INTO idempotency_keys (user_id, key, request_hash, workspace_id, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (user_id, key) DO UPDATE
             SET request_hash = excluded.request_hash, workspace_id = excluded.workspace_id,
                 expires_at = excluded.expires_at",
            (
                record.user.to_string(),
                &record.key,
                record.request_hash,
                record.workspace.as_str(),
                record.expires_at.as_millisecond(),
            ),
        )?,
        Record::AuditEvent { sequence, event } => {
            audit::place(connection, to_column(*sequence, "sequence")?, event)?
        }
    };
    Ok(())
}

fn write_user(connection: &Connection, user: &UserRecord) -> StoreResult<usize> {
    let id = user.id.to_string();
    change(
        connection,
        "INSERT INTO users (id, email, name, password_hash, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (id) DO UPDATE
         SET email = excluded.email, name = excluded.name,
             password_hash = excluded.password_hash, created_at = excluded.created_at",
        (
            &id,
            user.email.as_str(),
            &user.name,
            &user.password_hash,
            user.created_at.as_millisecond(),
        ),
    )?;
    change(
        connection,
        "DELETE FROM memberships WHERE user_id = ?1",
        [&id],
    )?;
    change(
        connection,
        "INSERT INTO memberships (organization_id, user_id, role) VALUES (?1, ?2, ?3)",
        (user.organization.to_string(), &id, user.role.as_str()),
    )
}

fn remove_one(connection: &Connection, collection: Collection, key: &str) -> StoreResult<()> {
    match collection {
        Collection::AuditEvents => return Ok(()),
        Collection::SetupSecret => change(connection, "DELETE FROM setup_secret", [])?,
        Collection::PortShares => {
            let (workspace, port) = port_of_key(key);
            sharing::remove(connection, workspace, port)?
        }
        Collection::SealedCopies => change(
            connection,
            "DELETE FROM sealed_copies WHERE name = ?1",
            [key],
        )?,
        Collection::IdempotencyKeys => {
            let (user, key) = key.split_once('/').unwrap_or((key, ""));
            let sql = "DELETE FROM idempotency_keys WHERE user_id = ?1 AND key = ?2";
            change(connection, sql, (user, key))?
        }
        Collection::Users => {
            let sql = "DELETE FROM memberships WHERE user_id = ?1";
            change(connection, sql, [key])?;
            change(connection, "DELETE FROM users WHERE id = ?1", [key])?
        }
        other => {
            let sql = format!("DELETE FROM {} WHERE id = ?1", table(other));
            change(connection, &sql, [key])?
        }
    };
    Ok(())
}

fn require_incoming(connection: &Connection) -> StoreResult<()> {
    match state::incoming(connection)? {
        Some(_) => Ok(()),
        None => Err(StoreError::Conflict { what: "incoming" }),
    }
}

impl SqliteStore {
    /// Tells whether there is a file with anything in it at `path`, without making one.
    ///
    /// # Errors
    /// [`StoreError::Open`] when that cannot be told.
    pub async fn exists(path: &Path) -> StoreResult<bool> {
        match tokio::fs::metadata(path).await {
            Ok(metadata) => Ok(metadata.len() > 0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StoreError::Open {
                at: path.display().to_string(),
                reason: "the file cannot be reached by this user".to_owned(),
                source: Some(Box::new(error)),
            }),
        }
    }
}

fn is_empty(connection: &Connection) -> StoreResult<bool> {
    for collection in Collection::ALL {
        let sql = format!("SELECT 1 FROM {} LIMIT 1", table(collection));
        if exists(connection, &sql, [])? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[async_trait]
impl Transfer for SqliteStore {
    async fn store_id(&self) -> StoreResult<Uuid> {
        self.read(|connection| {
            state::get(connection, state::ID)?.ok_or(StoreError::NotFound { what: "store id" })
        })
        .await
    }

    async fn export(
        &self,
        collection: Collection,
        after: Option<String>,
        limit: usize,
    ) -> StoreResult<Vec<Record>> {
        let after = after.unwrap_or_default();
        let limit = to_column(limit as u64, "limit")?;
        self.read(move |connection| {
            let sql = query(collection);
            let read = |row: &Row<'_>| read(collection, row);
            match collection {
                Collection::IdempotencyKeys => {
                    let (user, key) = after.split_once('/').unwrap_or((&after, ""));
                    all(connection, sql, (user, limit, key), read)
                }
                Collection::PortShares => {
                    let (workspace, port) = port_of_key(&after);
                    all(connection, sql, (workspace, limit, port), read)
                }
                Collection::AuditEvents => {
                    let after = to_column(sequence_of_key(&after), "sequence")?;
                    all(connection, sql, (after, limit), read)
                }
                _ => all(connection, sql, (after, limit), read),
            }
        })
        .await
    }

    async fn count(&self, collection: Collection) -> StoreResult<u64> {
        self.read(move |connection| {
            let sql = format!("SELECT count(*) AS records FROM {}", table(collection));
            let counted = all(connection, &sql, [], |row| count(row, "records"))?;
            Ok(counted.first().copied().unwrap_or(0))
        })
        .await
    }

    async fn import(&self, records: Vec<Record>) -> StoreResult<()> {
        self.write(move |transaction| {
            require_incoming(transaction)?;
            records
                .iter()
                .try_for_each(|record| write(transaction, record))
        })
        .await
    }

    async fn remove(&self, collection: Collection, keys: Vec<String>) -> StoreResult<()> {
        self.write(move |transaction| {
            require_incoming(transaction)?;
            keys.iter()
                .try_for_each(|key| remove_one(transaction, collection, key))
        })
        .await
    }

    async fn incoming(&self) -> StoreResult<Option<Incoming>> {
        self.read(state::incoming).await
    }

    async fn begin_incoming(&self, incoming: Incoming) -> StoreResult<()> {
        self.write(move |transaction| match state::incoming(transaction)? {
            Some(known) if known.from == incoming.from => Ok(()),
            None if is_empty(transaction)? => state::set(transaction, state::INCOMING, &incoming),
            _ => Err(StoreError::Conflict { what: "incoming" }),
        })
        .await
    }

    async fn complete_incoming(&self) -> StoreResult<()> {
        self.write(|transaction| state::clear(transaction, state::INCOMING).map(drop))
            .await
    }

    async fn freeze(&self, freeze: Freeze, now: Timestamp) -> StoreResult<()> {
        self.write_always(move |transaction| {
            let held: Option<Freeze> = state::get(transaction, state::FREEZE)?;
            let is_held = held.is_some_and(|held| held.by != freeze.by && held.until > now);
            let moved_to: Option<String> = state::get(transaction, state::MOVED_TO)?;
            if is_held || moved_to.is_some() {
                return Err(StoreError::Conflict { what: "freeze" });
            }
            state::set(transaction, state::FREEZE, &freeze)
        })
        .await
    }

    async fn renew(&self, freeze: Freeze) -> StoreResult<()> {
        self.write_always(move |transaction| {
            let held: Option<Freeze> = state::get(transaction, state::FREEZE)?;
            if held.is_none_or(|held| held.by != freeze.by) {
                return Err(StoreError::Conflict { what: "freeze" });
            }
            state::set(transaction, state::FREEZE, &freeze)
        })
        .await
    }

    async fn thaw(&self, by: MoveId) -> StoreResult<bool> {
        self.write_always(move |transaction| {
            let held: Option<Freeze> = state::get(transaction, state::FREEZE)?;
            let is_ours = held.is_some_and(|held| held.by == by);
            if is_ours {
                state::clear(transaction, state::FREEZE)?;
            }
            Ok(is_ours)
        })
        .await
    }

    async fn retire(&self, by: MoveId, moved_to: String) -> StoreResult<()> {
        self.write_always(move |transaction| {
            let held: Option<Freeze> = state::get(transaction, state::FREEZE)?;
            if held.is_none_or(|held| held.by != by) {
                return Err(StoreError::Conflict { what: "freeze" });
            }
            state::set(transaction, state::MOVED_TO, &moved_to)?;
            state::clear(transaction, state::FREEZE).map(drop)
        })
        .await
    }

    async fn moved_to(&self) -> StoreResult<Option<String>> {
        self.read(|connection| state::get(connection, state::MOVED_TO))
            .await
    }

    async fn reinstate(&self) -> StoreResult<()> {
        self.write_always(|transaction| state::clear(transaction, state::MOVED_TO).map(drop))
            .await
    }
}
