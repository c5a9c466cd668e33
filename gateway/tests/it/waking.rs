//! Workspaces that sleep: who wakes them, how often, and who is told that they sleep.

use std::time::Duration;

use http::StatusCode;
use kalpana_protocol::orchestrator::AwakeKind;
use kalpana_protocol::routes::Target;

use crate::bridge::Bridge;
use crate::client::{Answer, code, get, request, text};
use crate::upgrade::{echo, open};
use crate::world::{MINE, World, patient};

/// A workspace that a visit wakes.
const PAUSED: Target = Target::Paused {
    stays_asleep: false,
};

/// Opens a page as somebody who types its address.
async fn visit(world: &World, session: &str, more: &[(&str, &str)]) -> Answer {
    let own = [
        ("cookie", session),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-user", "?1"),
        ("accept", "text/html"),
    ];
    let headers = [&own[..], more].concat();
    world
        .send(request("GET", &world.host(MINE), "/echo", &headers))
        .await
}

/// A workspace that the user has been at, and that sleeps.
async fn asleep() -> (World, Bridge, String) {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    world.route(MINE, world.user, 1, PAUSED).await;
    (world, bridge, session)
}

#[tokio::test]
async fn two_hundred_visits_at_once_wake_it_once_and_every_one_of_them_is_served() {
    let (world, _bridge, session) = asleep().await;
    let visits = futures_util::future::join_all((0..200).map(|_| visit(&world, &session, &[])));
    let waking = async {
        patient(world.until_wishes(1)).await;
        world.run_mine().await;
    };
    let (answers, ()) = tokio::join!(visits, waking);
    for answer in answers {
        assert_eq!(answer.status(), StatusCode::OK, "{}", text(&answer));
    }
    let wishes = world.wishes.lock().unwrap().clone();
    let [(path, intent)] = wishes.as_slice() else {
        panic!("woken more than once: {wishes:?}")
    };
    assert_eq!(path, &format!("/v1/workspaces/{MINE}/wake"));
    assert_eq!(intent.asker.user, world.user.to_string());
    assert_eq!(intent.asker.session, Some(world.session.to_string()));
    assert_eq!(intent.asker.address.as_deref(), Some("127.0.0.1"));
}

#[tokio::test]
async fn what_nobody_meant_is_told_that_it_sleeps_and_wakes_nobody() {
    let (world, _bridge, session) = asleep().await;
    let host = world.host(MINE);
    for unmeant in [
        ("sec-purpose", "prefetch"),
        ("sec-fetch-dest", "iframe"),
        ("sec-fetch-user", "?0"),
    ] {
        let own = [
            ("cookie", session.as_str()),
            ("sec-fetch-mode", "navigate"),
            ("accept", "text/html"),
        ];
        let mut headers = own.to_vec();
        let usual = [("sec-fetch-dest", "document"), ("sec-fetch-user", "?1")];
        headers.extend(usual.iter().filter(|(name, _)| *name != unmeant.0));
        headers.push(unmeant);
        let answer = world.send(request("GET", &host, "/", &headers)).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(text(&answer).contains("This workspace is asleep"));
    }
    for path in ["/favicon.ico", "/healthz", "/api/poll"] {
        let answer = world.send(get(&host, path, &session)).await;
        assert_eq!(code(&answer), "workspace_asleep", "{path}");
    }
    // Its owner wants it to stay asleep.
    let stays = Target::Paused { stays_asleep: true };
    world.route(MINE, world.user, 1, stays).await;
    let answer = visit(&world, &session, &[]).await;
    assert!(text(&answer).contains("This workspace is asleep"));
    // An editor that has lost its connection, which tries again for hours.
    let origin = world.origin(MINE);
    let headers = [("cookie", session.as_str()), ("origin", &origin)];
    let refused = open(&world, &host, "/ws", &headers).await;
    assert_eq!(refused.err(), Some(503));
    assert_eq!(world.wishes.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn one_who_waits_is_served_although_the_first_to_come_has_left() {
    let (world, _bridge, session) = asleep().await;
    let first = tokio::time::timeout(
        Duration::from_millis(200),
        visit(&world, &session, &[("x-first", "1")]),
    );
    assert!(first.await.is_err(), "it waits for the workspace");
    let second = visit(&world, &session, &[]);
    let waking = async {
        patient(world.until_wishes(1)).await;
        world.run_mine().await;
    };
    let (answer, ()) = tokio::join!(second, waking);
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(world.wishes.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn without_an_orchestrator_a_visitor_is_told_so_and_nothing_is_lost() {
    let (world, _bridge, session) = asleep().await;
    world.orchestrator.cancel();
    let answer = patient(async {
        loop {
            let answer = visit(&world, &session, &[]).await;
            // The socket may take a moment to close.
            if world.wishes.lock().unwrap().is_empty() {
                break answer;
            }
            world.wishes.lock().unwrap().clear();
        }
    })
    .await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(text(&answer).contains("could not be woken yet"));
}

#[tokio::test]
async fn an_open_websocket_is_nobody_until_something_is_typed() {
    let (world, _bridge, session) = asleep().await;
    world.run_mine().await;
    let origin = world.origin(MINE);
    let headers = [("cookie", session.as_str()), ("origin", &origin)];
    let mut socket = open(&world, &world.host(MINE), "/ws", &headers)
        .await
        .unwrap();
    // Two reports are about a socket that says little.
    for _ in 0..2 {
        echo(&mut socket, "still here").await;
        patient(world.until_presence(|_| true)).await;
    }
    let typed = |kind: AwakeKind| kind == AwakeKind::Typing;
    let told = world.presence.lock().unwrap().clone();
    assert!(
        told.iter().flat_map(|told| &told.present).next().is_none(),
        "{told:?}"
    );
    let key = "a key, as an editor tells of it: ".repeat(8);
    echo(&mut socket, &key).await;
    let told = patient(
        world.until_presence(|told| told.present.iter().any(|present| typed(present.kind))),
    )
    .await;
    assert_eq!(told.present[0].workspace, MINE);
    visit(&world, &session, &[]).await;
    patient(world.until_presence(|told| {
        told.present
            .iter()
            .any(|present| present.kind == AwakeKind::Visit)
    }))
    .await;
}
