//! WebSockets: who may open one, that it may be quiet, and that it ends with its session.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Method, Request};
use http_body_util::BodyExt;
use kalpana_config::Span;
use kalpana_domain::id::SessionId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::bridge::Bridge;
use crate::client::{Stream, get, read_head, whole};
use crate::world::{FOREIGN, MINE, Options, World, patient};

pub(crate) type Socket = WebSocketStream<Stream>;

/// Opens a WebSocket; the error is the status it was refused with.
pub(crate) async fn open(
    world: &World,
    host: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Socket, u16> {
    let stream = world.tls(host, b"http/1.1").await;
    let mut request = format!("wss://{host}{path}").into_client_request().unwrap();
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    match patient(tokio_tungstenite::client_async(request, stream)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

/// Opens a connection over which WebSockets can be asked for.
pub(crate) async fn extended(world: &World, host: &str) -> h2::client::SendRequest<Bytes> {
    let stream = world.tls(host, b"h2").await;
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut sender = patient(sender.ready()).await.unwrap();
    // The settings have come with the first round trip.
    let request = Request::get(format!("https://{host}/")).body(()).unwrap();
    let (answer, _) = sender.send_request(request, true).unwrap();
    patient(answer).await.unwrap();
    assert!(sender.is_extended_connect_protocol_enabled());
    sender
}

/// Asks for a WebSocket over HTTP/2, as a page of `origin` does, if there is one.
pub(crate) fn connect(host: &str, path: &str, session: &str, origin: &str) -> Request<()> {
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri(format!("https://{host}{path}"))
        .header("sec-websocket-version", "13")
        .header("cookie", session)
        .extension(h2::ext::Protocol::from_static("websocket"));
    let request = match origin {
        "" => request,
        origin => request.header("origin", origin),
    };
    request.body(()).unwrap()
}

pub(crate) async fn echo(socket: &mut Socket, words: &str) {
    socket.send(Message::text(words)).await.unwrap();
    let heard = patient(socket.next()).await.unwrap().unwrap();
    assert_eq!(heard.to_text().unwrap(), words);
}

/// Asks for a WebSocket over a connection that has served a request before; returns the head of the
/// answer.
pub(crate) async fn late_upgrade(world: &World, host: &str, headers: &[(&str, &str)]) -> String {
    let mut stream = world.tls(host, b"http/1.1").await;
    let first = format!("GET /.kalpana/none HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(first.as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    let length = head
        .to_lowercase()
        .split_once("content-length: ")
        .map(|(_, rest)| rest.lines().next().unwrap().parse::<usize>().unwrap());
    let mut body = vec![0; length.unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    let fields: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let head = format!(
        "GET /ws HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    read_head(&mut stream).await
}

#[tokio::test]
async fn only_the_hosts_own_page_opens_a_websocket() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let host = world.host(MINE);
    let (own, sibling) = (world.origin(MINE), world.origin(FOREIGN));
    let port = world.origin(&format!("3000-{MINE}"));
    let control = world.site.base_url();
    let evil = [
        "https://evil.example",
        "null",
        "",
        "http://abcdefghij01.kalpana.localhost:8443",
        "https://abcdefghij01.kalpana.localhost",
        "https://abcdefghij01.kalpana.localhost:8443.evil.example",
    ];
    let mut h2 = extended(&world, &host).await;
    for origin in [sibling.as_str(), &port, &control].into_iter().chain(evil) {
        let mut headers = vec![("cookie", session.as_str())];
        // Without one it is no browser's.
        if !origin.is_empty() {
            headers.push(("origin", origin));
        }
        let refused = open(&world, &host, "/ws", &headers).await;
        assert_eq!(refused.unwrap_err(), 403, "from {origin:?}");
        let asked = connect(&host, "/ws", &session, origin);
        let (refused, _) = h2.send_request(asked, false).unwrap();
        let refused = patient(refused).await.unwrap();
        assert_eq!(refused.status(), 403, "from {origin:?} over HTTP/2");
        let late = late_upgrade(&world, &host, &headers).await;
        assert!(late.starts_with("HTTP/1.1 403"), "from {origin:?}: {late}");
    }
    let headers = [("origin", own.as_str())];
    assert_eq!(
        open(&world, &host, "/ws", &headers).await.unwrap_err(),
        401,
        "no session"
    );
    assert_eq!(bridge.text(), "");
    let headers = [("cookie", session.as_str()), ("origin", own.as_str())];
    let late = late_upgrade(&world, &host, &headers).await;
    assert!(late.starts_with("HTTP/1.1 101"), "{late}");
    let mut socket = open(&world, &host, "/ws", &headers).await.unwrap();
    echo(&mut socket, "hello").await;
    assert_eq!(world.metric("kalpana_gateway_websockets", ""), 1.0);
}

#[tokio::test]
async fn an_app_on_a_port_has_websockets_too() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let label = format!("3000-{MINE}");
    let session = world.sign_in(&label, 1).await;
    let origin = world.origin(&label);
    let headers = [("cookie", session.as_str()), ("origin", origin.as_str())];
    let mut socket = open(&world, &world.host(&label), "/ws", &headers)
        .await
        .unwrap();
    echo(&mut socket, "hello").await;
    assert_eq!(bridge.targets(), ["port:3000"]);
}

#[tokio::test]
async fn a_quiet_websocket_stays_open_where_a_quiet_request_does_not() {
    let world = World::with(Options {
        configure: |config| config.gateway.keepalive_timeout = Span::seconds(1),
        ..Options::default()
    })
    .await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let (host, origin) = (world.host(MINE), world.origin(MINE));
    let headers = [("cookie", session.as_str()), ("origin", origin.as_str())];
    let mut socket = open(&world, &host, "/ws", &headers).await.unwrap();
    echo(&mut socket, "before").await;
    // The same limit that would close the WebSocket closes a request whose body does not come:
    // when that has happened twice over, the WebSocket was quiet for longer than the limit.
    for _ in 0..2 {
        let mut stream = world.tls(&host, b"http/1.1").await;
        let head = format!(
            "POST /hang HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\nContent-Length: 10\r\n\r\nhalf"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = patient(stream.read_to_end(&mut answer)).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }
    echo(&mut socket, "after").await;
}

#[tokio::test]
async fn the_end_of_a_session_closes_what_it_has_open_and_nothing_else() {
    let mut world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let (host, origin) = (world.host(MINE), world.origin(MINE));
    let headers = [("cookie", session.as_str()), ("origin", origin.as_str())];
    let mut socket = open(&world, &host, "/ws", &headers).await.unwrap();
    echo(&mut socket, "hello").await;

    // A quiet event stream, over a connection that the browser uses for other hosts as well.
    let mut h2 = world.h2(&host).await;
    let mut request = get("x", "/", &session);
    request.headers_mut().remove("host");
    *request.uri_mut() = format!("{origin}/sse").parse().unwrap();
    let mut events = patient(h2.send_request(request)).await.unwrap().into_body();
    patient(events.frame()).await.unwrap().unwrap();

    // Another session's WebSocket.
    let first = std::mem::replace(&mut world.session, SessionId::generate());
    let session = world.sign_in(MINE, 1).await;
    let headers = [("cookie", session.as_str()), ("origin", origin.as_str())];
    let mut bystander = open(&world, &host, "/ws", &headers).await.unwrap();
    echo(&mut bystander, "hello").await;

    world.revoke(first).await;
    let heard = patient(socket.next()).await;
    assert!(!matches!(heard, Some(Ok(Message::Text(_)))), "{heard:?}");
    assert!(
        patient(events.frame())
            .await
            .is_none_or(|frame| frame.is_err())
    );
    echo(&mut bystander, "still here").await;
    let mut control = get("x", "/", "");
    control.headers_mut().remove("host");
    *control.uri_mut() = format!("{}/api/session", world.site.base_url())
        .parse()
        .unwrap();
    let answer = whole(patient(h2.send_request(control)).await.unwrap()).await;
    assert_eq!(answer.status(), 200, "the shared connection lives on");
}
