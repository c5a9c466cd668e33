//! WebSockets past Pingora: how they are ended, that they live while they are quiet, that a vanished
//! client is found out, and that HTTP/2 carries them too.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Method, Request};
use kalpana_config::Span;
use kalpana_protocol::routes::Target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use crate::bridge::Bridge;
use crate::client::Stream;
use crate::upgrade::{Socket, echo, open};
use crate::world::{MINE, Options, World, patient};

struct Opened {
    world: World,
    bridge: Bridge,
    session: String,
}

impl Opened {
    async fn with(configure: fn(&mut kalpana_config::Config)) -> Self {
        let world = World::with(Options {
            configure,
            ..Options::default()
        })
        .await;
        let bridge = Bridge::start(&world, MINE, 1);
        world.run_mine().await;
        let session = world.sign_in(MINE, 1).await;
        Self {
            world,
            bridge,
            session,
        }
    }

    async fn socket(&self) -> Socket {
        let (host, origin) = (self.world.host(MINE), self.world.origin(MINE));
        let headers = [("cookie", self.session.as_str()), ("origin", &origin)];
        open(&self.world, &host, "/ws", &headers).await.unwrap()
    }

    /// Asks for a WebSocket by hand; returns the answer's head and the stream after it.
    async fn by_hand(&self, path: &str) -> (String, Stream) {
        let (host, origin) = (self.world.host(MINE), self.world.origin(MINE));
        let mut stream = self.world.tls(&host, b"http/1.1").await;
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {}\r\nOrigin: {origin}\r\nUpgrade: websocket\r\nConnection: keep-alive, X-Nominated, Upgrade\r\nX-Nominated: 1\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
            self.session
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let head = crate::client::read_head(&mut stream).await;
        (head, stream)
    }

    fn ended(&self, end: &str) -> f64 {
        self.world
            .metric("kalpana_gateway_websockets_ended_total", end)
    }
}

/// The code of the close frame that ends a WebSocket.
async fn close_code(socket: &mut Socket) -> Option<u16> {
    loop {
        match patient(socket.next()).await {
            Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return None,
        }
    }
}

#[tokio::test]
async fn a_websocket_is_told_that_its_session_has_ended() {
    let opened = Opened::with(|_| ()).await;
    let mut socket = opened.socket().await;
    echo(&mut socket, "hello").await;
    opened.world.revoke(opened.world.session).await;
    assert_eq!(close_code(&mut socket).await, Some(4401));
}

#[tokio::test]
async fn a_websocket_is_told_that_its_workspace_is_asleep() {
    let opened = Opened::with(|_| ()).await;
    let mut socket = opened.socket().await;
    echo(&mut socket, "hello").await;
    let (user, world) = (opened.world.user, &opened.world);
    world.route(MINE, user, 1, Target::Stopped).await;
    assert_eq!(close_code(&mut socket).await, Some(4408));
}

#[tokio::test]
async fn in_the_middle_of_a_message_there_is_no_goodbye() {
    let opened = Opened::with(|_| ()).await;
    let (head, mut stream) = opened.by_hand("/half").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut half = [0; 5];
    patient(stream.read_exact(&mut half)).await.unwrap();
    opened.world.revoke(opened.world.session).await;
    let mut rest = Vec::new();
    let _ = patient(stream.read_to_end(&mut rest)).await;
    assert_eq!(
        rest, b"",
        "a close frame here would be read as part of the message"
    );
}

#[tokio::test]
async fn a_client_that_answers_pings_may_be_quiet_for_as_long_as_it_likes() {
    // Two hours with a ping every five minutes, in six seconds.
    let opened = Opened::with(|config| {
        config.gateway.websocket_ping = Span(Duration::from_millis(250));
    })
    .await;
    let mut socket = opened.socket().await;
    echo(&mut socket, "before").await;
    let mut pings = 0;
    while pings < 24 {
        match patient(socket.next()).await.unwrap().unwrap() {
            Message::Ping(_) => pings += 1,
            other => panic!("{other:?}"),
        }
        // The answer is written by the library with the next read or flush.
        socket.flush().await.unwrap();
    }
    echo(&mut socket, "after").await;
    let arrived = opened.bridge.arrived.lock().unwrap().pop().unwrap();
    let arrived = arrived.bytes.lock().unwrap().clone();
    let head = arrived
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    let frames = text_frame("before").len() + text_frame("after").len();
    assert_eq!(
        arrived.len() - head,
        frames,
        "answers to our pings stay here"
    );
}

#[tokio::test]
async fn a_client_that_answers_nothing_is_gone() {
    let opened = Opened::with(|config| config.gateway.websocket_ping = Span::seconds(1)).await;
    let (head, mut stream) = opened.by_hand("/ws").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut heard = Vec::new();
    let _ = patient(stream.read_to_end(&mut heard)).await;
    assert_eq!(heard, b"\x89\x08kalpana.", "asked once");
    assert_eq!(opened.ended("silent"), 1.0);
}

