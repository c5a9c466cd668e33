//! How ports are shared.

use kalpana_domain::audit::AuditAction;
use kalpana_domain::id::{Generation, LinkId, UserId, WorkspaceId};
use kalpana_domain::sharing::{AccessRequest, LinkPath, PortShare, Rule, ShareLink, SharingLevel};
use kalpana_store::{Store, StoreError, StoreResult};

use crate::world::{World, at, event, log, make_user, make_workspace};

fn link(number: u8) -> ShareLink {
    ShareLink {
        id: LinkId::from_bytes([number; 16]),
        secret_hash: [number; 32],
        path: LinkPath::parse("/docs").expect("legal"),
        is_one_use: true,
        created_at: at(1),
        expires_at: at(100),
        used_at: Some(at(5)),
    }
}

fn public(workspace: WorkspaceId, port: u16) -> PortShare {
    PortShare {
        rule: Rule {
            level: SharingLevel::Public,
            ..Rule::default()
        },
        updated_at: at(2),
        ..PortShare::blank(workspace, port)
    }
}

async fn put(store: &Store, share: &PortShare) -> StoreResult<PortShare> {
    let event = event(AuditAction::ShareChange);
    store.put_port_share(share, event).await
}

fn is_conflict(answer: &StoreResult<PortShare>, expected: &str) -> bool {
    matches!(answer, Err(StoreError::Conflict { what }) if *what == expected)
}

pub(crate) async fn a_shared_port_is_remembered_as_it_was_given(world: &World) {
    let store = world.open().await;
    let ada = make_user(&store, "ada").await;
    let (one, two) = (
        make_workspace(&store, &ada).await.id,
        make_workspace(&store, &ada).await.id,
    );
    assert_eq!(store.port_share(one, 3000).await.expect("read"), None);
    let full = PortShare {
        rule: Rule {
            level: SharingLevel::Link,
            members: vec![ada.id, UserId::from_bytes([9; 16])],
            expires_at: Some(at(1000)),
            generation: Some(Generation(7)),
        },
        links: vec![link(1), link(2)],
        requests: vec![AccessRequest {
            user: ada.id,
            asked_at: at(3),
        }],
        updated_at: at(2),
        ..PortShare::blank(one, 3000)
    };
    let kept = put(&store, &full).await.expect("kept");
    let version = u64::try_from(at(2).as_millisecond()).expect("positive");
    let expected = PortShare {
        version,
        ..full.clone()
    };
    assert_eq!(kept, expected);
    let other = put(&store, &public(one, 10_000)).await.expect("kept");
    let third = put(&store, &public(two, 3000)).await.expect("kept");

    let store = world.open().await;
    assert_eq!(
        store.port_share(one, 3000).await.expect("read"),
        Some(kept.clone())
    );
    assert_eq!(store.port_share(two, 10_000).await.expect("read"), None);
    assert_eq!(
        store.port_shares_of(one).await.expect("read"),
        [kept.clone(), other.clone()]
    );
    let mut all = vec![kept, other, third];
    all.sort_by_key(|share| (share.workspace.to_string(), share.port));
    assert_eq!(store.all_port_shares().await.expect("read"), all);
    let newest = log(&store).await.remove(0).action;
    assert_eq!(newest, AuditAction::ShareChange);
}

pub(crate) async fn a_port_is_found_by_the_links_it_has_now(world: &World) {
    let store = world.open().await;
    let ada = make_user(&store, "ada").await;
    let workspace = make_workspace(&store, &ada).await.id;
    let find = async |secret: u8| {
        let found = store.port_share_by_link([secret; 32]).await.expect("read");
        found.map(|share| share.port)
    };
    let mut first = public(workspace, 3000);
    first.links = vec![link(1), link(2)];
    let mut first = put(&store, &first).await.expect("kept");
    let mut second = public(workspace, 4000);
    second.links = vec![link(3)];
    put(&store, &second).await.expect("kept");
    assert_eq!(
        (find(1).await, find(2).await, find(3).await, find(4).await),
        (Some(3000), Some(3000), Some(4000), None)
    );
    first.links.remove(0);
    put(&store, &first).await.expect("kept");
    assert_eq!((find(1).await, find(2).await), (None, Some(3000)));
}

pub(crate) async fn only_who_saw_the_latest_version_shares(world: &World) {
    let (one, other) = (world.open().await, world.open().await);
    let ada = make_user(&one, "ada").await;
    let workspace = make_workspace(&one, &ada).await.id;
    let fresh = public(workspace, 3000);
    let first = put(&one, &fresh).await.expect("kept");
    assert!(is_conflict(&put(&other, &fresh).await, "version"));
    let second = put(&other, &first).await.expect("kept");
    assert_eq!(second.version, first.version + 1);
    assert!(is_conflict(&put(&one, &first).await, "version"));

    // One that was forgotten and is made again is not the one before.
    let blank = PortShare {
        version: second.version,
        ..PortShare::blank(workspace, 3000)
    };
    let forgotten = put(&one, &blank).await.expect("forgotten");
    assert_eq!(forgotten.version, 0);
    assert_eq!(one.port_share(workspace, 3000).await.expect("read"), None);
    assert!(is_conflict(&put(&one, &second).await, "version"));
    let again = PortShare {
        updated_at: at(60),
        ..fresh
    };
    let again = put(&one, &again).await.expect("kept");
    assert!(again.version > second.version);
    assert!(is_conflict(&put(&one, &second).await, "version"));
    let before = log(&one).await.len();
    assert!(is_conflict(&put(&one, &second).await, "version"));
    assert_eq!(log(&one).await.len(), before, "nothing happened");
}

pub(crate) async fn a_deleted_workspace_shares_nothing(world: &World) {
    let store = world.open().await;
    let ada = make_user(&store, "ada").await;
    let (doomed, other) = (
        make_workspace(&store, &ada).await,
        make_workspace(&store, &ada).await,
    );
    let mut share = public(doomed.id, 3000);
    share.links = vec![link(1)];
    put(&store, &share).await.expect("kept");
    let stays = put(&store, &public(other.id, 3000)).await.expect("kept");
    store
        .finish_deletion(&doomed, at(9))
        .await
        .expect("completed");
    assert_eq!(store.all_port_shares().await.expect("read"), [stays]);
    let by_link = store.port_share_by_link([1; 32]).await.expect("read");
    assert_eq!(by_link, None);
    let late = put(&store, &public(doomed.id, 4000)).await;
    let is_refused = matches!(late, Err(StoreError::NotFound { what: "workspace" }));
    assert!(is_refused, "{late:?}");
}

pub(crate) async fn the_number_of_ports_is_bounded_for_many_writers(world: &World) {
    let store = world.open().await;
    let ada = make_user(&store, "ada").await;
    let workspace = make_workspace(&store, &ada).await.id;
    let limit = u16::try_from(PortShare::PORT_LIMIT).expect("few");
    for port in 0..limit - 2 {
        put(&store, &public(workspace, 2000 + port))
            .await
            .expect("room");
    }
    let others = [world.open().await, world.open().await];
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..6_u16 {
        let store = others[usize::from(number % 2)].clone();
        writers.spawn(async move { put(&store, &public(workspace, 9000 + number)).await });
    }
    let answers = writers.join_all().await;
    let made = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(made, 2, "{answers:?}");
    let refused = answers.iter().filter(|answer| is_conflict(answer, "ports"));
    assert_eq!(refused.count(), 4, "{answers:?}");
    // One that is there may still be changed.
    let known = store.port_share(workspace, 2000).await.expect("read");
    put(&store, &known.expect("there")).await.expect("changed");
}
