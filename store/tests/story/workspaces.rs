//! Workspaces.

use kalpana_domain::audit::AuditAction;
use kalpana_domain::id::{Generation, WorkspaceId};
use kalpana_domain::lifecycle::{FailureCode, FailureReason, Lifecycle};
use kalpana_domain::quota::{Quota, QuotaExceeded};
use kalpana_domain::repository::{BranchName, RepositoryUrl};
use kalpana_domain::workspace::{Desired, Egress, Size, Workspace};
use kalpana_store::records::{Idempotency, NewWorkspace};
use kalpana_store::{Page, PageRequest, StoreError};

use crate::world::{
    PLENTY, World, at, event, idempotency, log, make_user, make_workspace, new_workspace, page,
};

pub(crate) async fn a_workspace_is_remembered_as_it_was_asked_for(world: &World) {
    let store = world.open().await;
    let ada = make_user(&store, "ada").await;
    let mut new = new_workspace(&ada);
    new.spec.repository =
        Some(RepositoryUrl::parse("https://git.example.com/team/project.git").expect("legal"));
    new.spec.branch = Some(BranchName::parse("feature/x").expect("legal"));
    (new.spec.size, new.spec.egress) = (Size::Large, Egress::None);
    let made = store
        .create_workspace(
            new.clone(),
            PLENTY,
            None,
            event(AuditAction::WorkspaceCreate),
        )
        .await
        .expect("made");
    let expected = Workspace {
        id: new.id,
        organization: ada.organization,
        owner: ada.id,
        spec: new.spec.clone(),
        sleep: Default::default(),
        filled_from: None,
        desired: Desired::Running,
        lifecycle: Lifecycle::Starting { since: at(0) },
        generation: Generation(1),
        version: made.version,
        created_at: at(0),
        updated_at: at(0),
    };
    assert_eq!(made, expected);
    assert_eq!(
        store.workspace(new.id).await.expect("read"),
        Some(expected.clone())
    );
    assert_eq!(store.all_workspaces().await.expect("listed"), [expected]);
    let stranger = WorkspaceId::from_random([1; 16]);
    assert_eq!(store.workspace(stranger).await.expect("read"), None);
    let again = store
        .create_workspace(new, PLENTY, None, event(AuditAction::WorkspaceCreate))
        .await;
    assert!(
        matches!(again, Err(StoreError::Conflict { what: "id" })),
        "{again:?}"
    );
}

pub(crate) async fn the_quota_holds_under_parallel_creation(world: &World) {
    let (one, other) = (world.open().await, world.open().await);
    let ada = make_user(&one, "ada").await;
    let quota = Quota { workspaces: 7 };
    let attempts: Vec<_> = (0..20)
        .map(|number| {
            let store = if number % 2 == 0 {
                one.clone()
            } else {
                other.clone()
            };
            let new = new_workspace(&ada);
            tokio::spawn(async move {
                let event = event(AuditAction::WorkspaceCreate);
                store.create_workspace(new, quota, None, event).await
            })
        })
        .collect();
    let mut made = 0;
    for attempt in attempts {
        match attempt.await.expect("joined") {
            Ok(_) => made += 1,
            Err(error) => {
                let limit = QuotaExceeded { limit: 7 };
                assert!(
                    matches!(error, StoreError::Quota(found) if found == limit),
                    "{error:?}"
                );
            }
        }
    }
    assert_eq!(made, 7);
    assert_eq!(one.all_workspaces().await.expect("listed").len(), 7);
    let creations = log(&other).await;
    let creations = creations
        .iter()
        .filter(|event| event.action == AuditAction::WorkspaceCreate)
        .count();
    assert_eq!(creations, 7);

    // One that is being deleted counts no more, and neither does somebody else's.
    let mut doomed = one.all_workspaces().await.expect("listed").remove(0);
    doomed.desired = Desired::Deleted;
    one.update_workspace(&doomed, None).await.expect("written");
    let bob = make_user(&one, "bob").await;
    for owner in [&ada, &bob] {
        let event = event(AuditAction::WorkspaceCreate);
        one.create_workspace(new_workspace(owner), quota, None, event)
            .await
            .expect("room");
    }
}

