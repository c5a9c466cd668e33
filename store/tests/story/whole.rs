//! Promises that hold for every operation.

use kalpana_domain::audit::{Actor, AuditAction, AuditEvent};
use kalpana_domain::id::{SessionId, TokenId, UserId};
use kalpana_domain::quota::Quota;
use kalpana_domain::sharing::PortShare;
use kalpana_domain::user::EmailAddress;
use kalpana_domain::workspace::{Desired, Workspace};
use kalpana_store::records::{Idempotency, Session, Token};
use kalpana_store::{PageRequest, StoreError};

use crate::world::{
    PLENTY, World, at, event, idempotency, log, make_user, make_workspace, new_session, new_token,
    new_user, new_workspace, page,
};

pub(crate) async fn a_change_without_its_audit_event_does_not_happen(world: &World) {
    let store = world.open().await;
    assert!(store.put_setup_secret([5; 32], at(0)).await.expect("kept"));
    // An event whose id is taken cannot be written, so nothing that goes with it may happen.
    let taken = event(AuditAction::SessionRefuse);
    store.append_audit(taken.clone()).await.expect("written");
    let unwritable = || AuditEvent {
        action: AuditAction::UserCreate,
        ..taken.clone()
    };

    let refused = store
        .complete_setup([5; 32], new_user("ada"), unwritable())
        .await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { .. })),
        "{refused:?}"
    );
    assert!(store.is_setup_required().await.expect("read"));
    assert!(
        store
            .create_user(new_user("ada"), unwritable())
            .await
            .is_err()
    );
    assert_eq!(
        store
            .users(PageRequest::first())
            .await
            .expect("listed")
            .items,
        []
    );
    // The setup secret was not consumed either.
    let setup = event(AuditAction::SiteSetup);
    let ada = store
        .complete_setup([5; 32], new_user("ada"), setup)
        .await
        .expect("set up");

    let session = new_session(&ada, 1);
    assert!(
        store
            .create_session(session.clone(), unwritable())
            .await
            .is_err()
    );
    assert_eq!(
        store.session([1; 32], at(1), at(0)).await.expect("read"),
        None
    );
    store
        .create_session(session.clone(), event(AuditAction::SessionCreate))
        .await
        .expect("kept");
    assert!(
        store
            .end_session(session.user, session.id, at(1), unwritable())
            .await
            .is_err()
    );
    assert!(
        store
            .session([1; 32], at(1), at(0))
            .await
            .expect("read")
            .is_some()
    );

    let token = new_token(&ada);
    assert!(
        store
            .create_token(token.clone(), unwritable())
            .await
            .is_err()
    );
    assert_eq!(store.tokens_of(ada.id, at(1)).await.expect("listed"), []);
    store
        .create_token(token.clone(), event(AuditAction::TokenCreate))
        .await
        .expect("kept");
    assert!(
        store
            .revoke_token(ada.id, token.id, at(1), unwritable())
            .await
            .is_err()
    );
    assert_eq!(
        store.tokens_of(ada.id, at(1)).await.expect("listed"),
        [token]
    );

    let refused = store
        .create_workspace(
            new_workspace(&ada),
            PLENTY,
            Some(idempotency(1)),
            unwritable(),
        )
        .await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { .. })),
        "{refused:?}"
    );
    assert_eq!(store.all_workspaces().await.expect("listed"), []);
    // The key was not remembered either: another request may use it.
    let creation = event(AuditAction::WorkspaceCreate);
    let made = store
        .create_workspace(new_workspace(&ada), PLENTY, Some(idempotency(2)), creation)
        .await
        .expect("made");
    let stopped = Workspace {
        desired: Desired::Stopped,
        ..made.clone()
    };
    assert!(
        store
            .update_workspace(&stopped, Some(unwritable()))
            .await
            .is_err()
    );
    assert_eq!(
        store.workspace(made.id).await.expect("read"),
        Some(made.clone())
    );
    let mut share = PortShare::blank(made.id, 3000);
    share.ask(ada.id, at(1));
    assert!(store.put_port_share(&share, unwritable()).await.is_err());
    assert_eq!(store.port_share(made.id, 3000).await.expect("read"), None);

    assert!(
        log(&store).await.contains(&taken),
        "the log itself is untouched"
    );
}

