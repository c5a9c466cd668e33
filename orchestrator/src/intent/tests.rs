//! Intents against a real store.

use std::sync::Mutex;

use kalpana_domain::clock::SystemClock;
use kalpana_domain::lifecycle::{FailureCode, FailureReason};
use kalpana_domain::user::{EmailAddress, Role};
use kalpana_store::records::NewUser;
use kalpana_store::sqlite::{OpenMode, SqliteStore};
use kalpana_store::{PageRequest, Store};

use super::*;
use crate::keys::NodeKey;
use crate::launch::RunDirectories;

/// A site with one person.
pub(crate) struct Fixture {
    pub(crate) intents: Intents,
    pub(crate) store: Store,
    pub(crate) request: CreateWorkspace,
    pub(crate) woken: Arc<Mutex<Vec<WorkspaceId>>>,
}

pub(crate) async fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.sqlite3");
    let settings = kalpana_config::Store::default();
    let store: Store = Arc::new(
        SqliteStore::open(&path, &settings, OpenMode::Migrate)
            .await
            .unwrap(),
    );
    let now = SystemClock.now();
    let hash = [9; 32];
    assert!(store.put_setup_secret(hash, now).await.unwrap());
    let user = NewUser {
        id: UserId::generate(),
        email: EmailAddress::parse("ada@example.com").unwrap(),
        name: "Ada".into(),
        role: Role::Administrator,
        password_hash: "x".into(),
        created_at: now,
    };
    let audit = AuditEvent {
        id: AuditId::generate(),
        at: now,
        organization: None,
        actor: Actor::Anonymous,
        action: AuditAction::SiteSetup,
        subject: "site".into(),
        address: None,
        request_id: None,
    };
    let user = store.complete_setup(hash, user, audit).await.unwrap();
    let organization = store.default_organization().await.unwrap();
    let directories = RunDirectories::create(directory.path().join("w"), 0, 0).unwrap();
    let feeds = Feeds::new(Arc::new(NodeKey::from_bytes([1; 32])), directories);
    let snapshots = directory.path().join("snapshots");
    let woken = Arc::new(Mutex::new(Vec::new()));
    let waker = Arc::clone(&woken);
    let workspaces: Arc<dyn Workspaces> = Arc::<dyn kalpana_store::Repository>::clone(&store);
    Fixture {
        intents: Intents {
            store: workspaces,
            trash: Arc::<dyn kalpana_store::Repository>::clone(&store),
            given_up: Arc::default(),
            feeds,
            clock: Arc::new(SystemClock),
            waker: Arc::new(move |id| {
                // Kept as long as there are intents: the store is in it.
                assert!(directory.path().exists());
                waker.lock().unwrap().push(id);
            }),
            quota: Quota { workspaces: 3 },
            egress: Egress::None,
            shelf: Shelf::open(snapshots).unwrap(),
        },
        store,
        request: CreateWorkspace {
            asker: Asker {
                user: user.id.to_string(),
                session: Some(SessionId::generate().to_string()),
                token: None,
                address: Some("192.0.2.7".into()),
            },
            organization: organization.to_string(),
            name: "My project".into(),
            repository: Some("https://git.example.com/team/project.git".into()),
            branch: Some("main".into()),
            size: "small".into(),
            egress: None,
            snapshot: None,
            idempotency_key: None,
        },
        woken,
    }
}

#[tokio::test]
async fn what_is_created_starts_and_is_in_the_audit_log() {
    let Fixture {
        intents,
        store,
        request,
        woken,
        ..
    } = fixture().await;
    let row = intents.create(&request, Some("r-1")).await.unwrap();
    assert_eq!((row.desired, row.generation.0), (Desired::Running, 1));
    assert!(matches!(row.lifecycle, Lifecycle::Starting { .. }));
    assert_eq!(row.spec.egress, Egress::None, "the site's default");
    assert_eq!(store.workspace(row.id).await.unwrap().as_ref(), Some(&row));
    assert_eq!(*woken.lock().unwrap(), [row.id]);
    let events = store
        .audit_events(PageRequest::first())
        .await
        .unwrap()
        .items;
    let event = &events[0];
    assert_eq!(
        (event.action, &event.subject),
        (AuditAction::WorkspaceCreate, &row.id.to_string())
    );
    assert_eq!(event.request_id.as_deref(), Some("r-1"));
    assert_eq!(event.address.as_deref(), Some("192.0.2.7"));
}