pub(crate) async fn what_failed_counts_again_when_it_is_started(world: &World) {
    let (one, other) = (world.open().await, world.open().await);
    let ada = make_user(&one, "ada").await;
    let quota = Quota { workspaces: 3 };
    let reason = FailureReason::new(FailureCode::CloneFailed, "gone");
    let mut failed = Vec::new();
    for _ in 0..5 {
        let creation = event(AuditAction::WorkspaceCreate);
        let made = one.create_workspace(new_workspace(&ada), quota, None, creation);
        let mut made = made.await.expect("what failed takes no room");
        made.lifecycle = Lifecycle::Failed {
            at: at(1),
            reason: reason.clone(),
        };
        failed.push(one.update_workspace(&made, None).await.expect("written"));
    }
    let before = log(&one).await.len();
    let attempts: Vec<_> = failed
        .into_iter()
        .enumerate()
        .map(|(number, mut row)| {
            let store = if number % 2 == 0 {
                one.clone()
            } else {
                other.clone()
            };
            row.lifecycle = Lifecycle::Starting { since: at(2) };
            let event = event(AuditAction::WorkspaceStart);
            tokio::spawn(async move { store.admit_workspace(&row, quota, event).await })
        })
        .collect();
    let mut started = 0;
    for attempt in attempts {
        match attempt.await.expect("joined") {
            Ok(_) => started += 1,
            Err(StoreError::Quota(exceeded)) => assert_eq!(exceeded.limit, 3),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(started, 3);
    assert_eq!(log(&one).await.len(), before + 3);
    let still_failed = one.all_workspaces().await.expect("listed");
    let still_failed = still_failed
        .iter()
        .filter(|row| matches!(row.lifecycle, Lifecycle::Failed { .. }));
    assert_eq!(still_failed.count(), 2, "nothing else was changed");
}

pub(crate) async fn a_repeated_request_makes_one_workspace(world: &World) {
    let store = world.open().await;
    let (ada, bob) = (
        make_user(&store, "ada").await,
        make_user(&store, "bob").await,
    );
    let quota = Quota { workspaces: 1 };
    let create = async |new: NewWorkspace, idempotency: Idempotency| {
        let event = event(AuditAction::WorkspaceCreate);
        store
            .create_workspace(new, quota, Some(idempotency), event)
            .await
    };
    let first = create(new_workspace(&ada), idempotency(1))
        .await
        .expect("made");
    let before = log(&store).await.len();
    let again = create(new_workspace(&ada), idempotency(1))
        .await
        .expect("the first one");
    assert_eq!(again, first);
    assert_eq!(log(&store).await.len(), before, "nothing happened again");
    let other = create(new_workspace(&ada), idempotency(2)).await;
    assert!(
        matches!(
            other,
            Err(StoreError::Conflict {
                what: "idempotency"
            })
        ),
        "{other:?}"
    );
    // Keys are counted per person.
    let of_bob = create(new_workspace(&bob), idempotency(2))
        .await
        .expect("made");
    assert_ne!(of_bob.id, first.id);
    // A key is forgotten when it expires; a request that failed was never remembered.
    let late = NewWorkspace {
        created_at: at(3600),
        ..new_workspace(&ada)
    };
    let refused = create(late.clone(), idempotency(2)).await;
    assert!(matches!(refused, Err(StoreError::Quota(_))), "{refused:?}");
    let again = Idempotency {
        expires_at: at(7200),
        ..idempotency(3)
    };
    let event = event(AuditAction::WorkspaceCreate);
    let made = store
        .create_workspace(late.clone(), PLENTY, Some(again), event)
        .await;
    assert_eq!(made.expect("made").id, late.id);
}

pub(crate) async fn only_who_saw_the_latest_version_writes(world: &World) {
    let (one, other) = (world.open().await, world.open().await);
    let ada = make_user(&one, "ada").await;
    let seen = make_workspace(&one, &ada).await;
    let reason = FailureReason::new(FailureCode::CloneFailed, "it's \"gone\"");
    let next = Workspace {
        sleep: Default::default(),
        filled_from: None,
        desired: Desired::Stopped,
        lifecycle: Lifecycle::Failed { at: at(7), reason },
        generation: Generation(2),
        updated_at: at(8),
        ..seen.clone()
    };
    let written = one
        .update_workspace(&next, Some(event(AuditAction::WorkspaceStop)))
        .await
        .expect("written");
    assert!(written.version > seen.version);
    assert_eq!(
        written,
        Workspace {
            version: written.version,
            ..next.clone()
        }
    );
    assert_eq!(
        other.workspace(seen.id).await.expect("read"),
        Some(written.clone())
    );

    let before = log(&one).await;
    let stale = other
        .update_workspace(&next, Some(event(AuditAction::WorkspaceStart)))
        .await;
    assert!(
        matches!(stale, Err(StoreError::Conflict { what: "version" })),
        "{stale:?}"
    );
    let stale = other.finish_deletion(&seen, at(9)).await;
    assert!(
        matches!(stale, Err(StoreError::Conflict { what: "version" })),
        "{stale:?}"
    );
    let nobody = Workspace {
        id: WorkspaceId::from_random([1; 16]),
        ..written.clone()
    };
    let nobody = other
        .update_workspace(&nobody, Some(event(AuditAction::WorkspaceStart)))
        .await;
    assert!(
        matches!(nobody, Err(StoreError::NotFound { what: "workspace" })),
        "{nobody:?}"
    );
    assert_eq!(log(&one).await, before);
    assert_eq!(
        one.workspace(seen.id).await.expect("read"),
        Some(written.clone())
    );

    // Of many writers that saw the same version, one writes.
    let writers: Vec<_> = (0..10)
        .map(|number| {
            let store = if number % 2 == 0 {
                one.clone()
            } else {
                other.clone()
            };
            let seen = written.clone();
            tokio::spawn(async move { store.update_workspace(&seen, None).await.is_ok() })
        })
        .collect();
    let mut winners = 0;
    for writer in writers {
        winners += usize::from(writer.await.expect("joined"));
    }
    assert_eq!(winners, 1);
}

pub(crate) async fn a_deleted_workspace_leaves_a_tombstone(world: &World) {
    let store = world.open().await;
    let ada = make_user(&store, "ada").await;
    let made = make_workspace(&store, &ada).await;
    let kept = make_workspace(&store, &ada).await;
    store.finish_deletion(&made, at(5)).await.expect("deleted");
    assert_eq!(store.workspace(made.id).await.expect("read"), None);
    assert_eq!(
        store.all_workspaces().await.expect("listed"),
        std::slice::from_ref(&kept)
    );
    let first = PageRequest::first();
    let listed = store
        .workspaces_of(ada.id, first.clone())
        .await
        .expect("listed");
    assert_eq!(
        listed,
        Page {
            items: vec![kept.clone()],
            next: None
        }
    );
    let listed = store
        .workspaces_in(ada.organization, first)
        .await
        .expect("listed");
    assert_eq!(listed.items, std::slice::from_ref(&kept));

    let again = store.finish_deletion(&made, at(6)).await;
    assert!(
        matches!(again, Err(StoreError::NotFound { what: "workspace" })),
        "{again:?}"
    );
    let revived = store.update_workspace(&made, None).await;
    assert!(
        matches!(revived, Err(StoreError::NotFound { what: "workspace" })),
        "{revived:?}"
    );
    let mut reused = new_workspace(&ada);
    reused.id = made.id;
    let event = event(AuditAction::WorkspaceCreate);
    let reused = store.create_workspace(reused, PLENTY, None, event).await;
    assert!(
        matches!(reused, Err(StoreError::Conflict { what: "id" })),
        "{reused:?}"
    );
}

pub(crate) async fn workspaces_are_listed_in_pages(world: &World) {
    let store = world.open().await;
    let (ada, bob) = (
        make_user(&store, "ada").await,
        make_user(&store, "bob").await,
    );
    let mut newest_first = Vec::new();
    for seconds in [3, 1, 2, 2, 5] {
        let new = NewWorkspace {
            created_at: at(seconds),
            ..new_workspace(&ada)
        };
        let event = event(AuditAction::WorkspaceCreate);
        newest_first.push(
            store
                .create_workspace(new, PLENTY, None, event)
                .await
                .expect("made"),
        );
    }
    let of_bob = make_workspace(&store, &bob).await;
    newest_first.sort_by_key(|workspace| std::cmp::Reverse((workspace.created_at, workspace.id)));

    let mut collected = Vec::new();
    let mut next = None;
    loop {
        let part = store
            .workspaces_of(ada.id, page(next, 2))
            .await
            .expect("listed");
        assert!((1..=2).contains(&part.items.len()));
        collected.extend(part.items);
        next = part.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(collected, newest_first);
    newest_first.push(of_bob);
    let all = store
        .workspaces_in(ada.organization, page(None, usize::MAX))
        .await
        .expect("listed");
    assert_eq!(
        all,
        Page {
            items: newest_first,
            next: None
        }
    );
    let one = store
        .workspaces_of(ada.id, page(None, 0))
        .await
        .expect("listed");
    assert_eq!(one.items.len(), 1);
}
