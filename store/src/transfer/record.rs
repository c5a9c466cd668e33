//! Everything a store holds, one record at a time, in a shape that is no backend's own.

use kalpana_domain::Timestamp;
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::id::{OrganizationId, UserId, WorkspaceId};
use kalpana_domain::organization::Organization;
use kalpana_domain::sharing::PortShare;
use kalpana_domain::user::{EmailAddress, Role};
use kalpana_domain::workspace::Workspace;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::records::{SealedCopy, SecretHash, Session, Token};

/// A kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Collection {
    /// Organisations.
    Organizations,
    /// People with their place in an organisation.
    Users,
    /// The setup link that counts, at most one.
    SetupSecret,
    /// Browser sessions, ended ones too.
    Sessions,
    /// API tokens, revoked ones too.
    Tokens,
    /// Workspaces and tombstones.
    Workspaces,
    /// How ports are shared.
    PortShares,
    /// What gateways share, sealed.
    SealedCopies,
    /// Keys of requests that may be repeated.
    IdempotencyKeys,
    /// The audit log.
    AuditEvents,
}

impl Collection {
    /// Every collection; what refers to another comes after it.
    pub const ALL: [Self; 10] = [
        Self::Organizations,
        Self::Users,
        Self::SetupSecret,
        Self::Sessions,
        Self::Tokens,
        Self::Workspaces,
        Self::PortShares,
        Self::SealedCopies,
        Self::IdempotencyKeys,
        Self::AuditEvents,
    ];

    /// Returns the name that people and progress lines use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Organizations => "organizations",
            Self::Users => "users",
            Self::SetupSecret => "setup secret",
            Self::Sessions => "sessions",
            Self::Tokens => "tokens",
            Self::Workspaces => "workspaces",
            Self::PortShares => "shared ports",
            Self::SealedCopies => "sealed copies",
            Self::IdempotencyKeys => "idempotency keys",
            Self::AuditEvents => "audit events",
        }
    }

    /// Tells whether records are only ever added, each with a key after all before.
    pub fn is_append_only(self) -> bool {
        self == Self::AuditEvents
    }
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserRecord {
    /// Their id.
    pub id: UserId,
    /// What they sign in with; unique.
    pub email: EmailAddress,
    /// The name shown to people.
    pub name: String,
    /// The password's hash in PHC form.
    pub password_hash: String,
    /// Where they belong.
    pub organization: OrganizationId,
    /// What they may do there.
    pub role: Role,
    /// When they were made.
    pub created_at: Timestamp,
}

/// The setup link that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetupSecretRecord {
    /// SHA-256 of its secret.
    pub secret_hash: SecretHash,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A session, alive or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionRecord {
    /// The session.
    pub session: Session,
    /// When it was ended, if it was.
    pub ended_at: Option<Timestamp>,
}

/// A token, alive or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenRecord {
    /// The token.
    pub token: Token,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

/// A workspace or what is left of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkspaceRecord {
    /// The workspace.
    pub workspace: Workspace,
    /// When its deletion was complete, if it is.
    pub deleted_at: Option<Timestamp>,
}

/// What a repeated request is answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IdempotencyKeyRecord {
    /// Whose.
    pub user: UserId,
    /// The key the client chose.
    pub key: String,
    /// SHA-256 of the request.
    pub request_hash: SecretHash,
    /// The workspace that was made.
    pub workspace: WorkspaceId,
    /// Until when it is remembered.
    pub expires_at: Timestamp,
}

/// One thing a store holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Record {
    /// An organisation.
    Organization(Organization),
    /// A person.
    User(UserRecord),
    /// The setup link that counts.
    SetupSecret(SetupSecretRecord),
    /// A session.
    Session(SessionRecord),
    /// A token.
    Token(TokenRecord),
    /// A workspace.
    Workspace(Box<WorkspaceRecord>),
    /// How a port is shared.
    PortShare(Box<PortShare>),
    /// What gateways share.
    SealedCopy(SealedCopy),
    /// A key of a request.
    IdempotencyKey(IdempotencyKeyRecord),
    /// An entry of the audit log.
    AuditEvent {
        /// Its place in the log, from 1; numbers may be missing.
        sequence: u64,
        /// The entry.
        event: AuditEvent,
    },
}

impl Record {
    /// Returns where it belongs.
    pub fn collection(&self) -> Collection {
        match self {
            Self::Organization(_) => Collection::Organizations,
            Self::User(_) => Collection::Users,
            Self::SetupSecret(_) => Collection::SetupSecret,
            Self::Session(_) => Collection::Sessions,
            Self::Token(_) => Collection::Tokens,
            Self::Workspace(_) => Collection::Workspaces,
            Self::PortShare(_) => Collection::PortShares,
            Self::SealedCopy(_) => Collection::SealedCopies,
            Self::IdempotencyKey(_) => Collection::IdempotencyKeys,
            Self::AuditEvent { .. } => Collection::AuditEvents,
        }
    }

    /// Returns what tells it from the others of its collection. Keys are ordered by their bytes.
    pub fn key(&self) -> String {
        match self {
            Self::Organization(organization) => organization.id.to_string(),
            Self::User(user) => user.id.to_string(),
            Self::SetupSecret(_) => "setup".to_owned(),
            Self::Session(record) => record.session.id.to_string(),
            Self::Token(record) => record.token.id.to_string(),
            Self::Workspace(record) => record.workspace.id.to_string(),
            Self::PortShare(share) => port_key(share.workspace, share.port),
            Self::SealedCopy(copy) => copy.name.clone(),
            Self::IdempotencyKey(record) => format!("{}/{}", record.user, record.key),
            Self::AuditEvent { sequence, .. } => sequence_key(*sequence),
        }
    }

    /// Returns SHA-256 of its content, the same whichever backend it came from.
    pub fn digest(&self) -> SecretHash {
        let text = serde_json::to_vec(self).expect("plain data");
        Sha256::digest(text).into()
    }
}

/// Names a port so that texts are ordered as workspaces and numbers are.
pub(crate) fn port_key(workspace: WorkspaceId, port: u16) -> String {
    format!("{workspace}/{port:05}")
}

/// Reads a port's name back, and anything else as what comes before the first port.
pub(crate) fn port_of_key(key: &str) -> (&str, u16) {
    let (workspace, port) = key.split_once('/').unwrap_or((key, ""));
    (workspace, port.parse().unwrap_or(0))
}

/// Writes a place in the log so that texts are ordered as the numbers are.
fn sequence_key(sequence: u64) -> String {
    format!("{sequence:020}")
}

/// Reads a place in the log back, and anything else as the place before the first.
pub(crate) fn sequence_of_key(key: &str) -> u64 {
    key.parse().unwrap_or(0)
}