pub(crate) async fn a_refused_change_leaves_no_audit_event(world: &World) {
    let store = world.open().await;
    let ada = make_user(&store, "ada").await;
    let before = log(&store).await;
    let nobody = UserId::generate();
    let refused: [Result<(), StoreError>; 6] = [
        store
            .complete_setup([1; 32], new_user("x"), event(AuditAction::SiteSetup))
            .await
            .map(drop),
        store
            .create_user(new_user("ada"), event(AuditAction::UserCreate))
            .await
            .map(drop),
        store
            .create_session(
                Session {
                    user: nobody,
                    ..new_session(&ada, 1)
                },
                event(AuditAction::SessionCreate),
            )
            .await,
        store
            .create_token(
                Token {
                    user: nobody,
                    ..new_token(&ada)
                },
                event(AuditAction::TokenCreate),
            )
            .await,
        store
            .create_workspace(
                new_workspace(&ada),
                Quota { workspaces: 0 },
                None,
                event(AuditAction::WorkspaceCreate),
            )
            .await
            .map(drop),
        store
            .create_workspace(
                kalpana_store::records::NewWorkspace {
                    owner: nobody,
                    ..new_workspace(&ada)
                },
                PLENTY,
                None,
                event(AuditAction::WorkspaceCreate),
            )
            .await
            .map(drop),
    ];
    for (index, result) in refused.into_iter().enumerate() {
        assert!(result.is_err(), "number {index}");
    }
    let end = event(AuditAction::SessionEnd);
    assert!(
        !store
            .end_session(ada.id, SessionId::generate(), at(1), end)
            .await
            .expect("unknown")
    );
    let revoke = event(AuditAction::TokenRevoke);
    let is_revoked = store
        .revoke_token(ada.id, TokenId::generate(), at(1), revoke)
        .await;
    assert!(!is_revoked.expect("unknown"));
    assert_eq!(log(&store).await, before);
}

pub(crate) async fn the_audit_log_is_kept_in_order(world: &World) {
    let store = world.open().await;
    let (user, session, token) = (
        UserId::generate(),
        SessionId::generate(),
        TokenId::generate(),
    );
    let actors = [
        Actor::Session { user, session },
        Actor::Token { user, token },
        Actor::Anonymous,
        Actor::Console,
        Actor::System,
    ];
    let mut written = Vec::new();
    for (seconds, actor) in (0..).zip(actors) {
        // Times may repeat or go back; the order is that of writing.
        let event = AuditEvent {
            at: at(-seconds / 2),
            actor,
            ..event(AuditAction::SessionRefuse)
        };
        store.append_audit(event.clone()).await.expect("written");
        written.insert(0, event);
    }
    let bare = AuditEvent {
        organization: None,
        address: None,
        request_id: None,
        ..event(AuditAction::WorkspaceConnect)
    };
    store.append_audit(bare.clone()).await.expect("written");
    written.insert(0, bare);
    assert_eq!(log(&store).await, written);
    let first = store.audit_events(page(None, 4)).await.expect("listed");
    assert_eq!(first.items, written[..4]);
    let rest = store
        .audit_events(page(first.next, 4))
        .await
        .expect("listed");
    assert_eq!((rest.items.as_slice(), rest.next), (&written[4..], None));
}

pub(crate) async fn hostile_text_is_only_text(world: &World) {
    let store = world.open().await;
    let long = "x".repeat(1 << 20);
    let texts = [
        "'; DROP TABLE users; --",
        "\" OR \"\"=\"",
        "{\"$gt\":\"\"}",
        "nul\0in the middle\0",
        "\u{202e}\u{feff}🦀\r\n\t%_\\?1 :x @y $z",
        "",
        &long,
    ];
    for (index, text) in texts.into_iter().enumerate() {
        let text = text.to_owned();
        let mut new = new_user(&format!("user{index}"));
        (new.name, new.password_hash) = (text.clone(), text.clone());
        let user = store
            .create_user(new, event(AuditAction::UserCreate))
            .await
            .expect("made");
        assert_eq!(user.name, text);
        let found = store
            .user_by_email(&user.email)
            .await
            .expect("read")
            .expect("there");
        assert_eq!(
            (found.user.name, found.password_hash),
            (text.clone(), text.clone())
        );

        let secret = u8::try_from(index).expect("small");
        let mut session = new_session(&user, secret);
        (session.address, session.user_agent) = (Some(text.clone()), Some(text.clone()));
        let creation = event(AuditAction::SessionCreate);
        store
            .create_session(session.clone(), creation)
            .await
            .expect("kept");
        let found = store
            .session([secret; 32], at(1), at(0))
            .await
            .expect("read");
        assert_eq!(found.expect("there").0, session);

        let token = Token {
            name: text.clone(),
            ..new_token(&user)
        };
        store
            .create_token(token.clone(), event(AuditAction::TokenCreate))
            .await
            .expect("kept");
        assert_eq!(
            store.tokens_of(user.id, at(1)).await.expect("listed"),
            [token]
        );

        let key = || {
            Some(Idempotency {
                key: text.clone(),
                ..idempotency(1)
            })
        };
        let create = || {
            let event = event(AuditAction::WorkspaceCreate);
            store.create_workspace(new_workspace(&user), PLENTY, key(), event)
        };
        assert_eq!(
            create().await.expect("made"),
            create().await.expect("the same")
        );

        let event = AuditEvent {
            subject: text.clone(),
            address: Some(text.clone()),
            request_id: Some(text.clone()),
            ..event(AuditAction::SessionRefuse)
        };
        store.append_audit(event.clone()).await.expect("written");
        assert_eq!(
            store
                .audit_events(page(None, 1))
                .await
                .expect("listed")
                .items,
            [event]
        );
    }
    let wildcard = EmailAddress::parse("%@example.com").expect("legal");
    assert!(
        store
            .user_by_email(&wildcard)
            .await
            .expect("read")
            .is_none()
    );
    assert_eq!(
        store
            .users(PageRequest::first())
            .await
            .expect("listed")
            .items
            .len(),
        texts.len()
    );
}

