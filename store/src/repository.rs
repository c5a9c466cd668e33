//! The promises of a store, as traits of whole operations.
//!
//! Every method is atomic: it happens wholly, together with its audit event, or not at all. When
//! it returns it is durable. A reader sees what the last returned write left. Rows with a
//! `version` are written only by who saw the latest one: others get
//! [`Conflict`](crate::StoreError::Conflict) with `version`.

use async_trait::async_trait;
use kalpana_domain::Timestamp;
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::id::{OrganizationId, SessionId, TokenId, UserId, WorkspaceId};
use kalpana_domain::quota::Quota;
use kalpana_domain::sharing::PortShare;
use kalpana_domain::user::{EmailAddress, User};
use kalpana_domain::workspace::Workspace;

use crate::error::StoreResult;
use crate::events::EventStream;
use crate::page::{Page, PageRequest};
use crate::records::{
    DeletedWorkspace, EndedAccess, EndedSession, Idempotency, NewUser, NewWorkspace,
    PasswordChange, SealedCopy, SealedMark, SecretHash, Session, Token, UserWithPassword,
};
use crate::transfer::Transfer;

/// Everything a backend keeps.
pub trait Repository:
    Setup
    + Users
    + Sessions
    + Tokens
    + Workspaces
    + Trash
    + Sharing
    + SealedCopies
    + Audit
    + Events
    + Health
    + Transfer
    + std::fmt::Debug
{
}

/// The one-time link that makes the first administrator. Written by web.
#[async_trait]
pub trait Setup: Send + Sync {
    /// Returns whether the site still has no user.
    async fn is_setup_required(&self) -> StoreResult<bool>;

    /// Remembers the hash of a fresh setup secret, replacing an earlier one. Does nothing once a
    /// user exists; returns whether it was kept.
    async fn put_setup_secret(&self, hash: SecretHash, now: Timestamp) -> StoreResult<bool>;

    /// Makes the default organisation's first administrator, consuming the setup secret.
    ///
    /// # Errors
    /// `Conflict("setup")` when a user exists already; `NotFound("setup secret")` when the hash is
    /// not the remembered one.
    async fn complete_setup(
        &self,
        hash: SecretHash,
        user: NewUser,
        audit: AuditEvent,
    ) -> StoreResult<User>;
}

/// People. Written by web (and by the administrator's command line).
#[async_trait]
pub trait Users: Send + Sync {
    /// Makes a person, a member of the default organisation.
    ///
    /// # Errors
    /// `Conflict("email")` when the address is taken.
    async fn create_user(&self, user: NewUser, audit: AuditEvent) -> StoreResult<User>;

    /// Returns a person.
    async fn user(&self, id: UserId) -> StoreResult<Option<User>>;

    /// Returns the person who signs in with `email`, and their password's hash.
    async fn user_by_email(&self, email: &EmailAddress) -> StoreResult<Option<UserWithPassword>>;

    /// Replaces a password's hash by one of the same password with today's parameters, unless it
    /// is not `known_hash` any more.
    async fn upgrade_password_hash(
        &self,
        id: UserId,
        known_hash: String,
        password_hash: String,
    ) -> StoreResult<()>;

    /// Replaces a password, ends all other sessions of the person and, where that is asked for,
    /// revokes their API tokens. Returns what ended.
    ///
    /// # Errors
    /// `NotFound("user")`; `Conflict("password")` when the hash is not `known_hash` any more.
    async fn change_password(
        &self,
        change: PasswordChange,
        audit: AuditEvent,
    ) -> StoreResult<EndedAccess>;

    /// Lists people, oldest first.
    async fn users(&self, page: PageRequest) -> StoreResult<Page<User>>;

    /// Returns the organisation that everybody belongs to at first.
    async fn default_organization(&self) -> StoreResult<OrganizationId>;
}

