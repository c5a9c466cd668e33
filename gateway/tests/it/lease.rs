//! `web` goes away: people go on for a while, then only what is public does, until it is back.

use std::time::Duration;

use futures_util::StreamExt;
use http_body_util::BodyExt;
use kalpana_config::Span;
use tokio_tungstenite::tungstenite::Message;

use crate::bridge::Bridge;
use crate::client::{code, get};
use crate::sharing::shared;
use crate::upgrade::{echo, open};
use crate::world::{MINE, Options, World, patient};

async fn leased(lease: fn(&mut kalpana_config::Config)) -> (World, Bridge, String) {
    let world = World::with(Options {
        configure: lease,
        ..Options::default()
    })
    .await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    world.share(shared("public")).await;
    let session = world.sign_in(MINE, 1).await;
    (world, bridge, session)
}

#[tokio::test]
async fn sessions_end_with_the_lease_while_nobody_can_revoke_them_and_public_ports_stay() {
    let (mut world, _bridge, session) = leased(|config| {
        config.gateway.revocation_lease = Span(Duration::from_secs(1));
    })
    .await;
    let (host, origin) = (world.host(MINE), world.origin(MINE));
    let public = world.host(&format!("3000-{MINE}"));
    let headers = [("cookie", session.as_str()), ("origin", &origin)];
    let mut socket = open(&world, &host, "/ws", &headers).await.unwrap();
    echo(&mut socket, "hello").await;
    let mut open_to_all = open(&world, &public, "/ws", &[]).await.unwrap();
    let mut sender = world.h1(&host).await;
    let events = sender.send_request(get(&host, "/events", &session));
    let mut events = patient(events).await.unwrap();

    world.web_feed.cancel();
    let heard = patient(socket.next()).await;
    let Some(Ok(Message::Close(Some(frame)))) = heard else {
        panic!("{heard:?}");
    };
    assert_eq!(u16::from(frame.code), 1013);
    let event = patient(events.body_mut().frame()).await;
    assert!(event.is_none_or(|event| event.is_err()), "the stream ends");
    let answer = world.send(get(&host, "/echo", &session)).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(code(&answer), "control_plane_unavailable");
    assert!(answer.headers().contains_key("retry-after"));
    assert!(open(&world, &host, "/ws", &headers).await.is_err());
    echo(&mut open_to_all, "still here").await;
    let answer = world.send(get(&public, "/echo", "")).await;
    assert_eq!(answer.status(), 200);

    world.web_is_back().await;
    let answer = world.send(get(&host, "/echo", &session)).await;
    assert_eq!(answer.status(), 200, "the session is as good as it was");
}

#[tokio::test]
async fn within_the_lease_nothing_changes() {
    let (mut world, _bridge, session) = leased(|_| ()).await;
    let (host, origin) = (world.host(MINE), world.origin(MINE));
    let headers = [("cookie", session.as_str()), ("origin", &origin)];
    let mut socket = open(&world, &host, "/ws", &headers).await.unwrap();
    world.web_feed.cancel();
    patient(world.until_metric("kalpana_gateway_feed_up", "sessions", 0.0)).await;
    echo(&mut socket, "hello").await;
    let answer = world.send(get(&host, "/echo", &session)).await;
    assert_eq!(answer.status(), 200);
    world.web_is_back().await;
    world.revoke(world.session).await;
    let answer = world.send(get(&host, "/echo", &session)).await;
    assert_eq!(answer.status(), 401);
}
