//! People and their place in the default organisation.

use async_trait::async_trait;
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::id::{OrganizationId, UserId};
use kalpana_domain::organization::Organization;
use kalpana_domain::user::{EmailAddress, Role, User};
use rusqlite::{Connection, Row};

use super::row::{all, change, converted, exists, one, parsed, plain, timestamp};
use super::{SqliteStore, audit, sessions, tokens};
use crate::error::{StoreError, StoreResult};
use crate::page::{Page, PageRequest, Position};
use crate::records::{EndedAccess, NewUser, PasswordChange, UserWithPassword};
use crate::repository::Users;

/// The columns of a [`User`], with names that no joined table has.
pub(super) const COLUMNS: &str = "users.id AS user_row_id, users.email AS user_email, \
     users.name AS user_name, users.created_at AS user_created_at, \
     memberships.organization_id AS user_organization_id, memberships.role AS user_role";

/// Joins a user to their place in the organisation.
pub(super) const MEMBERSHIP: &str = "JOIN memberships ON memberships.user_id = users.id";

/// Reads the columns of [`COLUMNS`].
pub(super) fn read(row: &Row<'_>) -> StoreResult<User> {
    Ok(User {
        id: parsed(row, "user_row_id")?,
        email: converted(row, "user_email")?,
        name: plain(row, "user_name")?,
        organization: parsed(row, "user_organization_id")?,
        role: parsed(row, "user_role")?,
        created_at: timestamp(row, "user_created_at")?,
    })
}

/// Tells whether the site has a user.
pub(super) fn any(connection: &Connection) -> StoreResult<bool> {
    exists(connection, "SELECT 1 FROM users LIMIT 1", [])
}

/// Refuses an operation that refers to somebody who is not there, before anything else about the
/// new row can be wrong.
pub(super) fn require(connection: &Connection, id: UserId) -> StoreResult<()> {
    if exists(
        connection,
        "SELECT 1 FROM users WHERE id = ?1",
        [id.to_string()],
    )? {
        Ok(())
    } else {
        Err(StoreError::NotFound { what: "reference" })
    }
}

fn default_organization(connection: &Connection) -> StoreResult<OrganizationId> {
    let found = one(
        connection,
        "SELECT id FROM organizations WHERE slug = ?1",
        [Organization::DEFAULT_SLUG],
        |row| parsed(row, "id"),
    )?;
    found.ok_or(StoreError::NotFound {
        what: "default organization",
    })
}

fn by_id(connection: &Connection, id: UserId) -> StoreResult<Option<User>> {
    let sql = format!("SELECT {COLUMNS} FROM users {MEMBERSHIP} WHERE users.id = ?1");
    one(connection, &sql, [id.to_string()], read)
}

/// Makes a person with `role`. A setup link that is still out means nothing from now on.
pub(super) fn insert(connection: &Connection, user: &NewUser, role: Role) -> StoreResult<User> {
    let email = user.email.as_str();
    if exists(connection, "SELECT 1 FROM users WHERE email = ?1", [email])? {
        return Err(StoreError::Conflict { what: "email" });
    }
    let organization = default_organization(connection)?;
    change(
        connection,
        "INSERT INTO users (id, email, name, password_hash, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        (
            user.id.to_string(),
            email,
            &user.name,
            &user.password_hash,
            user.created_at.as_millisecond(),
        ),
    )?;
    change(
        connection,
        "INSERT INTO memberships (organization_id, user_id, role) VALUES (?1, ?2, ?3)",
        (organization.to_string(), user.id.to_string(), role.as_str()),
    )?;
    change(connection, "DELETE FROM setup_secret", [])?;
    by_id(connection, user.id)?.ok_or(StoreError::NotFound { what: "user" })
}

/// Replaces a password's hash, unless it is not `known` any more. Returns whether it was.
fn replace_hash(connection: &Connection, id: UserId, known: &str, new: &str) -> StoreResult<bool> {
    let changed = change(
        connection,
        "UPDATE users SET password_hash = ?3 WHERE id = ?1 AND password_hash = ?2",
        (id.to_string(), known, new),
    )?;
    Ok(changed == 1)
}

#[async_trait]
impl Users for SqliteStore {
    async fn create_user(&self, user: NewUser, event: AuditEvent) -> StoreResult<User> {
        self.write(move |transaction| {
            let made = insert(transaction, &user, user.role)?;
            audit::append(transaction, &event)?;
            Ok(made)
        })
        .await
    }

    async fn user(&self, id: UserId) -> StoreResult<Option<User>> {
        self.read(move |connection| by_id(connection, id)).await
    }

    async fn user_by_email(&self, email: &EmailAddress) -> StoreResult<Option<UserWithPassword>> {
        let email = email.clone();
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS}, users.password_hash FROM users {MEMBERSHIP}
                 WHERE users.email = ?1"
            );
            one(connection, &sql, [email.as_str()], |row| {
                Ok(UserWithPassword {
                    user: read(row)?,
                    password_hash: plain(row, "password_hash")?,
                })
            })
        })
        .await
    }

    async fn upgrade_password_hash(
        &self,
        id: UserId,
        known_hash: String,
        password_hash: String,
    ) -> StoreResult<()> {
        self.hint(move |transaction| {
            replace_hash(transaction, id, &known_hash, &password_hash)?;
            Ok(())
        })
        .await
    }

    async fn change_password(
        &self,
        wish: PasswordChange,
        event: AuditEvent,
    ) -> StoreResult<EndedAccess> {
        self.write(move |transaction| {
            let user = wish.user;
            if !replace_hash(transaction, user, &wish.known_hash, &wish.new_hash)? {
                return Err(match by_id(transaction, user)? {
                    Some(_) => StoreError::Conflict { what: "password" },
                    None => StoreError::NotFound { what: "user" },
                });
            }
            let sessions = sessions::end_others(transaction, user, Some(wish.kept), wish.at)?;
            audit::append(transaction, &event)?;
            let mut tokens = Vec::new();
            if let Some(revocation) = &wish.revocation {
                tokens = tokens::revoke_all(transaction, user, wish.at)?;
                if !tokens.is_empty() {
                    audit::append(transaction, revocation)?;
                }
            }
            Ok(EndedAccess { sessions, tokens })
        })
        .await
    }

    async fn users(&self, page: PageRequest) -> StoreResult<Page<User>> {
        let after = page.position()?.unwrap_or(Position {
            rank: i64::MIN,
            id: String::new(),
        });
        let size = page.size();
        let rows = self
            .read(move |connection| {
                let sql = format!(
                    "SELECT {COLUMNS} FROM users {MEMBERSHIP}
                     WHERE (users.created_at, users.id) > (?1, ?2)
                     ORDER BY users.created_at, users.id LIMIT ?3"
                );
                all(
                    connection,
                    &sql,
                    (after.rank, after.id, size as i64 + 1),
                    read,
                )
            })
            .await?;
        Ok(Page::cut(rows, size, |user| Position {
            rank: user.created_at.as_millisecond(),
            id: user.id.to_string(),
        }))
    }

    async fn default_organization(&self) -> StoreResult<OrganizationId> {
        self.read(default_organization).await
    }
}