/// Browser sessions. Written by web.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Keeps a new session.
    async fn create_session(&self, session: Session, audit: AuditEvent) -> StoreResult<()>;

    /// Returns the session whose secret has this hash, and its user, unless it has ended, is past
    /// `expires_at`, or was last used before `idle_since`.
    async fn session(
        &self,
        hash: SecretHash,
        now: Timestamp,
        idle_since: Timestamp,
    ) -> StoreResult<Option<(Session, User)>>;

    /// Notes that a session was used.
    async fn touch_session(&self, id: SessionId, now: Timestamp) -> StoreResult<()>;

    /// Lists a person's sessions that have not ended, are not past `expires_at`, and were used
    /// since `idle_since`; the last used first.
    async fn sessions_of(
        &self,
        user: UserId,
        now: Timestamp,
        idle_since: Timestamp,
    ) -> StoreResult<Vec<Session>>;

    /// Ends a person's session. Returns whether it was theirs and alive.
    async fn end_session(
        &self,
        user: UserId,
        id: SessionId,
        now: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<bool>;

    /// Ends all sessions of a person but `kept`. Returns those that were alive, sorted; without
    /// one there is no audit event either.
    async fn end_other_sessions(
        &self,
        user: UserId,
        kept: Option<SessionId>,
        now: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<Vec<SessionId>>;

    /// Lists sessions ended since `since`, for the gateway's deny list.
    async fn ended_sessions(&self, since: Timestamp) -> StoreResult<Vec<EndedSession>>;

    /// Removes sessions that ended or expired before `before`. Returns how many.
    async fn purge_sessions(&self, before: Timestamp) -> StoreResult<u64>;
}

/// API tokens. Written by web.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// Keeps a new token.
    async fn create_token(&self, token: Token, audit: AuditEvent) -> StoreResult<()>;

    /// Returns a token and its user, unless it is revoked or past its end.
    async fn token(&self, id: TokenId, now: Timestamp) -> StoreResult<Option<(Token, User)>>;

    /// Lists a person's tokens that are neither revoked nor past their end, newest first.
    async fn tokens_of(&self, user: UserId, now: Timestamp) -> StoreResult<Vec<Token>>;

    /// Notes that a token was used.
    async fn touch_token(&self, id: TokenId, now: Timestamp) -> StoreResult<()>;

    /// Revokes a person's token. Returns whether it was theirs and alive.
    async fn revoke_token(
        &self,
        user: UserId,
        id: TokenId,
        now: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<bool>;
}

/// Workspaces. Written by the orchestrator alone.
#[async_trait]
pub trait Workspaces: Send + Sync {
    /// Makes a workspace with desired state `Running`, lifecycle `Starting` since its creation and
    /// generation 1, after counting the owner's against `quota` in the same transaction.
    ///
    /// With `idempotency`, a key seen before gives the workspace made then.
    ///
    /// # Errors
    /// `Quota` when the owner has too many; `Conflict("idempotency")` when the key was used for
    /// another request; `Conflict("id")` when the id is taken.
    async fn create_workspace(
        &self,
        workspace: NewWorkspace,
        quota: Quota,
        idempotency: Option<Idempotency>,
        audit: AuditEvent,
    ) -> StoreResult<Workspace>;

    /// Returns a workspace, unless its deletion is complete.
    async fn workspace(&self, id: WorkspaceId) -> StoreResult<Option<Workspace>>;

    /// Lists a person's workspaces, newest first.
    async fn workspaces_of(&self, owner: UserId, page: PageRequest)
    -> StoreResult<Page<Workspace>>;

    /// Lists an organisation's workspaces, newest first.
    async fn workspaces_in(
        &self,
        organization: OrganizationId,
        page: PageRequest,
    ) -> StoreResult<Page<Workspace>>;

    /// Lists all workspaces whose deletion is not complete, for reconciliation.
    async fn all_workspaces(&self) -> StoreResult<Vec<Workspace>>;

    /// Writes `desired`, `lifecycle`, `generation` and `updated_at` of a workspace, if the stored
    /// version is still `workspace.version`; returns it with its new version. Intents come with an
    /// audit event, observations without.
    ///
    /// # Errors
    /// `Conflict("version")` when somebody wrote it since; `NotFound("workspace")` when it is gone.
    async fn update_workspace(
        &self,
        workspace: &Workspace,
        audit: Option<AuditEvent>,
    ) -> StoreResult<Workspace>;

    /// Writes what [`Workspaces::update_workspace`] writes to a workspace that begins to count, after
    /// counting the owner's others against `quota` in the same transaction.
    ///
    /// # Errors
    /// As [`Workspaces::update_workspace`], and `Quota` when the owner has too many.
    async fn admit_workspace(
        &self,
        workspace: &Workspace,
        quota: Quota,
        audit: AuditEvent,
    ) -> StoreResult<Workspace>;

    /// Completes a deletion: the row becomes a tombstone that only the volumes' keeper reads, and
    /// nothing is remembered of how its ports were shared.
    ///
    /// # Errors
    /// As [`Workspaces::update_workspace`].
    async fn finish_deletion(&self, workspace: &Workspace, now: Timestamp) -> StoreResult<()>;
}

/// Deleted workspaces, from which nothing but the containers is gone yet. Written by the orchestrator.
#[async_trait]
pub trait Trash: Send + Sync {
    /// Returns a deleted workspace, purged or not.
    async fn deleted_workspace(&self, id: WorkspaceId) -> StoreResult<Option<DeletedWorkspace>>;

    /// Lists a person's deleted workspaces that are not purged, the last deleted first.
    async fn deleted_workspaces_of(
        &self,
        owner: UserId,
        page: PageRequest,
    ) -> StoreResult<Page<DeletedWorkspace>>;

    /// Takes a deletion back, complete or not: writes what [`Workspaces::update_workspace`] writes,
    /// after counting the owner's other workspaces against `quota` in the same transaction.
    ///
    /// # Errors
    /// `NotFound("workspace")` when there is none or it is purged; `Conflict("version")` when
    /// somebody wrote it since; `Quota` when the owner has too many.
    async fn restore_workspace(
        &self,
        workspace: &Workspace,
        quota: Quota,
        audit: AuditEvent,
    ) -> StoreResult<Workspace>;

    /// Gives up the files of a deleted workspace: it cannot be restored from then on. Writes
    /// `updated_at`.
    ///
    /// # Errors
    /// `NotFound("workspace")` when none of that id is deleted, or it is purged; `Conflict("version")`
    /// when somebody wrote it since.
    async fn purge_workspace(&self, workspace: &Workspace, audit: AuditEvent) -> StoreResult<()>;
}

/// How ports are shared. Written by web; with a workspace its ports go, which the orchestrator writes.
#[async_trait]
pub trait Sharing: Send + Sync {
    /// Returns what is remembered of a port, if anything.
    async fn port_share(&self, workspace: WorkspaceId, port: u16)
    -> StoreResult<Option<PortShare>>;

    /// Lists what is remembered of a workspace's ports, by port.
    async fn port_shares_of(&self, workspace: WorkspaceId) -> StoreResult<Vec<PortShare>>;

    /// Returns the port that has a link whose secret has this hash.
    async fn port_share_by_link(&self, secret: SecretHash) -> StoreResult<Option<PortShare>>;

    /// Lists what is remembered of all ports, by workspace and port.
    async fn all_port_shares(&self) -> StoreResult<Vec<PortShare>>;

    /// Remembers a port as it is given, if the stored version is still `share.version` (0 when
    /// nothing is stored); forgets it when it is blank. Returns it with its new version. The first
    /// version is the time, so that a port that was forgotten is not taken for what it is later.
    ///
    /// # Errors
    /// `NotFound("workspace")` when there is none; `Conflict("version")` when somebody wrote it
    /// since; `Conflict("ports")` when [`PortShare::PORT_LIMIT`] of the workspace are remembered.
    async fn put_port_share(&self, share: &PortShare, audit: AuditEvent) -> StoreResult<PortShare>;
}

/// What gateways share, sealed by them, so that a copy of the database opens nothing. Written by web
/// for them. Not in the audit log: what it means is told there by who writes it.
#[async_trait]
pub trait SealedCopies: Send + Sync {
    /// Lists the copies whose names begin with `prefix`, by name.
    async fn sealed_copies(&self, prefix: &str) -> StoreResult<Vec<SealedMark>>;

    /// Returns a copy.
    async fn sealed_copy(&self, name: &str) -> StoreResult<Option<SealedCopy>>;

    /// Keeps a copy as it is given, if the stored version is still `copy.version` (0 when there is
    /// none). Returns it with its new version. The first version is the time, so that a copy that
    /// was removed is not taken for what is called so later.
    ///
    /// # Errors
    /// `Conflict("version")` when somebody wrote or removed it since.
    async fn put_sealed_copy(&self, copy: &SealedCopy) -> StoreResult<SealedCopy>;

    /// Removes a copy, if the stored version is still `version`. Returns whether it did.
    async fn remove_sealed_copy(&self, name: &str, version: u64) -> StoreResult<bool>;
}

/// The audit log. Appended to by every writer, changed by none.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Appends an event that goes with no other write, such as a refused sign-in.
    async fn append_audit(&self, event: AuditEvent) -> StoreResult<()>;

    /// Lists events, newest first.
    async fn audit_events(&self, page: PageRequest) -> StoreResult<Page<AuditEvent>>;
}

/// What is written, by whichever process, as it is written.
pub trait Events: Send + Sync {
    /// Follows what is written from now on. The stream ends only with the store; while the
    /// database is away it waits, and says [`Missed`](crate::StoreEvent::Missed) when it is back.
    fn events(&self) -> EventStream;
}

/// Whether the store can do its work.
#[async_trait]
pub trait Health: Send + Sync {
    /// Reads something, to show that the store answers.
    async fn ping(&self) -> StoreResult<()>;
}
