//! What goes into the store and comes out of it, where that is more than a thing of the domain.

use kalpana_domain::Timestamp;
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::id::{OrganizationId, SessionId, TokenId, UserId, WorkspaceId};
use kalpana_domain::snapshot::SnapshotRef;
use kalpana_domain::user::{EmailAddress, Role, Scope, User};
use kalpana_domain::workspace::{Spec, Workspace};
use serde::Serialize;

/// SHA-256 of a secret that only its holder knows.
pub type SecretHash = [u8; 32];

/// A person to be made.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Their id.
    pub id: UserId,
    /// The address they will sign in with; unique on the site.
    pub email: EmailAddress,
    /// The name shown to people.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The password's hash in PHC form.
    pub password_hash: String,
    /// When.
    pub created_at: Timestamp,
}

/// A person and what their password hashes to.
#[derive(Debug, Clone)]
pub struct UserWithPassword {
    /// The person.
    pub user: User,
    /// The password's hash in PHC form.
    pub password_hash: String,
}

/// A password that is to be replaced by another.
#[derive(Clone)]
pub struct PasswordChange {
    /// Whose.
    pub user: UserId,
    /// The hash that whoever changes it has seen, in PHC form.
    pub known_hash: String,
    /// The hash of the new one.
    pub new_hash: String,
    /// The session that stays. All others of the person end.
    pub kept: SessionId,
    /// When.
    pub at: Timestamp,
    /// Present when the person's API tokens are to be revoked as well: what is written down when
    /// there is one.
    pub revocation: Option<AuditEvent>,
}

impl std::fmt::Debug for PasswordChange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PasswordChange")
            .field("user", &self.user)
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

/// What ended with a password. Sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndedAccess {
    /// Sessions.
    pub sessions: Vec<SessionId>,
    /// API tokens.
    pub tokens: Vec<TokenId>,
}

/// One sign-in of one browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose.
    pub user: UserId,
    /// SHA-256 of the secret in the cookie.
    pub secret_hash: SecretHash,
    /// When the person signed in.
    pub created_at: Timestamp,
    /// When it was last used, to within some minutes.
    pub last_used_at: Timestamp,
    /// When it ends whatever happens.
    pub expires_at: Timestamp,
    /// The address it was made from.
    pub address: Option<String>,
    /// The browser it was made by, at most 256 bytes.
    pub user_agent: Option<String>,
}

/// An ended session that must be remembered while workspace sessions made from it could be alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedSession {
    /// Its id.
    pub id: SessionId,
    /// When it was ended.
    pub ended_at: Timestamp,
}

/// An API token as it is listed. The secret itself is shown once and never kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Token {
    /// Its id, which is part of its text.
    pub id: TokenId,
    /// Whose.
    pub user: UserId,
    /// SHA-256 of its secret.
    pub secret_hash: SecretHash,
    /// What its maker called it.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// A workspace to be made.
#[derive(Debug, Clone)]
pub struct NewWorkspace {
    /// Its id, freshly drawn.
    pub id: WorkspaceId,
    /// The organisation it counts towards.
    pub organization: OrganizationId,
    /// Whose it will be.
    pub owner: UserId,
    /// What is asked for.
    pub spec: Spec,
    /// The snapshot whose files it begins with.
    pub filled_from: Option<SnapshotRef>,
    /// When.
    pub created_at: Timestamp,
}

/// A workspace that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedWorkspace {
    /// What it was. [`Desired::Purged`](kalpana_domain::workspace::Desired) when its files were
    /// given up.
    pub workspace: Workspace,
    /// When its deletion was complete.
    pub deleted_at: Timestamp,
}

/// Makes a repeated request give the first one's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The key the client chose, at most 255 bytes; counted per user.
    pub key: String,
    /// SHA-256 of what was asked: the same key with another request is a conflict.
    pub request_hash: SecretHash,
    /// Until when the key is remembered.
    pub expires_at: Timestamp,
}

/// Something that gateways share, sealed by them: the store never sees what is in it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct SealedCopy {
    /// What it is called, its parts between slashes.
    pub name: String,
    /// What is in it, at most 1 MiB.
    pub contents: Vec<u8>,
    /// Which writing of it this is; 0 when there was none yet.
    pub version: u64,
    /// When it was written.
    pub updated_at: Timestamp,
}

impl std::fmt::Debug for SealedCopy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SealedCopy")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// That there is a sealed copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedMark {
    /// What it is called.
    pub name: String,
    /// Which writing of it is the latest.
    pub version: u64,
}

/// Returns the version of a row that is made at `at`, where rows can be removed and made again: later
/// than every version of the row before, so that nobody takes the one for the other.
pub(crate) fn first_version(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0).max(1)
}
