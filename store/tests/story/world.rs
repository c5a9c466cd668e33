//! What the chapters share: a store to open, and people and things to put into it.

use std::sync::Arc;

use kalpana_config::Secret;
use kalpana_domain::Timestamp;
use kalpana_domain::audit::{Actor, AuditAction, AuditEvent};
use kalpana_domain::id::{AuditId, OrganizationId, SessionId, TokenId, UserId, WorkspaceId};
use kalpana_domain::quota::Quota;
use kalpana_domain::user::{EmailAddress, Role, Scope, User};
use kalpana_domain::workspace::{Egress, Size, Spec, Workspace, WorkspaceName};
use kalpana_store::mongo::MongoStore;
use kalpana_store::records::{Idempotency, NewUser, NewWorkspace, Session, Token};
use kalpana_store::sqlite::SqliteStore;
use kalpana_store::{OpenMode, PageRequest, Store, StoreResult};
use kalpana_test_mongodb::Database;
use mongodb::bson::{Document, doc};

/// Where one store is, and how it is opened.
pub(crate) enum World {
    /// In a SQLite file.
    Sqlite(tempfile::TempDir),
    /// In a MongoDB database.
    Mongodb(Database),
}

impl World {
    /// Makes a place for a SQLite file.
    pub(crate) async fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("temporary directory"))
    }

    /// Makes a MongoDB database.
    pub(crate) async fn mongodb() -> Self {
        Self::Mongodb(Database::fresh().await.expect("a MongoDB server"))
    }

    /// Returns the settings that say where it is.
    pub(crate) fn settings(&self) -> kalpana_config::Store {
        let mut settings = kalpana_config::Store::default();
        if let Self::Mongodb(database) = self {
            settings.mongodb.uri = Some(Secret::new(database.uri().to_owned()));
            settings.mongodb.database = database.name().to_owned();
        }
        settings
    }

    /// Opens the store, once more if it is open already, as several processes would.
    pub(crate) async fn open(&self) -> Store {
        self.open_as(OpenMode::Migrate)
            .await
            .expect("a store that opens")
    }

    /// Opens a store with nothing in it but the default organisation.
    pub(crate) async fn emptied(&mut self) -> Store {
        match self {
            Self::Sqlite(directory) => {
                *directory = tempfile::tempdir().expect("temporary directory");
            }
            Self::Mongodb(database) => {
                let database = database.driver().await.expect("connected");
                let keep = ["organizations", "counters", "gate", "meta"];
                for name in database.list_collection_names().await.expect("listed") {
                    if !keep.contains(&name.as_str()) {
                        let documents = database.collection::<Document>(&name);
                        documents.delete_many(doc! {}).await.expect("emptied");
                    }
                }
                let reset = doc! { "$unset": {
                    "by": "", "until": "", "movedTo": "", "secretHash": "", "createdAt": "",
                } };
                for name in ["gate", "meta"] {
                    let documents = database.collection::<Document>(name);
                    documents
                        .update_many(doc! {}, reset.clone())
                        .await
                        .expect("reset");
                }
            }
        }
        self.open().await
    }

    /// Opens the store in a mode.
    pub(crate) async fn open_as(&self, mode: OpenMode) -> StoreResult<Store> {
        let settings = self.settings();
        Ok(match self {
            Self::Sqlite(directory) => {
                let path = directory.path().join("store/kalpana.sqlite3");
                Arc::new(SqliteStore::open(&path, &settings, mode).await?)
            }
            Self::Mongodb(_) => Arc::new(MongoStore::open(&settings, mode, None).await?),
        })
    }
}

/// A quota that nobody reaches by accident.
pub(crate) const PLENTY: Quota = Quota { workspaces: 1000 };

/// The hour that every chapter begins, and seconds after it. Far ahead, because what is over by
/// the database's own clock may be removed at any moment.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(4_000_000_000 + seconds).expect("in range")
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
        filled_from: None,
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
