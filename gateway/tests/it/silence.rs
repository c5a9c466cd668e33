//! Workspaces that accept a request and say nothing: somebody who waits in vain is told so, and
//! somebody who does not wait is left alone.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use kalpana_config::Span;
use tokio::sync::mpsc;

use crate::bridge::Bridge;
use crate::client::{code, get};
use crate::world::{MINE, Options, World, patient};

async fn impatient() -> (World, Bridge, String) {
    let world = World::with(Options {
        configure: |config| {
            config.gateway.response_header_timeout = Span(Duration::from_secs(1));
        },
        ..Options::default()
    })
    .await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    (world, bridge, session)
}

#[tokio::test]
async fn a_request_that_is_never_answered_is_told_so_and_not_sent_again() {
    let (world, bridge, session) = impatient().await;
    let host = world.host(MINE);
    for _ in 0..2 {
        let answer = world.send(get(&host, "/echo", &session)).await;
        assert_eq!(answer.status(), 200);
        // Over the connection that the answer came by, where sending again would be thought safe.
        let answer = world.send(get(&host, "/hang", &session)).await;
        assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(code(&answer), "workspace_silent");
    }
    let arrived = bridge.text();
    assert_eq!(arrived.matches("GET /hang ").count(), 2, "{arrived}");
    let connections = bridge.arrived.lock().unwrap().len();
    assert_eq!(connections, 2, "each silence ended one connection");
    let denied = world.metric("kalpana_gateway_denied_total", "workspace_silent");
    assert!((denied - 2.0).abs() < f64::EPSILON, "{denied}");
}

#[tokio::test]
async fn what_has_begun_to_answer_may_be_quiet_for_as_long_as_it_likes() {
    let (world, bridge, session) = impatient().await;
    let host = world.host(MINE);
    let mut sender = world.h1(&host).await;
    let events = sender.send_request(get(&host, "/events", &session));
    let mut events = patient(events).await.unwrap();
    assert_eq!(events.status(), 200);
    // Asked after the stream was, and given up: by then the stream has been quiet for longer.
    let answer = world.send(get(&host, "/hang", &session)).await;
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    bridge.events.add_permits(1);
    let event = patient(events.body_mut().frame()).await.unwrap().unwrap();
    assert_eq!(event.into_data().unwrap(), "data: 1\n\n");
}

#[tokio::test]
async fn who_still_sends_is_not_waiting_yet() {
    let (world, _bridge, session) = impatient().await;
    let host = world.host(MINE);
    let (parts, rest) = mpsc::unbounded_channel::<Bytes>();
    let body = stream::unfold(rest, async |mut rest| {
        let part = rest.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(Frame::data(part)), rest))
    });
    let length = 1 << 20;
    let request = Request::post(format!("https://{host}/echo"))
        .header("host", &host)
        .header("origin", world.origin(MINE))
        .header("cookie", &session)
        .header("content-length", length)
        .body(StreamBody::new(Box::pin(body)))
        .unwrap();
    let stream = world.tls(&host, b"http/1.1").await;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let answer = tokio::spawn(sender.send_request(request));
    // A second request, given up twice meanwhile, tells that the limit has passed.
    let mut left = length;
    for _ in 0..2 {
        let mut silent = std::pin::pin!(world.send(get(&host, "/hang", &session)));
        loop {
            let part = Bytes::from_static(&[b'x'; 1000]);
            left -= part.len();
            parts.send(part).unwrap();
            let pace = Duration::from_millis(100);
            if let Ok(given_up) = tokio::time::timeout(pace, &mut silent).await {
                assert_eq!(given_up.status(), StatusCode::GATEWAY_TIMEOUT);
                break;
            }
        }
    }
    parts.send(Bytes::from(vec![b'x'; left])).unwrap();
    drop(parts);
    let answer = patient(answer).await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
}
