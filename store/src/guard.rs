//! What stands between a service and a database that is away or slow: a deadline for every
//! operation, a circuit breaker, and metrics.
//!
//! While the breaker is open an operation is refused at once instead of after a time-out, so that a
//! site whose database is away answers quickly and keeps its connections for what works without it.

mod breaker;
mod metrics;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use kalpana_domain::Timestamp;
use kalpana_domain::audit::AuditEvent;
use kalpana_domain::id::{OrganizationId, SessionId, TokenId, UserId, WorkspaceId};
use kalpana_domain::quota::Quota;
use kalpana_domain::sharing::PortShare;
use kalpana_domain::user::{EmailAddress, User};
use kalpana_domain::workspace::Workspace;
use uuid::Uuid;

pub use metrics::Metrics;

use crate::error::{Outage, StoreError, StoreResult};
use crate::events::EventStream;
use crate::page::{Page, PageRequest};
use crate::records::{
    DeletedWorkspace, EndedAccess, EndedSession, Idempotency, NewUser, NewWorkspace,
    PasswordChange, SealedCopy, SealedMark, SecretHash, Session, Token, UserWithPassword,
};
use crate::repository::{
    Audit, Events, Health, Repository, SealedCopies, Sessions, Setup, Sharing, Tokens, Trash,
    Users, Workspaces,
};
use crate::transfer::{Collection, Freeze, Incoming, MoveId, Record, Transfer};
use breaker::{Admission, Breaker};

/// What an operation may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long one may take.
    pub operation: Duration,
}

/// A store behind a deadline, a circuit breaker and metrics.
#[derive(Debug)]
pub struct Guard {
    store: Arc<dyn Repository>,
    limits: Limits,
    metrics: Metrics,
    breaker: Breaker,
}

impl Guard {
    /// Guards a store.
    pub fn new(store: Arc<dyn Repository>, limits: Limits, metrics: Metrics) -> Self {
        Self {
            store,
            limits,
            metrics,
            breaker: Breaker::default(),
        }
    }

    async fn run<T>(
        &self,
        operation: &'static str,
        future: impl Future<Output = StoreResult<T>>,
    ) -> StoreResult<T> {
        let started = Instant::now();
        let mut permit = match self.breaker.admit(started) {
            Admission::Admitted(permit) => permit,
            Admission::Refused { next_try } => {
                self.metrics.observe(operation, "rejected", None);
                return Err(StoreError::Unavailable {
                    outage: Outage::Away,
                    reason: format!(
                        "away: it did not answer before and is asked again in {} ms",
                        next_try.as_millis()
                    ),
                    source: None,
                });
            }
        };
        let limit = self.limits.operation;
        let result = match tokio::time::timeout(limit, future).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Unavailable {
                outage: Outage::Away,
                reason: format!("too slow: no answer within store.operation_timeout ({limit:?})"),
                source: None,
            }),
        };
        let is_away = matches!(
            &result,
            Err(StoreError::Unavailable {
                outage: Outage::Away,
                ..
            })
        );
        if let Some(is_open) = permit.answered(!is_away, Instant::now()) {
            self.metrics.breaker(is_open);
            if is_open {
                let error = result.as_ref().err().map(ToString::to_string);
                let error = error.unwrap_or_default();
                tracing::error!(
                    error,
                    "the store does not answer and is given a rest: {error}"
                );
            } else {
                tracing::info!("the store answers again");
            }
        }
        let outcome = match &result {
            Ok(_) => "ok",
            Err(error) => error.outcome(),
        };
        self.metrics
            .observe(operation, outcome, Some(started.elapsed()));
        result
    }
}

impl Repository for Guard {}

/// Writes the methods of a trait that only pass an operation on.
macro_rules! guarded {
    ($trait:ident: $(fn $name:ident($($argument:ident: $type:ty),*) -> $output:ty;)+) => {
        #[async_trait]
        impl $trait for Guard {
            $(async fn $name(&self, $($argument: $type),*) -> StoreResult<$output> {
                self.run(stringify!($name), self.store.$name($($argument),*)).await
            })+
        }
    };
}

guarded! { Setup:
    fn is_setup_required() -> bool;
    fn put_setup_secret(hash: SecretHash, now: Timestamp) -> bool;
    fn complete_setup(hash: SecretHash, user: NewUser, audit: AuditEvent) -> User;
}

guarded! { Users:
    fn create_user(user: NewUser, audit: AuditEvent) -> User;
    fn user(id: UserId) -> Option<User>;
    fn user_by_email(email: &EmailAddress) -> Option<UserWithPassword>;
    fn upgrade_password_hash(id: UserId, known_hash: String, password_hash: String) -> ();
    fn change_password(change: PasswordChange, audit: AuditEvent) -> EndedAccess;
    fn users(page: PageRequest) -> Page<User>;
    fn default_organization() -> OrganizationId;
}

