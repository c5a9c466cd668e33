//! Deleted workspaces.

use kalpana_domain::audit::AuditAction;
use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::quota::Quota;
use kalpana_domain::user::User;
use kalpana_domain::workspace::{Desired, Workspace};
use kalpana_store::records::DeletedWorkspace;
use kalpana_store::{PageRequest, Store, StoreError};

use crate::world::{PLENTY, World, at, event, log, make_user, make_workspace, new_workspace, page};

/// Makes a workspace and deletes it at a time.
async fn make_deleted(store: &Store, owner: &User, seconds: i64) -> DeletedWorkspace {
    let mut made = make_workspace(store, owner).await;
    made.desired = Desired::Deleted;
    made.lifecycle = Lifecycle::Deleting { since: at(seconds) };
    let deleting = store.update_workspace(&made, None).await.expect("written");
    let finished = store.finish_deletion(&deleting, at(seconds)).await;
    finished.expect("deleted");
    let deleted = store.deleted_workspace(made.id).await.expect("read");
    deleted.expect("a tombstone")
}

/// Returns the row as a restoration writes it.
fn restored(row: &Workspace) -> Workspace {
    Workspace {
        desired: Desired::Stopped,
        lifecycle: Lifecycle::Stopped,
        updated_at: at(9),
        ..row.clone()
    }
}

async fn trash_of(store: &Store, user: &User) -> Vec<DeletedWorkspace> {
    let listed = store.deleted_workspaces_of(user.id, PageRequest::first());
    listed.await.expect("listed").items
}

pub(crate) async fn a_deleted_workspace_is_listed_and_restored_as_it_was(world: &World) {
    let (store, other) = (world.open().await, world.open().await);
    let (ada, bob) = (
        make_user(&store, "ada").await,
        make_user(&store, "bob").await,
    );
    let living = make_workspace(&store, &ada).await;
    let deleted = make_deleted(&store, &ada, 5).await;
    let id = deleted.workspace.id;
    assert_eq!(deleted.deleted_at, at(5));
    assert_eq!(trash_of(&other, &ada).await, std::slice::from_ref(&deleted));
    assert_eq!(trash_of(&other, &bob).await, []);
    let of_living = store.deleted_workspace(living.id).await.expect("read");
    assert_eq!(of_living, None);

    let before = log(&store).await.len();
    let wish = restored(&deleted.workspace);
    let restore = AuditAction::WorkspaceRestore;
    let back = other.restore_workspace(&wish, PLENTY, event(restore)).await;
    let back = back.expect("restored");
    let version = back.version;
    assert!(version > wish.version);
    assert_eq!(
        back,
        Workspace {
            version,
            ..wish.clone()
        }
    );
    assert_eq!(store.workspace(id).await.expect("read"), Some(back));
    assert_eq!(store.deleted_workspace(id).await.expect("read"), None);
    assert_eq!(trash_of(&store, &ada).await, []);
    assert_eq!(log(&store).await.len(), before + 1);

    // Of two who saw it deleted, one restores it.
    let again = store.restore_workspace(&wish, PLENTY, event(restore)).await;
    assert!(
        matches!(again, Err(StoreError::Conflict { what: "version" })),
        "{again:?}"
    );

    // One that is on its way out is restored as well.
    let mut leaving = living.clone();
    leaving.desired = Desired::Deleted;
    leaving.lifecycle = Lifecycle::Deleting { since: at(7) };
    let leaving = store.update_workspace(&leaving, None).await;
    let wish = restored(&leaving.expect("written"));
    let back = store.restore_workspace(&wish, PLENTY, event(restore)).await;
    assert_eq!(back.expect("restored").lifecycle, Lifecycle::Stopped);
    assert_eq!(log(&store).await.len(), before + 2);
}

