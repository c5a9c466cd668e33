//! Promises under writers that get into each other's way: several processes, each with the store
//! open, all at once.

use kalpana_domain::audit::AuditAction;
use kalpana_domain::id::AuditId;
use kalpana_domain::quota::Quota;
use kalpana_domain::workspace::{Desired, Workspace};
use kalpana_store::records::PasswordChange;
use kalpana_store::transfer::{Freeze, MoveId};
use kalpana_store::{Store, StoreError};
use tokio::task::JoinSet;

use crate::world::{
    World, at, event, idempotency, make_user, make_workspace, new_session, new_user, new_workspace,
    page,
};

/// Opens the store as often as there are processes.
async fn processes(world: &World) -> [Store; 3] {
    [world.open().await, world.open().await, world.open().await]
}

pub(crate) async fn versions_lose_no_update(world: &World) {
    let stores = processes(world).await;
    let ada = make_user(&stores[0], "ada").await;
    let made = make_workspace(&stores[0], &ada).await;
    // Everybody raises the generation by one, reading again when somebody else was first.
    let mut writers = JoinSet::new();
    for number in 0..12 {
        let (store, id) = (stores[number % 3].clone(), made.id);
        writers.spawn(async move {
            let mut conflicts = 0;
            loop {
                let seen = store.workspace(id).await.expect("read").expect("there");
                let asked = Workspace {
                    generation: seen.generation.next(),
                    ..seen
                };
                match store.update_workspace(&asked, None).await {
                    Ok(_) => return conflicts,
                    Err(StoreError::Conflict { what: "version" }) => conflicts += 1,
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
    }
    writers.join_all().await;
    let last = stores[1].workspace(made.id).await.expect("read");
    let last = last.expect("there");
    assert_eq!((last.generation.0, last.version), (13, 13));
}

pub(crate) async fn a_quota_and_a_key_hold_together(world: &World) {
    let stores = processes(world).await;
    let ada = make_user(&stores[0], "ada").await;
    let quota = Quota { workspaces: 3 };
    let mut writers = JoinSet::new();
    for number in 0..18 {
        let (store, ada) = (stores[number % 3].clone(), ada.clone());
        writers.spawn(async move {
            // Every third one repeats one and the same request.
            let key = (number % 6 == 0).then(|| idempotency(1));
            let creation = event(AuditAction::WorkspaceCreate);
            store
                .create_workspace(new_workspace(&ada), quota, key, creation)
                .await
        });
    }
    let mut made = Vec::new();
    for result in writers.join_all().await {
        match result {
            Ok(workspace) => made.push(workspace.id),
            Err(error) => assert!(matches!(error, StoreError::Quota(_)), "{error:?}"),
        }
    }
    made.sort_by_key(|id| id.to_u128());
    made.dedup();
    let mut held: Vec<_> = stores[2]
        .all_workspaces()
        .await
        .expect("listed")
        .into_iter()
        .map(|workspace| workspace.id)
        .collect();
    held.sort_by_key(|id| id.to_u128());
    assert_eq!((held.len(), held), (3, made));
    let events = stores[0]
        .audit_events(page(None, 50))
        .await
        .expect("listed");
    assert_eq!(events.items.len(), 1 + 3, "one for ada, one for each made");
}

pub(crate) async fn an_address_is_taken_once_by_many(world: &World) {
    let stores = processes(world).await;
    let mut writers = JoinSet::new();
    for number in 0..12 {
        let store = stores[number % 3].clone();
        writers.spawn(async move {
            let creation = event(AuditAction::UserCreate);
            store.create_user(new_user("ada"), creation).await
        });
    }
    let results = writers.join_all().await;
    let winners = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(winners, 1, "{results:?}");
    for error in results.into_iter().filter_map(Result::err) {
        assert!(
            matches!(error, StoreError::Conflict { what: "email" }),
            "{error:?}"
        );
    }
    assert_eq!(
        stores[1]
            .audit_events(page(None, 50))
            .await
            .expect("listed")
            .items
            .len(),
        1
    );
}

pub(crate) async fn a_session_is_ended_once(world: &World) {
    let stores = processes(world).await;
    let ada = make_user(&stores[0], "ada").await;
    let session = new_session(&ada, 1);
    stores[0]
        .create_session(session.clone(), event(AuditAction::SessionCreate))
        .await
        .expect("kept");
    let mut writers = JoinSet::new();
    for number in 0..12 {
        let (store, user, id) = (stores[number % 3].clone(), ada.id, session.id);
        writers.spawn(async move {
            // Uses of the session go on meanwhile.
            store.touch_session(id, at(1)).await.expect("noted");
            store
                .end_session(user, id, at(2), event(AuditAction::SessionEnd))
                .await
                .expect("answered")
        });
    }
    let ended = writers.join_all().await;
    assert_eq!(ended.into_iter().filter(|was_alive| *was_alive).count(), 1);
    let found = stores[1].session([1; 32], at(1), at(0)).await;
    assert_eq!(found.expect("read"), None);
}

pub(crate) async fn no_session_slips_past_a_changed_password(world: &World) {
    let stores = processes(world).await;
    let ada = make_user(&stores[0], "ada").await;
    let here = new_session(&ada, 0);
    stores[0]
        .create_session(here.clone(), event(AuditAction::SessionCreate))
        .await
        .expect("kept");
    let hash = async |store: &Store| {
        let found = store.user_by_email(&ada.email).await.expect("read");
        found.expect("there").password_hash
    };
    let change = async |number: u8| {
        let store = &stores[usize::from(number) % 3];
        let wish = PasswordChange {
            user: ada.id,
            known_hash: hash(store).await,
            new_hash: format!("$new{number}"),
            kept: here.id,
            at: at(2),
            revocation: None,
        };
        let event = event(AuditAction::PasswordChange);
        store.change_password(wish, event).await
    };
    // Who signs in looks at the hash before, and again once the session is there.
    let sign_in = async |secret: u8| {
        let store = &stores[usize::from(secret) % 3];
        let before = hash(store).await;
        let session = new_session(&ada, secret);
        let event = event(AuditAction::SessionCreate);
        store
            .create_session(session.clone(), event)
            .await
            .expect("kept");
        (session.id, before, hash(store).await)
    };
    let changes = futures_util::future::join_all((0..4).map(change));
    let sign_ins = futures_util::future::join_all((1..13).map(sign_in));
    let (changes, sign_ins) = tokio::join!(changes, sign_ins);
    assert!(changes.iter().any(Result::is_ok), "{changes:?}");
    for lost in changes.iter().filter_map(|change| change.as_ref().err()) {
        let is_known = matches!(lost, StoreError::Conflict { what: "password" });
        assert!(is_known, "{lost:?}");
    }
    let living = stores[0].sessions_of(ada.id, at(2), at(0)).await;
    let living: Vec<_> = living.expect("read").iter().map(|one| one.id).collect();
    assert!(living.contains(&here.id), "the one at hand stays");
    let latest = hash(&stores[0]).await;
    for (id, before, after) in sign_ins {
        let is_let_in = before == after;
        assert!(
            !(is_let_in && before != latest && living.contains(&id)),
            "{id} was made with {before} and outlived it"
        );
    }
}

pub(crate) async fn the_log_loses_nothing_and_is_read_in_pages_while_it_grows(world: &World) {
    let stores = processes(world).await;
    let written: Vec<AuditId> = (0..60).map(|_| AuditId::generate()).collect();
    let mut writers = JoinSet::new();
    for (number, part) in written.chunks(10).enumerate() {
        let (store, part) = (stores[number % 3].clone(), part.to_vec());
        writers.spawn(async move {
            for id in part {
                let mut event = event(AuditAction::SessionRefuse);
                event.id = id;
                store.append_audit(event).await.expect("written");
            }
        });
    }
    // A list read in pages shows nothing twice, however much is written meanwhile.
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let part = stores[0]
            .audit_events(page(after, 5))
            .await
            .expect("listed");
        seen.extend(part.items.into_iter().map(|event| event.id));
        after = part.next;
        if after.is_none() {
            break;
        }
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count, "shown twice");
    writers.join_all().await;
    let events = stores[1]
        .audit_events(page(None, 200))
        .await
        .expect("listed");
    let mut kept: Vec<_> = events.items.into_iter().map(|event| event.id).collect();
    kept.sort();
    assert_eq!(kept, written);
}

pub(crate) async fn a_freeze_lets_no_write_slip_through(world: &World) {
    let stores = processes(world).await;
    let ada = make_user(&stores[0], "ada").await;
    let freeze = Freeze {
        by: MoveId::new_v4(),
        until: at(1_000_000),
    };
    let mut writers = JoinSet::new();
    for number in 0..12 {
        let (store, ada) = (stores[number % 3].clone(), ada.clone());
        writers.spawn(async move {
            // Writes until it is refused; what was answered must be there.
            let mut made = Vec::new();
            loop {
                let creation = event(AuditAction::WorkspaceCreate);
                let quota = Quota { workspaces: 10_000 };
                match store
                    .create_workspace(new_workspace(&ada), quota, None, creation)
                    .await
                {
                    Ok(workspace) => made.push(workspace.id),
                    Err(StoreError::Frozen { moved_to: None }) => return made,
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
    }
    stores[0].freeze(freeze, at(0)).await.expect("frozen");
    // From here on nothing may change, although writers have not all heard of it yet.
    let at_freeze = stores[1].all_workspaces().await.expect("listed");
    let made: Vec<_> = writers.join_all().await.concat();
    let after = stores[2].all_workspaces().await.expect("listed");
    assert_eq!(at_freeze, after);
    assert_eq!(after.len(), made.len());
    for workspace in &after {
        assert!(made.contains(&workspace.id));
        assert_eq!(workspace.desired, Desired::Running);
    }
    let elsewhere = "elsewhere".to_owned();
    stores[0]
        .retire(freeze.by, elsewhere.clone())
        .await
        .expect("retired");
    let refused = stores[1]
        .create_user(new_user("bob"), event(AuditAction::UserCreate))
        .await;
    assert!(
        matches!(&refused, Err(StoreError::Frozen { moved_to: Some(place) }) if *place == elsewhere),
        "{refused:?}"
    );
}
