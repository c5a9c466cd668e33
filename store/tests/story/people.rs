//! Setting up, and people.

use kalpana_domain::audit::AuditAction;
use kalpana_domain::id::UserId;
use kalpana_domain::user::{EmailAddress, Role};
use kalpana_store::records::{EndedAccess, PasswordChange};
use kalpana_store::{PageRequest, StoreError};

use crate::world::{World, at, event, log, make_user, new_session, new_token, new_user, page};

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
    let upgrade = async |user, known: &str, hash: &str| {
        let upgraded = store.upgrade_password_hash(user, known.to_owned(), hash.to_owned());
        upgraded.await.expect("answered");
    };
    upgrade(ada.id, "$argon2id$ada", "$argon2id$better").await;
    // Who upgrades what is not the password any more changes nothing.
    upgrade(ada.id, "$argon2id$ada", "$argon2id$late").await;
    upgrade(UserId::generate(), "$argon2id$ada", "").await;
    let found = store
        .user_by_email(&ada.email)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(found.password_hash, "$argon2id$better");
}

pub(crate) async fn a_changed_password_ends_what_was_opened_with_the_old_one(world: &World) {
    let store = world.open().await;
    let (ada, bob) = (
        make_user(&store, "ada").await,
        make_user(&store, "bob").await,
    );
    let (here, elsewhere, bobs) = (
        new_session(&ada, 1),
        new_session(&ada, 2),
        new_session(&bob, 3),
    );
    for session in [&here, &elsewhere, &bobs] {
        let event = event(AuditAction::SessionCreate);
        store
            .create_session(session.clone(), event)
            .await
            .expect("kept");
    }
    let (token, bobs_token) = (new_token(&ada), new_token(&bob));
    for token in [&token, &bobs_token] {
        let event = event(AuditAction::TokenCreate);
        store
            .create_token(token.clone(), event)
            .await
            .expect("kept");
    }
    let change = |user, known: &str, new: &str, revocation| PasswordChange {
        user,
        known_hash: known.to_owned(),
        new_hash: new.to_owned(),
        kept: here.id,
        at: at(5),
        revocation,
    };
    let hash = async || {
        let found = store.user_by_email(&ada.email).await.expect("read");
        found.expect("there").password_hash
    };
    let before = log(&store).await;
    let attempt = |change| store.change_password(change, event(AuditAction::PasswordChange));
    let outdated = attempt(change(ada.id, "$argon2id$other", "$new", None)).await;
    assert!(
        matches!(outdated, Err(StoreError::Conflict { what: "password" })),
        "{outdated:?}"
    );
    let nobody = attempt(change(UserId::generate(), "$argon2id$ada", "$new", None)).await;
    assert!(
        matches!(nobody, Err(StoreError::NotFound { what: "user" })),
        "{nobody:?}"
    );
    let mut unwritable = event(AuditAction::PasswordChange);
    unwritable.id = before[0].id;
    let wish = change(ada.id, "$argon2id$ada", "$new", None);
    let refused = store.change_password(wish, unwritable.clone()).await;
    assert!(refused.is_err(), "{refused:?}");
    let wish = change(ada.id, "$argon2id$ada", "$new", Some(unwritable));
    let refused = attempt(wish).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(hash().await, "$argon2id$ada");
    let living = store.sessions_of(ada.id, at(5), at(0)).await.expect("read");
    assert_eq!(living.len(), 2, "nothing ended");
    assert_eq!(log(&store).await, before);

    let changed = attempt(change(ada.id, "$argon2id$ada", "$new", None)).await;
    let expected = EndedAccess {
        sessions: vec![elsewhere.id],
        tokens: vec![],
    };
    assert_eq!(changed.expect("changed"), expected);
    assert_eq!(hash().await, "$new");
    let living = store.sessions_of(ada.id, at(5), at(0)).await.expect("read");
    assert_eq!(living, std::slice::from_ref(&here));
    let ended = store.ended_sessions(at(0)).await.expect("read");
    let ended: Vec<_> = ended.into_iter().map(|session| session.id).collect();
    assert_eq!(ended, [elsewhere.id]);
    let tokens = store.tokens_of(ada.id, at(5)).await.expect("read");
    assert_eq!(
        tokens,
        std::slice::from_ref(&token),
        "tokens stay unless asked"
    );

    let revocation = event(AuditAction::TokenRevokeAll);
    let changed = attempt(change(ada.id, "$new", "$newer", Some(revocation))).await;
    let expected = EndedAccess {
        sessions: vec![],
        tokens: vec![token.id],
    };
    assert_eq!(changed.expect("changed"), expected);
    assert_eq!(store.tokens_of(ada.id, at(5)).await.expect("read"), []);
    let revocation = event(AuditAction::TokenRevokeAll);
    let changed = attempt(change(ada.id, "$newer", "$newest", Some(revocation))).await;
    assert_eq!(changed.expect("changed"), EndedAccess::default());

    let bobs_own = store.sessions_of(bob.id, at(5), at(0)).await.expect("read");
    assert_eq!(bobs_own, [bobs]);
    let tokens = store.tokens_of(bob.id, at(5)).await.expect("read");
    assert_eq!(tokens, [bobs_token]);
    let actions = log(&store).await;
    let actions: Vec<_> = actions.iter().map(|event| event.action).collect();
    let expected = [
        AuditAction::PasswordChange,
        AuditAction::TokenRevokeAll,
        AuditAction::PasswordChange,
        AuditAction::PasswordChange,
    ];
    assert_eq!(actions[..4], expected);
    assert_eq!(actions.len(), before.len() + 4);
}