#[tokio::test]
async fn every_field_is_read_anew_and_nothing_is_half_made() {
    let Fixture {
        intents,
        store,
        request,
        woken,
        ..
    } = fixture().await;
    type Spoil = fn(&mut CreateWorkspace);
    let spoils: [(&str, Spoil); 12] = [
        ("name", |r| r.name = "🦀".into()),
        ("name", |r| r.name = "a".repeat(300)),
        ("repository", |r| {
            r.repository = Some("ext::sh -c id".into());
        }),
        ("repository", |r| {
            r.repository = Some("file:///etc/passwd".into());
        }),
        ("repository", |r| {
            r.repository = Some("ssh://-oProxyCommand=x/y".into());
        }),
        ("branch", |r| r.branch = Some("--upload-pack=x".into())),
        ("branch", |r| r.repository = None),
        ("size", |r| r.size = "gigantic".into()),
        ("egress", |r| r.egress = Some("everything".into())),
        ("asker.user", |r| r.asker.user = "'; --".into()),
        ("asker", |r| r.asker.session = None),
        ("idempotency_key", |r| {
            r.idempotency_key = Some("k".repeat(256));
        }),
    ];
    for (field, spoil) in spoils {
        let mut spoiled = request.clone();
        spoil(&mut spoiled);
        match intents.create(&spoiled, None).await {
            Err(IntentError::Invalid { field: found, .. }) => assert_eq!(found, field),
            other => panic!("expected {field} to be refused, got {other:?}"),
        }
    }
    assert_eq!(store.all_workspaces().await.unwrap(), vec![]);
    assert!(woken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_quota_holds_and_a_deleted_workspace_does_not_count() {
    let Fixture {
        intents, request, ..
    } = fixture().await;
    let mut rows = Vec::new();
    for _ in 0..3 {
        rows.push(intents.create(&request, None).await.unwrap());
    }
    let refused = intents.create(&request, None).await.unwrap_err();
    assert!(
        matches!(refused, IntentError::Quota(QuotaExceeded { limit: 3 })),
        "{refused:?}"
    );
    let id = rows[0].id.as_str();
    intents
        .change(id, Change::Delete, &request.asker, None)
        .await
        .unwrap();
    assert!(intents.create(&request, None).await.is_ok());
}

#[tokio::test]
async fn fifty_repeats_of_one_request_make_one_workspace() {
    let Fixture {
        intents,
        store,
        request,
        ..
    } = fixture().await;
    let request = CreateWorkspace {
        idempotency_key: Some("k".into()),
        ..request
    };
    let repeats = (0..50).map(|_| intents.create(&request, None));
    let rows = futures_util::future::join_all(repeats).await;
    let ids: std::collections::HashSet<_> = rows.into_iter().map(|row| row.unwrap().id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(store.all_workspaces().await.unwrap().len(), 1);
    let other = CreateWorkspace {
        name: "Another".into(),
        ..request
    };
    assert!(matches!(
        intents.create(&other, None).await,
        Err(IntentError::Idempotency)
    ));
}

#[tokio::test]
async fn only_legal_transitions_are_taken_and_each_start_is_a_generation() {
    let Fixture {
        intents,
        store,
        request,
        ..
    } = fixture().await;
    let row = intents.create(&request, None).await.unwrap();
    let id = row.id.as_str();
    let change = |change| intents.change(id, change, &request.asker, None);
    assert!(matches!(
        change(Change::Start).await,
        Err(IntentError::Transition(_))
    ));
    let stopping = change(Change::Stop).await.unwrap();
    assert_eq!(
        (stopping.desired, stopping.generation.0),
        (Desired::Stopped, 1)
    );
    assert!(matches!(
        change(Change::Stop).await,
        Err(IntentError::Transition(_))
    ));
    let stopped = Workspace {
        lifecycle: Lifecycle::Stopped,
        ..stopping
    };
    store.update_workspace(&stopped, None).await.unwrap();
    assert_eq!(change(Change::Start).await.unwrap().generation.0, 2);
    let deleting = change(Change::Delete).await.unwrap();
    assert_eq!(
        change(Change::Delete).await.unwrap(),
        deleting,
        "asked twice is done once"
    );
    assert!(matches!(
        change(Change::Start).await,
        Err(IntentError::Transition(_))
    ));
}

#[tokio::test]
async fn an_unknown_workspace_is_not_found_however_it_is_spelt() {
    let Fixture {
        intents, request, ..
    } = fixture().await;
    for id in ["zzzzzzzzzz01", "", "../../etc", "ABCDEFGHIJ01", "a"] {
        let answer = intents
            .change(id, Change::Start, &request.asker, None)
            .await;
        assert!(
            matches!(answer, Err(IntentError::NotFound { .. })),
            "{id}: {answer:?}"
        );
        assert!(
            matches!(intents.find(id).await, Err(IntentError::NotFound { .. })),
            "{id}"
        );
    }
}

#[tokio::test]
async fn an_intent_wins_against_somebody_who_keeps_writing() {
    let Fixture {
        intents,
        store,
        request,
        ..
    } = fixture().await;
    let row = intents.create(&request, None).await.unwrap();
    let writing = async {
        for _ in 0..20 {
            let row = store.workspace(row.id).await.unwrap().unwrap();
            // Losing is what this is about.
            let _ = store.update_workspace(&row, None).await;
        }
    };
    let changing = intents.change(row.id.as_str(), Change::Stop, &request.asker, None);
    let ((), changed) = tokio::join!(writing, changing);
    assert!(matches!(
        changed.unwrap().lifecycle,
        Lifecycle::Stopping { .. }
    ));
}

#[tokio::test]
async fn a_deletion_is_taken_back_while_it_is_under_way_and_afterwards() {
    let Fixture {
        intents,
        store,
        request,
        woken,
    } = fixture().await;
    let row = intents.create(&request, None).await.unwrap();
    let id = row.id.as_str();
    let restore = || intents.restore(id, &request.asker, Some("r-1"));
    let refused = restore().await.unwrap_err();
    assert!(matches!(refused, IntentError::Transition(_)), "{refused:?}");
    let delete = || intents.change(id, Change::Delete, &request.asker, None);

    delete().await.unwrap();
    let back = restore().await.unwrap();
    assert_eq!(back.desired, Desired::Stopped);
    assert!(matches!(back.lifecycle, Lifecycle::Stopping { .. }));
    assert_eq!(woken.lock().unwrap().last(), Some(&row.id));

    let deleting = delete().await.unwrap();
    store
        .finish_deletion(&deleting, deleting.updated_at)
        .await
        .unwrap();
    intents.feeds.removed(&deleting);
    let back = restore().await.unwrap();
    assert_eq!(
        (back.desired, back.generation),
        (Desired::Stopped, row.generation)
    );
    assert_eq!(back.lifecycle, Lifecycle::Stopped);
    let route = intents.feeds.published(row.id).expect("told again");
    assert_eq!(route.target, kalpana_protocol::routes::Target::Stopped);
    let events = store
        .audit_events(PageRequest::first())
        .await
        .unwrap()
        .items;
    let event = &events[0];
    assert_eq!(event.action, AuditAction::WorkspaceRestore);
    assert_eq!(event.request_id.as_deref(), Some("r-1"));
    let started = intents
        .change(id, Change::Start, &request.asker, None)
        .await;
    assert_eq!(started.unwrap().generation, row.generation.next());
}

#[tokio::test]
async fn a_deletion_is_not_taken_back_beyond_the_quota_and_stays_possible() {
    let Fixture {
        intents,
        store,
        request,
        ..
    } = fixture().await;
    let first = intents.create(&request, None).await.unwrap();
    let id = first.id.as_str();
    let deleting = intents
        .change(id, Change::Delete, &request.asker, None)
        .await;
    let deleting = deleting.unwrap();
    for _ in 0..3 {
        intents.create(&request, None).await.unwrap();
    }
    for is_complete in [false, true] {
        if is_complete {
            let finished = store.finish_deletion(&deleting, deleting.updated_at).await;
            finished.unwrap();
        }
        let refused = intents.restore(id, &request.asker, None).await.unwrap_err();
        assert!(matches!(refused, IntentError::Quota(_)), "{refused:?}");
    }
    let of_ada = store.deleted_workspaces_of(first.owner, PageRequest::first());
    assert_eq!(of_ada.await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn only_what_is_deleted_is_given_up() {
    let Fixture {
        intents, request, ..
    } = fixture().await;
    let row = intents.create(&request, None).await.unwrap();
    for id in [row.id.as_str(), "zzzzzzzzzz01", "", "../../etc"] {
        let refused = intents.purge(id, &request.asker, None).await.unwrap_err();
        assert!(
            matches!(refused, IntentError::NotFound { .. }),
            "{refused:?}"
        );
    }
    let deleting = intents.change(row.id.as_str(), Change::Delete, &request.asker, None);
    deleting.await.unwrap();
    let refused = intents.purge(row.id.as_str(), &request.asker, None).await;
    assert!(
        matches!(refused, Err(IntentError::NotFound { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_failed_is_in_nobodys_way_and_is_started_within_the_quota() {
    let Fixture {
        intents,
        store,
        request,
        ..
    } = fixture().await;
    let mut rows = Vec::new();
    for _ in 0..3 {
        rows.push(intents.create(&request, None).await.unwrap());
    }
    let failed = Workspace {
        lifecycle: Lifecycle::Failed {
            at: rows[0].updated_at,
            reason: FailureReason::new(FailureCode::CloneFailed, "gone"),
        },
        ..rows[0].clone()
    };
    store.update_workspace(&failed, None).await.unwrap();
    let another = intents.create(&request, None).await.unwrap();
    let start = || intents.change(failed.id.as_str(), Change::Start, &request.asker, None);
    let refused = start().await.unwrap_err();
    assert!(
        matches!(refused, IntentError::Quota(QuotaExceeded { limit: 3 })),
        "{refused:?}"
    );
    let id = another.id.as_str();
    let deleted = intents
        .change(id, Change::Delete, &request.asker, None)
        .await;
    deleted.unwrap();
    let started = start().await.unwrap();
    assert!(matches!(started.lifecycle, Lifecycle::Starting { .. }));
}
