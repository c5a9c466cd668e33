//! Sessions and tokens.

use kalpana_domain::audit::AuditAction;
use kalpana_domain::id::{SessionId, TokenId};
use kalpana_domain::user::User;
use kalpana_store::StoreError;
use kalpana_store::records::{EndedSession, Session, Token};

use crate::world::{World, at, event, log, make_user, new_session, new_token};

pub(crate) async fn a_session_lives_until_it_ends(world: &World) {
    let store = world.open().await;
    let ada = make_user(&store, "ada").await;
    let session = new_session(&ada, 1);
    store
        .create_session(session.clone(), event(AuditAction::SessionCreate))
        .await
        .expect("kept");
    let found = store.session([1; 32], at(1), at(0)).await.expect("read");
    assert_eq!(found, Some((session.clone(), ada.clone())));
    assert_eq!(
        store.session([2; 32], at(1), at(0)).await.expect("read"),
        None
    );

    let twin = Session {
        id: SessionId::generate(),
        ..session.clone()
    };
    let twin = store
        .create_session(twin, event(AuditAction::SessionCreate))
        .await;
    assert!(matches!(twin, Err(StoreError::Conflict { .. })), "{twin:?}");

    let end = || {
        store.end_session(
            session.user,
            session.id,
            at(5),
            event(AuditAction::SessionEnd),
        )
    };
    assert!(end().await.expect("ended"));
    assert!(!end().await.expect("over already"));
    assert_eq!(
        store.session([1; 32], at(1), at(0)).await.expect("read"),
        None
    );
    let actions: Vec<_> = log(&store)
        .await
        .into_iter()
        .map(|event| event.action)
        .collect();
    let expected = [
        AuditAction::SessionEnd,
        AuditAction::SessionCreate,
        AuditAction::UserCreate,
    ];
    assert_eq!(actions, expected);
}

pub(crate) async fn a_person_sees_and_ends_their_own_sessions(world: &World) {
    let store = world.open().await;
    let (ada, bob) = (
        make_user(&store, "ada").await,
        make_user(&store, "bob").await,
    );
    let mut sessions = Vec::new();
    for (number, (owner, used)) in (1..).zip([(&ada, 1), (&ada, 30), (&ada, 20), (&bob, 40)]) {
        let session = Session {
            last_used_at: at(used),
            ..new_session(owner, number)
        };
        let event = event(AuditAction::SessionCreate);
        store
            .create_session(session.clone(), event)
            .await
            .expect("kept");
        sessions.push(session);
    }
    let ids = async |owner: &User, now, idle_since| {
        let listed = store.sessions_of(owner.id, at(now), at(idle_since)).await;
        let listed = listed.expect("listed").into_iter();
        listed.map(|session| session.id).collect::<Vec<_>>()
    };
    let id = |index: usize| sessions[index].id;
    assert_eq!(
        store
            .sessions_of(ada.id, at(50), at(1))
            .await
            .expect("read"),
        [
            sessions[1].clone(),
            sessions[2].clone(),
            sessions[0].clone()
        ]
    );
    assert_eq!(ids(&ada, 50, 20).await, [id(1), id(2)], "not the idle one");
    assert_eq!(ids(&ada, 1000, 0).await, [], "past their end");

    let before = log(&store).await.len();
    let end = |user, id, now| store.end_session(user, id, at(now), event(AuditAction::SessionEnd));
    assert!(!end(bob.id, id(1), 50).await.expect("not his"));
    assert!(!end(ada.id, id(3), 50).await.expect("not hers"));
    assert_eq!(log(&store).await.len(), before);
    assert!(end(ada.id, id(1), 50).await.expect("ended"));
    assert_eq!(ids(&ada, 50, 0).await, [id(2), id(0)]);

    let others = |kept| {
        let event = event(AuditAction::SessionEndOthers);
        store.end_other_sessions(ada.id, kept, at(50), event)
    };
    assert_eq!(others(Some(id(2))).await.expect("ended"), [id(0)]);
    assert_eq!(others(Some(id(2))).await.expect("over already"), []);
    assert_eq!(log(&store).await.len(), before + 2, "nothing is no event");
    let taken = log(&store).await[0].clone();
    let unwritable = store.end_other_sessions(ada.id, None, at(50), taken).await;
    assert!(unwritable.is_err(), "{unwritable:?}");
    assert_eq!(ids(&ada, 50, 0).await, [id(2)]);
    assert_eq!(others(None).await.expect("ended"), [id(2)]);
    assert_eq!(ids(&ada, 50, 0).await, []);
    assert_eq!(ids(&bob, 50, 0).await, [id(3)]);
    assert_eq!(store.ended_sessions(at(50)).await.expect("read").len(), 3);
}

