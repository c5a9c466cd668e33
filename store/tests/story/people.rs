//! Setting up, and people.

use kalpana_domain::audit::AuditAction;
use kalpana_domain::id::UserId;
use kalpana_domain::user::{EmailAddress, Role};
use kalpana_store::{PageRequest, StoreError};

use crate::world::{World, at, event, log, make_user, new_user, page};

pub(crate) async fn the_setup_link_works_once(world: &World) {
    let store = world.open().await;
    assert!(store.is_setup_required().await.expect("read"));
    let refused = store
        .complete_setup([1; 32], new_user("ada"), event(AuditAction::SiteSetup))
        .await;
    assert!(
        matches!(
            refused,
            Err(StoreError::NotFound {
                what: "setup secret"
            })
        ),
        "{refused:?}"
    );

    assert!(store.put_setup_secret([1; 32], at(0)).await.expect("kept"));
    assert!(store.put_setup_secret([2; 32], at(1)).await.expect("kept"));
    let earlier = store
        .complete_setup([1; 32], new_user("ada"), event(AuditAction::SiteSetup))
        .await;
    assert!(
        matches!(
            earlier,
            Err(StoreError::NotFound {
                what: "setup secret"
            })
        ),
        "{earlier:?}"
    );

    let new = new_user("ada");
    let ada = store
        .complete_setup([2; 32], new.clone(), event(AuditAction::SiteSetup))
        .await
        .expect("set up");
    assert_eq!((ada.id, ada.role), (new.id, Role::Administrator));
    assert_eq!(
        ada.organization,
        store.default_organization().await.expect("there")
    );
    assert_eq!(store.user(ada.id).await.expect("read"), Some(ada));

    assert!(!store.is_setup_required().await.expect("read"));
    assert!(
        !store
            .put_setup_secret([3; 32], at(2))
            .await
            .expect("not kept")
    );
    let again = store
        .complete_setup([2; 32], new_user("eve"), event(AuditAction::SiteSetup))
        .await;
    assert!(
        matches!(again, Err(StoreError::Conflict { what: "setup" })),
        "{again:?}"
    );
    let actions: Vec<_> = log(&store)
        .await
        .into_iter()
        .map(|event| event.action)
        .collect();
    assert_eq!(actions, [AuditAction::SiteSetup]);
}

pub(crate) async fn one_of_many_setups_wins(world: &World) {
    let (one, other) = (world.open().await, world.open().await);
    assert!(one.put_setup_secret([1; 32], at(0)).await.expect("kept"));
    let attempts: Vec<_> = (0..20)
        .map(|number| {
            let store = if number % 2 == 0 {
                one.clone()
            } else {
                other.clone()
            };
            tokio::spawn(async move {
                let user = new_user(&format!("user{number}"));
                store
                    .complete_setup([1; 32], user, event(AuditAction::SiteSetup))
                    .await
            })
        })
        .collect();
    let mut winners = Vec::new();
    for attempt in attempts {
        match attempt.await.expect("joined") {
            Ok(user) => winners.push(user),
            Err(error) => {
                assert!(
                    matches!(error, StoreError::Conflict { what: "setup" }),
                    "{error:?}"
                );
            }
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(
        one.users(PageRequest::first()).await.expect("listed").items,
        winners
    );
    assert_eq!(log(&other).await.len(), 1);
}

pub(crate) async fn an_address_is_taken_once(world: &World) {
    let store = world.open().await;
    let ada = make_user(&store, "ada").await;
    assert_eq!(ada.role, Role::Member);
    let again = store
        .create_user(new_user("ADA"), event(AuditAction::UserCreate))
        .await;
    assert!(
        matches!(again, Err(StoreError::Conflict { what: "email" })),
        "{again:?}"
    );
    let mut same_id = new_user("bob");
    same_id.id = ada.id;
    let again = store
        .create_user(same_id, event(AuditAction::UserCreate))
        .await;
    assert!(
        matches!(again, Err(StoreError::Conflict { what: "id" })),
        "{again:?}"
    );
    assert_eq!(
        store
            .users(PageRequest::first())
            .await
            .expect("listed")
            .items,
        std::slice::from_ref(&ada)
    );

    let found = store
        .user_by_email(&ada.email)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(
        (found.user, found.password_hash.as_str()),
        (ada, "$argon2id$ada")
    );
    let nobody = EmailAddress::parse("nobody@example.com").expect("legal");
    assert!(store.user_by_email(&nobody).await.expect("read").is_none());
    assert_eq!(store.user(UserId::generate()).await.expect("read"), None);
}

pub(crate) async fn people_are_listed_in_pages(world: &World) {
    let store = world.open().await;
    let mut people = Vec::new();
    for number in 0..5 {
        people.push(make_user(&store, &format!("user{number}")).await);
    }
    let first = store.users(page(None, 2)).await.expect("listed");
    assert_eq!(first.items, people[..2]);
    // Somebody who comes in between neither repeats nor hides anybody.
    people.push(make_user(&store, "late").await);
    let second = store.users(page(first.next, 3)).await.expect("listed");
    assert_eq!(second.items, people[2..5]);
    let last = store.users(page(second.next, 200)).await.expect("listed");
    assert_eq!((last.items.as_slice(), last.next), (&people[5..], None));
}

pub(crate) async fn a_password_hash_is_replaced(world: &World) {
    let store = world.open().await;
    let ada = make_user(&store, "ada").await;
    store
        .upgrade_password_hash(ada.id, "$argon2id$better".to_owned())
        .await
        .expect("replaced");
    let found = store
        .user_by_email(&ada.email)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(found.password_hash, "$argon2id$better");
    let nobody = store
        .upgrade_password_hash(UserId::generate(), String::new())
        .await;
    assert!(
        matches!(nobody, Err(StoreError::NotFound { what: "user" })),
        "{nobody:?}"
    );
}