guarded! { Sessions:
    fn create_session(session: Session, audit: AuditEvent) -> ();
    fn session(hash: SecretHash, now: Timestamp, idle_since: Timestamp) -> Option<(Session, User)>;
    fn touch_session(id: SessionId, now: Timestamp) -> ();
    fn sessions_of(user: UserId, now: Timestamp, idle_since: Timestamp) -> Vec<Session>;
    fn end_session(user: UserId, id: SessionId, now: Timestamp, audit: AuditEvent) -> bool;
    fn end_other_sessions(
        user: UserId,
        kept: Option<SessionId>,
        now: Timestamp,
        audit: AuditEvent
    ) -> Vec<SessionId>;
    fn ended_sessions(since: Timestamp) -> Vec<EndedSession>;
    fn purge_sessions(before: Timestamp) -> u64;
}

guarded! { Tokens:
    fn create_token(token: Token, audit: AuditEvent) -> ();
    fn token(id: TokenId, now: Timestamp) -> Option<(Token, User)>;
    fn tokens_of(user: UserId, now: Timestamp) -> Vec<Token>;
    fn touch_token(id: TokenId, now: Timestamp) -> ();
    fn revoke_token(user: UserId, id: TokenId, now: Timestamp, audit: AuditEvent) -> bool;
}

guarded! { Workspaces:
    fn create_workspace(
        workspace: NewWorkspace,
        quota: Quota,
        idempotency: Option<Idempotency>,
        audit: AuditEvent
    ) -> Workspace;
    fn workspace(id: WorkspaceId) -> Option<Workspace>;
    fn workspaces_of(owner: UserId, page: PageRequest) -> Page<Workspace>;
    fn workspaces_in(organization: OrganizationId, page: PageRequest) -> Page<Workspace>;
    fn all_workspaces() -> Vec<Workspace>;
    fn update_workspace(workspace: &Workspace, audit: Option<AuditEvent>) -> Workspace;
    fn admit_workspace(workspace: &Workspace, quota: Quota, audit: AuditEvent) -> Workspace;
    fn finish_deletion(workspace: &Workspace, now: Timestamp) -> ();
}

guarded! { Trash:
    fn deleted_workspace(id: WorkspaceId) -> Option<DeletedWorkspace>;
    fn deleted_workspaces_of(owner: UserId, page: PageRequest) -> Page<DeletedWorkspace>;
    fn restore_workspace(workspace: &Workspace, quota: Quota, audit: AuditEvent) -> Workspace;
    fn purge_workspace(workspace: &Workspace, audit: AuditEvent) -> ();
}

guarded! { Sharing:
    fn port_share(workspace: WorkspaceId, port: u16) -> Option<PortShare>;
    fn port_shares_of(workspace: WorkspaceId) -> Vec<PortShare>;
    fn port_share_by_link(secret: SecretHash) -> Option<PortShare>;
    fn all_port_shares() -> Vec<PortShare>;
    fn put_port_share(share: &PortShare, audit: AuditEvent) -> PortShare;
}

guarded! { SealedCopies:
    fn sealed_copies(prefix: &str) -> Vec<SealedMark>;
    fn sealed_copy(name: &str) -> Option<SealedCopy>;
    fn put_sealed_copy(copy: &SealedCopy) -> SealedCopy;
    fn remove_sealed_copy(name: &str, version: u64) -> bool;
}

guarded! { Audit:
    fn append_audit(event: AuditEvent) -> ();
    fn audit_events(page: PageRequest) -> Page<AuditEvent>;
}

guarded! { Health:
    fn ping() -> ();
}

guarded! { Transfer:
    fn store_id() -> Uuid;
    fn export(collection: Collection, after: Option<String>, limit: usize) -> Vec<Record>;
    fn count(collection: Collection) -> u64;
    fn import(records: Vec<Record>) -> ();
    fn remove(collection: Collection, keys: Vec<String>) -> ();
    fn incoming() -> Option<Incoming>;
    fn begin_incoming(incoming: Incoming) -> ();
    fn complete_incoming() -> ();
    fn freeze(freeze: Freeze, now: Timestamp) -> ();
    fn renew(freeze: Freeze) -> ();
    fn thaw(by: MoveId) -> bool;
    fn retire(by: MoveId, moved_to: String) -> ();
    fn moved_to() -> Option<String>;
    fn reinstate() -> ();
}

impl Events for Guard {
    fn events(&self) -> EventStream {
        self.store.events()
    }
}