pub(crate) async fn a_restored_workspace_counts_against_the_quota(world: &World) {
    let (one, other) = (world.open().await, world.open().await);
    let ada = make_user(&one, "ada").await;
    let mut deleted = Vec::new();
    for seconds in 0..6 {
        deleted.push(make_deleted(&one, &ada, seconds).await);
    }
    make_workspace(&one, &ada).await;
    let quota = Quota { workspaces: 4 };
    let attempts: Vec<_> = deleted
        .iter()
        .enumerate()
        .map(|(number, deleted)| {
            let store = if number % 2 == 0 {
                one.clone()
            } else {
                other.clone()
            };
            let wish = restored(&deleted.workspace);
            let event = event(AuditAction::WorkspaceRestore);
            tokio::spawn(async move { store.restore_workspace(&wish, quota, event).await })
        })
        .collect();
    let mut back = 0;
    for attempt in attempts {
        match attempt.await.expect("joined") {
            Ok(_) => back += 1,
            Err(StoreError::Quota(exceeded)) => assert_eq!(exceeded.limit, 4),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(back, 3, "one was there");
    assert_eq!(trash_of(&one, &ada).await.len(), 3, "the others are kept");
    let restorations = log(&one).await;
    let restorations = restorations
        .iter()
        .filter(|event| event.action == AuditAction::WorkspaceRestore);
    assert_eq!(restorations.count(), 3);
    let more = event(AuditAction::WorkspaceCreate);
    let more = one
        .create_workspace(new_workspace(&ada), quota, None, more)
        .await;
    assert!(matches!(more, Err(StoreError::Quota(_))), "{more:?}");
}

pub(crate) async fn what_is_given_up_stays_gone(world: &World) {
    let store = world.open().await;
    let ada = make_user(&store, "ada").await;
    let living = make_workspace(&store, &ada).await;
    let deleted = make_deleted(&store, &ada, 5).await;
    let purge = AuditAction::WorkspacePurge;
    let stale = Workspace {
        version: deleted.workspace.version - 1,
        ..deleted.workspace.clone()
    };
    let before = log(&store).await;
    let refused = store.purge_workspace(&stale, event(purge)).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { what: "version" })),
        "{refused:?}"
    );
    let nobody = Workspace {
        id: WorkspaceId::from_random([1; 16]),
        ..living.clone()
    };
    for not_deleted in [&living, &nobody] {
        let refused = store.purge_workspace(not_deleted, event(purge)).await;
        assert!(
            matches!(refused, Err(StoreError::NotFound { what: "workspace" })),
            "{refused:?}"
        );
    }
    assert_eq!(log(&store).await, before);

    let wish = Workspace {
        updated_at: at(8),
        ..deleted.workspace.clone()
    };
    let purged = store.purge_workspace(&wish, event(purge)).await;
    purged.expect("given up");
    assert_eq!(log(&store).await.len(), before.len() + 1);
    assert_eq!(trash_of(&store, &ada).await, []);
    let known = store.deleted_workspace(wish.id).await.expect("read");
    let known = known.expect("a tombstone");
    let row = &known.workspace;
    assert_eq!((row.desired, row.updated_at), (Desired::Purged, at(8)));
    assert_eq!(known.deleted_at, at(5));
    let back = restored(row);
    let back = store
        .restore_workspace(&back, PLENTY, event(AuditAction::WorkspaceRestore))
        .await;
    assert!(
        matches!(back, Err(StoreError::NotFound { what: "workspace" })),
        "{back:?}"
    );
    let again = store.purge_workspace(row, event(purge)).await;
    assert!(
        matches!(again, Err(StoreError::NotFound { what: "workspace" })),
        "{again:?}"
    );
    let mut reused = new_workspace(&ada);
    reused.id = wish.id;
    let creation = event(AuditAction::WorkspaceCreate);
    let reused = store.create_workspace(reused, PLENTY, None, creation).await;
    assert!(
        matches!(reused, Err(StoreError::Conflict { what: "id" })),
        "{reused:?}"
    );
}

pub(crate) async fn the_trash_is_listed_in_pages(world: &World) {
    let store = world.open().await;
    let ada = make_user(&store, "ada").await;
    let mut expected = Vec::new();
    for seconds in [3, 1, 2, 2, 5] {
        expected.push(make_deleted(&store, &ada, seconds).await);
    }
    expected.sort_by_key(|deleted| {
        std::cmp::Reverse((deleted.deleted_at, deleted.workspace.id.to_string()))
    });
    let (mut collected, mut next) = (Vec::new(), None);
    loop {
        let part = store.deleted_workspaces_of(ada.id, page(next, 2));
        let part = part.await.expect("listed");
        assert!((1..=2).contains(&part.items.len()));
        collected.extend(part.items);
        next = part.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(collected, expected);
}

/// Makes a workspace that was deleted in 1970.
pub(crate) async fn long_deleted(store: &Store) -> WorkspaceId {
    let ada = make_user(store, "ada").await;
    make_deleted(store, &ada, 5).await.workspace.id
}

/// Checks that the time in the trash has just begun.
pub(crate) async fn assert_kept_from_now_on(store: &Store, id: WorkspaceId) {
    let deleted = store.deleted_workspace(id).await.expect("read");
    let deleted = deleted.expect("a tombstone");
    let age = SystemClock.now().duration_since(deleted.deleted_at);
    assert!((0..60).contains(&age.as_secs()), "{age:?}");
    assert_eq!(deleted.workspace.desired, Desired::Deleted);
}