pub(crate) async fn what_returned_is_there_after_reopening(world: &World) {
    let store = world.open().await;
    let organization = store.default_organization().await.expect("there");
    let ada = make_user(&store, "ada").await;
    let session = new_session(&ada, 1);
    store
        .create_session(session.clone(), event(AuditAction::SessionCreate))
        .await
        .expect("kept");
    let token = new_token(&ada);
    store
        .create_token(token.clone(), event(AuditAction::TokenCreate))
        .await
        .expect("kept");
    let creation = event(AuditAction::WorkspaceCreate);
    let made = store
        .create_workspace(new_workspace(&ada), PLENTY, Some(idempotency(1)), creation)
        .await
        .expect("made");
    let events = log(&store).await;
    drop(store);

    let store = world.open().await;
    store.ping().await.expect("answers");
    assert_eq!(
        store.default_organization().await.expect("there"),
        organization
    );
    assert_eq!(store.user(ada.id).await.expect("read"), Some(ada.clone()));
    let found = store.session([1; 32], at(1), at(0)).await.expect("read");
    assert_eq!(found, Some((session, ada.clone())));
    assert_eq!(
        store.tokens_of(ada.id, at(1)).await.expect("listed"),
        [token]
    );
    assert_eq!(
        store.all_workspaces().await.expect("listed"),
        std::slice::from_ref(&made)
    );
    let creation = event(AuditAction::WorkspaceCreate);
    let again = store
        .create_workspace(new_workspace(&ada), PLENTY, Some(idempotency(1)), creation)
        .await;
    assert_eq!(again.expect("the first one"), made);
    assert_eq!(log(&store).await, events);
}

pub(crate) async fn two_processes_share_one_store(world: &World) {
    let (one, other) = (world.open().await, world.open().await);
    let ada = make_user(&one, "ada").await;
    assert_eq!(other.user(ada.id).await.expect("read"), Some(ada.clone()));
    let writers: Vec<_> = (0..40)
        .map(|number| {
            let (writer, reader) = if number % 2 == 0 {
                (one.clone(), other.clone())
            } else {
                (other.clone(), one.clone())
            };
            let ada = ada.clone();
            tokio::spawn(async move {
                let made = make_workspace(&writer, &ada).await;
                // What a write returned, every later read sees, through whichever process.
                assert_eq!(reader.workspace(made.id).await.expect("read"), Some(made));
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("wrote and read");
    }
    assert_eq!(one.all_workspaces().await.expect("listed").len(), 40);
}

pub(crate) async fn a_cursor_from_nowhere_is_refused(world: &World) {
    let store = world.open().await;
    let ada = make_user(&store, "ada").await;
    for cursor in ["", "nonsense", "' OR 1=1 --", "\0"] {
        let page = page(Some(cursor.to_owned()), 10);
        let refused = [
            store.users(page.clone()).await.map(drop),
            store.workspaces_of(ada.id, page.clone()).await.map(drop),
            store
                .workspaces_in(ada.organization, page.clone())
                .await
                .map(drop),
            store.audit_events(page).await.map(drop),
        ];
        for result in refused {
            assert!(
                matches!(result, Err(StoreError::InvalidCursor)),
                "{cursor:?}: {result:?}"
            );
        }
    }
}