pub(crate) async fn a_session_ends_by_itself(world: &World) {
    let store = world.open().await;
    let ada = make_user(&store, "ada").await;
    let session = new_session(&ada, 1);
    store
        .create_session(session.clone(), event(AuditAction::SessionCreate))
        .await
        .expect("kept");
    let is_alive = async |now, idle_since| {
        store
            .session([1; 32], at(now), at(idle_since))
            .await
            .expect("read")
            .is_some()
    };
    assert!(is_alive(999, 0).await);
    assert!(!is_alive(1000, 0).await, "past its end");
    assert!(!is_alive(500, 1).await, "idle for too long");
    store
        .touch_session(session.id, at(100))
        .await
        .expect("noted");
    assert!(is_alive(500, 100).await);
    // A use that is written late does not make the session older.
    store
        .touch_session(session.id, at(50))
        .await
        .expect("noted");
    assert!(is_alive(500, 100).await);
    store
        .touch_session(SessionId::generate(), at(50))
        .await
        .expect("nothing to note");
    let ended = store
        .end_session(
            session.user,
            session.id,
            at(1000),
            event(AuditAction::SessionEnd),
        )
        .await;
    assert!(!ended.expect("over already"));
}

pub(crate) async fn ended_sessions_are_remembered_and_purged(world: &World) {
    let store = world.open().await;
    let ada = make_user(&store, "ada").await;
    let sessions: Vec<Session> = (1..=4).map(|secret| new_session(&ada, secret)).collect();
    for session in &sessions {
        let event = event(AuditAction::SessionCreate);
        store
            .create_session(session.clone(), event)
            .await
            .expect("kept");
    }
    for (session, seconds) in sessions.iter().zip([10, 20, 30]) {
        let event = event(AuditAction::SessionEnd);
        assert!(
            store
                .end_session(session.user, session.id, at(seconds), event)
                .await
                .expect("ended")
        );
    }
    let ended = |index: usize, seconds| EndedSession {
        id: sessions[index].id,
        ended_at: at(seconds),
    };
    let since = store.ended_sessions(at(20)).await.expect("listed");
    assert_eq!(since, [ended(1, 20), ended(2, 30)]);
    assert_eq!(store.purge_sessions(at(20)).await.expect("purged"), 1);
    assert_eq!(store.ended_sessions(at(0)).await.expect("listed"), since);
    assert!(
        store
            .session([4; 32], at(30), at(0))
            .await
            .expect("read")
            .is_some()
    );
    assert_eq!(store.purge_sessions(at(1001)).await.expect("purged"), 3);
    assert_eq!(store.ended_sessions(at(0)).await.expect("listed"), []);
}

pub(crate) async fn a_token_lives_until_it_is_revoked(world: &World) {
    let store = world.open().await;
    let (ada, bob) = (
        make_user(&store, "ada").await,
        make_user(&store, "bob").await,
    );
    let token = new_token(&ada);
    store
        .create_token(token.clone(), event(AuditAction::TokenCreate))
        .await
        .expect("kept");
    let found = async |now| store.token(token.id, at(now)).await.expect("read");
    assert_eq!(found(999).await, Some((token.clone(), ada.clone())));
    assert_eq!(found(1000).await, None, "past its end");
    assert_eq!(
        store.token(TokenId::generate(), at(1)).await.expect("read"),
        None
    );

    store.touch_token(token.id, at(60)).await.expect("noted");
    store.touch_token(token.id, at(30)).await.expect("noted");
    let used = Token {
        last_used_at: Some(at(60)),
        ..token.clone()
    };
    assert_eq!(found(100).await, Some((used, ada.clone())));

    let revoke =
        |user, now| store.revoke_token(user, token.id, at(now), event(AuditAction::TokenRevoke));
    let before = log(&store).await.len();
    assert!(!revoke(bob.id, 5).await.expect("not his"));
    assert!(!revoke(ada.id, 1000).await.expect("past its end"));
    assert_eq!(log(&store).await.len(), before);
    assert!(revoke(ada.id, 5).await.expect("revoked"));
    assert!(!revoke(ada.id, 5).await.expect("revoked already"));
    assert_eq!(log(&store).await.len(), before + 1);
    assert_eq!(found(1).await, None);
}

pub(crate) async fn tokens_are_listed_newest_first(world: &World) {
    let store = world.open().await;
    let (ada, bob) = (
        make_user(&store, "ada").await,
        make_user(&store, "bob").await,
    );
    let mut tokens = Vec::new();
    for (owner, seconds) in [(&ada, 1), (&ada, 3), (&ada, 2), (&bob, 4)] {
        let token = Token {
            created_at: at(seconds),
            scopes: vec![],
            ..new_token(owner)
        };
        store
            .create_token(token.clone(), event(AuditAction::TokenCreate))
            .await
            .expect("kept");
        tokens.push(token);
    }
    let listed = store.tokens_of(ada.id, at(10)).await.expect("listed");
    assert_eq!(
        listed,
        [tokens[1].clone(), tokens[2].clone(), tokens[0].clone()]
    );
    let event = event(AuditAction::TokenRevoke);
    assert!(
        store
            .revoke_token(ada.id, tokens[1].id, at(10), event)
            .await
            .expect("revoked")
    );
    let listed = store.tokens_of(ada.id, at(10)).await.expect("listed");
    assert_eq!(listed, [tokens[2].clone(), tokens[0].clone()]);
    assert_eq!(store.tokens_of(ada.id, at(1000)).await.expect("listed"), []);
}
