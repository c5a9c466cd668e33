//! People, their sessions and their tokens.

use kalpana_domain::user::{EmailAddress, Scope, User};
use mongodb::bson::{Binary, DateTime};
use serde::{Deserialize, Serialize};

use super::{corrupt, date, hash, parsed, read_hash, time};
use crate::error::{StoreError, StoreResult};
use crate::records::{Session, Token};
use crate::transfer::{SessionRecord, TokenRecord, UserRecord};

/// A person with their place in an organisation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserDocument {
    #[serde(rename = "_id")]
    pub(crate) id: String,
    email: String,
    name: String,
    pub(crate) password_hash: String,
    organization_id: String,
    role: String,
    created_at: DateTime,
    updated_at: DateTime,
}

impl From<&UserRecord> for UserDocument {
    fn from(user: &UserRecord) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.as_str().to_owned(),
            name: user.name.clone(),
            password_hash: user.password_hash.clone(),
            organization_id: user.organization.to_string(),
            role: user.role.as_str().to_owned(),
            created_at: date(user.created_at),
            updated_at: date(user.created_at),
        }
    }
}

impl TryFrom<UserDocument> for UserRecord {
    type Error = StoreError;
    fn try_from(document: UserDocument) -> StoreResult<Self> {
        Ok(Self {
            id: parsed(&document.id, "_id")?,
            email: EmailAddress::try_from(document.email).map_err(corrupt("email"))?,
            name: document.name,
            password_hash: document.password_hash,
            organization: parsed(&document.organization_id, "organizationId")?,
            role: parsed(&document.role, "role")?,
            created_at: time(document.created_at, "createdAt")?,
        })
    }
}

impl From<UserRecord> for User {
    fn from(record: UserRecord) -> Self {
        Self {
            id: record.id,
            email: record.email,
            name: record.name,
            organization: record.organization,
            role: record.role,
            created_at: record.created_at,
        }
    }
}

/// A session. `sessionToken` is SHA-256 of the token, which itself is nowhere kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionDocument {
    #[serde(rename = "_id")]
    id: String,
    user_id: String,
    session_token: Binary,
    expires: DateTime,
    created_at: DateTime,
    updated_at: DateTime,
    #[serde(default)]
    ended_at: Option<DateTime>,
    address: Option<String>,
    user_agent: Option<String>,
}

impl From<&SessionRecord> for SessionDocument {
    fn from(record: &SessionRecord) -> Self {
        let session = &record.session;
        Self {
            id: session.id.to_string(),
            user_id: session.user.to_string(),
            session_token: hash(&session.secret_hash),
            expires: date(session.expires_at),
            created_at: date(session.created_at),
            updated_at: date(session.last_used_at),
            ended_at: record.ended_at.map(date),
            address: session.address.clone(),
            user_agent: session.user_agent.clone(),
        }
    }
}

impl TryFrom<SessionDocument> for SessionRecord {
    type Error = StoreError;
    fn try_from(document: SessionDocument) -> StoreResult<Self> {
        let session = Session {
            id: parsed(&document.id, "_id")?,
            user: parsed(&document.user_id, "userId")?,
            secret_hash: read_hash(&document.session_token, "sessionToken")?,
            created_at: time(document.created_at, "createdAt")?,
            last_used_at: time(document.updated_at, "updatedAt")?,
            expires_at: time(document.expires, "expires")?,
            address: document.address,
            user_agent: document.user_agent,
        };
        let ended_at = document
            .ended_at
            .map(|date| time(date, "endedAt"))
            .transpose()?;
        Ok(Self { session, ended_at })
    }
}

/// An API token.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenDocument {
    #[serde(rename = "_id")]
    id: String,
    user_id: String,
    secret_hash: Binary,
    name: String,
    scopes: Vec<Scope>,
    created_at: DateTime,
    expires_at: DateTime,
    #[serde(default)]
    last_used_at: Option<DateTime>,
    #[serde(default)]
    revoked_at: Option<DateTime>,
}

impl From<&TokenRecord> for TokenDocument {
    fn from(record: &TokenRecord) -> Self {
        let token = &record.token;
        Self {
            id: token.id.to_string(),
            user_id: token.user.to_string(),
            secret_hash: hash(&token.secret_hash),
            name: token.name.clone(),
            scopes: token.scopes.clone(),
            created_at: date(token.created_at),
            expires_at: date(token.expires_at),
            last_used_at: token.last_used_at.map(date),
            revoked_at: record.revoked_at.map(date),
        }
    }
}

impl TryFrom<TokenDocument> for TokenRecord {
    type Error = StoreError;
    fn try_from(document: TokenDocument) -> StoreResult<Self> {
        let optional =
            |date: Option<DateTime>, field| date.map(|date| time(date, field)).transpose();
        let token = Token {
            id: parsed(&document.id, "_id")?,
            user: parsed(&document.user_id, "userId")?,
            secret_hash: read_hash(&document.secret_hash, "secretHash")?,
            name: document.name,
            scopes: document.scopes,
            created_at: time(document.created_at, "createdAt")?,
            expires_at: time(document.expires_at, "expiresAt")?,
            last_used_at: optional(document.last_used_at, "lastUsedAt")?,
        };
        Ok(Self {
            token,
            revoked_at: optional(document.revoked_at, "revokedAt")?,
        })
    }
}