#[tokio::test]
async fn large_messages_pass_both_ways_while_the_reader_is_slow() {
    let opened = Opened::with(|_| ()).await;
    let mut socket = opened.socket().await;
    let large: String = ('a'..='z').cycle().take(3_000_000).collect();
    for _ in 0..3 {
        socket.send(Message::text(large.clone())).await.unwrap();
    }
    for _ in 0..3 {
        let heard = patient(socket.next()).await.unwrap().unwrap();
        assert!(heard.to_text().unwrap() == large);
    }
}

#[tokio::test]
async fn who_closes_is_answered_by_the_other_side() {
    let opened = Opened::with(|_| ()).await;
    let mut socket = opened.socket().await;
    echo(&mut socket, "hello").await;
    patient(socket.close(None)).await.unwrap();
    while let Some(heard) = patient(socket.next()).await {
        assert!(heard.unwrap().is_close());
    }
    let before = opened.ended("client") + opened.ended("workspace");
    assert!(before <= 1.0);
}

#[tokio::test]
async fn an_upgrade_that_the_workspace_declines_is_an_ordinary_answer() {
    let opened = Opened::with(|_| ()).await;
    let (head, mut stream) = opened.by_hand("/declined").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let head = head.to_lowercase();
    assert!(head.contains("connection: close\r\n"), "{head}");
    let mut body = String::new();
    patient(stream.read_to_string(&mut body)).await.unwrap();
    let body = body.to_lowercase();
    assert!(body.starts_with("get /declined http/1.1\r\n"), "{body}");
    assert!(body.contains("upgrade: websocket\r\n"), "{body}");
    assert!(!body.contains("x-nominated"), "{body}");
    assert!(!body.contains("__host-kws"), "{body}");
}

#[tokio::test]
async fn a_workspace_that_is_not_there_is_explained() {
    let opened = Opened::with(|_| ()).await;
    let socket = opened.world.site.bridge_socket(MINE);
    std::fs::remove_file(socket).unwrap();
    let (head, _) = opened.by_hand("/ws").await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
}

/// A masked text frame, as clients send it.
fn text_frame(text: &str) -> Bytes {
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame.into()
}

#[tokio::test]
async fn http2_carries_a_websocket_as_a_stream_of_its_own() {
    let opened = Opened::with(|_| ()).await;
    let (host, origin) = (opened.world.host(MINE), opened.world.origin(MINE));
    let stream = opened.world.tls(&host, b"h2").await;
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut sender = patient(sender.ready()).await.unwrap();
    // The settings have come with the first round trip.
    let request = Request::get(format!("{origin}/echo")).header("cookie", &opened.session);
    let (answer, _) = sender
        .send_request(request.body(()).unwrap(), true)
        .unwrap();
    assert_eq!(patient(answer).await.unwrap().status(), 200);
    assert!(sender.is_extended_connect_protocol_enabled());

    let connect_to = |site: &str, session: &str| {
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri(format!("{site}/ws"))
            .header("origin", &origin)
            .header("sec-websocket-version", "13")
            .header("cookie", session)
            .extension(h2::ext::Protocol::from_static("websocket"));
        request.body(()).unwrap()
    };
    let connect = |session: &str| connect_to(&origin, session);
    let (answer, mut body) = sender
        .send_request(connect(&opened.session), false)
        .unwrap();
    let answer = patient(answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("sec-websocket-accept"));
    let mut heard = answer.into_body();
    body.send_data(text_frame("over h2"), false).unwrap();
    let echoed = patient(heard.data()).await.unwrap().unwrap();
    assert_eq!(&echoed[..], b"\x81\x07over h2");
    heard.flow_control().release_capacity(echoed.len()).unwrap();
    assert!(
        opened
            .bridge
            .text()
            .to_lowercase()
            .contains("sec-websocket-key: ")
    );

    // Refused like any other request without a session.
    let (answer, _) = sender.send_request(connect("a=b"), false).unwrap();
    assert_eq!(patient(answer).await.unwrap().status(), 401);

    let control = connect_to(&opened.world.site.base_url(), &opened.session);
    let (answer, _) = sender.send_request(control, false).unwrap();
    assert_eq!(patient(answer).await.unwrap().status(), 404);

    // And told when it is cut.
    opened.world.revoke(opened.world.session).await;
    let goodbye = patient(heard.data()).await.unwrap().unwrap();
    assert_eq!(
        &goodbye[..4],
        [&[0x88, 15][..], &4401_u16.to_be_bytes()].concat()
    );
    drop(tokio::time::timeout(Duration::from_secs(1), heard.data()).await);
}
