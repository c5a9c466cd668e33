//! What the chapters share: a store to open, and people and things to put into it.

use std::path::PathBuf;
use std::pin::Pin;

use kalpana_domain::Timestamp;
use kalpana_domain::audit::{Actor, AuditAction, AuditEvent};
use kalpana_domain::id::{AuditId, OrganizationId, SessionId, TokenId, UserId, WorkspaceId};
use kalpana_domain::quota::Quota;
use kalpana_domain::user::{EmailAddress, Role, Scope, User};
use kalpana_domain::workspace::{Egress, Size, Spec, Workspace, WorkspaceName};
use kalpana_store::records::{Idempotency, NewUser, NewWorkspace, Session, Token};
use kalpana_store::{PageRequest, Store};

type Opening = Pin<Box<dyn Future<Output = Store> + Send>>;

/// A place where one store is.
pub(crate) struct World {
    directory: tempfile::TempDir,
    opener: fn(PathBuf) -> Opening,
}

impl World {
    pub(crate) fn new(opener: fn(PathBuf) -> Opening) -> Self {
        Self {
            directory: tempfile::tempdir().expect("temporary directory"),
            opener,
        }
    }

    /// Opens the store, once more if it is open already.
    pub(crate) async fn open(&self) -> Store {
        (self.opener)(self.directory.path().to_owned()).await
    }
}

/// A quota that nobody reaches by accident.
pub(crate) const PLENTY: Quota = Quota { workspaces: 1000 };

/// The hour that every chapter begins, and seconds after it.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("in range")
}

pub(crate) fn event(action: AuditAction) -> AuditEvent {
    AuditEvent {
        id: AuditId::generate(),
        at: at(0),
        organization: Some(OrganizationId::generate()),
        actor: Actor::System,
        action,
        subject: "subject".to_owned(),
        address: Some("192.0.2.1".to_owned()),
        request_id: Some("request".to_owned()),
    }
}

pub(crate) fn new_user(name: &str) -> NewUser {
    NewUser {
        id: UserId::generate(),
        email: EmailAddress::parse(&format!("{name}@example.com")).expect("legal"),
        name: name.to_owned(),
        role: Role::Member,
        password_hash: format!("$argon2id${name}"),
        created_at: at(0),
    }
}

pub(crate) async fn make_user(store: &Store, name: &str) -> User {
    store
        .create_user(new_user(name), event(AuditAction::UserCreate))
        .await
        .expect("made")
}

pub(crate) fn new_session(user: &User, secret: u8) -> Session {
    Session {
        id: SessionId::generate(),
        user: user.id,
        secret_hash: [secret; 32],
        created_at: at(0),
        last_used_at: at(0),
        expires_at: at(1000),
        address: Some("192.0.2.1".to_owned()),
        user_agent: Some("browser".to_owned()),
    }
}

pub(crate) fn new_token(user: &User) -> Token {
    Token {
        id: TokenId::generate(),
        user: user.id,
        secret_hash: [9; 32],
        name: "deploy".to_owned(),
        scopes: vec![Scope::WorkspaceRead, Scope::WorkspaceDelete],
        created_at: at(0),
        expires_at: at(1000),
        last_used_at: None,
    }
}

pub(crate) fn new_workspace(owner: &User) -> NewWorkspace {
    NewWorkspace {
        id: WorkspaceId::from_random(rand::random()),
        organization: owner.organization,
        owner: owner.id,
        spec: Spec {
            name: WorkspaceName::parse("My project").expect("legal"),
            repository: None,
            branch: None,
            size: Size::Small,
            egress: Egress::Open,
        },
        created_at: at(0),
    }
}

pub(crate) async fn make_workspace(store: &Store, owner: &User) -> Workspace {
    let event = event(AuditAction::WorkspaceCreate);
    store
        .create_workspace(new_workspace(owner), PLENTY, None, event)
        .await
        .expect("made")
}

pub(crate) fn idempotency(request: u8) -> Idempotency {
    Idempotency {
        key: "key".to_owned(),
        request_hash: [request; 32],
        expires_at: at(3600),
    }
}

/// The audit log, newest first.
pub(crate) async fn log(store: &Store) -> Vec<AuditEvent> {
    store
        .audit_events(PageRequest::first())
        .await
        .expect("listed")
        .items
}

pub(crate) fn page(after: Option<String>, limit: usize) -> PageRequest {
    PageRequest { after, limit }
}
