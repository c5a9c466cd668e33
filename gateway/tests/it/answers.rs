//! What an application may not say to a browser about more than its own host, in whatever kind of
//! answer it says it.

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::AsyncWriteExt;

use crate::bridge::Bridge;
use crate::client::{Stream, read_head, whole};
use crate::upgrade::{connect, extended};
use crate::world::{MINE, World, patient};

/// What is left of the cookies: those of the application, for its own host.
const COOKIES: [&str; 3] = ["app=1; Path=/", "wide=1; Secure", "twice=1; Path=/"];

fn assert_confined(headers: &HeaderMap, way: &str) {
    let cookies: Vec<_> = headers.get_all(SET_COOKIE).iter().collect();
    assert_eq!(cookies, COOKIES, "{way}");
    for name in ["alt-svc", "clear-site-data", "strict-transport-security"] {
        assert!(!headers.contains_key(name), "{name}: {way}");
    }
    // As wide as its host, which is all that a service worker can reach anyhow.
    assert_eq!(headers["service-worker-allowed"], "/", "{way}");
}

/// Reads one head of an answer; returns its status and what it says.
async fn head(stream: &mut Stream) -> (u16, HeaderMap) {
    let text = read_head(stream).await;
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    let headers = lines
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect::<Vec<(HeaderName, HeaderValue)>>();
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name, value);
    }
    (text[9..12].parse().unwrap(), map)
}

async fn ask(stream: &mut Stream, path: &str, fields: &str) {
    let head = format!("GET {path} HTTP/1.1\r\n{fields}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn an_answer_is_confined_to_its_host() {
    let world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    for label in [MINE.to_owned(), format!("3000-{MINE}")] {
        let session = world.sign_in(&label, 1).await;
        let (host, origin) = (world.host(&label), world.origin(&label));
        let usual = format!("Host: {host}\r\nCookie: {session}\r\nOrigin: {origin}\r\n");
        let mut stream = world.tls(&host, b"http/1.1").await;
        ask(&mut stream, "/answers", &usual).await;
        let (status, headers) = head(&mut stream).await;
        assert_eq!(status, 200);
        assert_confined(&headers, "HTTP/1.1");
        let policy = &headers["content-security-policy"];
        assert_eq!(
            policy,
            "frame-ancestors 'self' https://kalpana.localhost:8443"
        );

        let mut h2 = world.h2(&host).await;
        let mut request = crate::client::get(&host, "/", &session);
        request.headers_mut().remove("host");
        *request.uri_mut() = format!("{origin}/answers").parse().unwrap();
        let answer = whole(patient(h2.send_request(request)).await.unwrap()).await;
        assert_confined(answer.headers(), "HTTP/2");

        // Before the answer itself, which says nothing.
        ask(&mut stream, "/hints", &usual).await;
        let (status, headers) = head(&mut stream).await;
        assert_eq!(status, 103);
        assert_confined(&headers, "early hints");
        let (status, headers) = head(&mut stream).await;
        assert_eq!(status, 200);
        assert!(!headers.contains_key(SET_COOKIE));

        let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
        let upgrade = format!("{usual}{upgrade}");
        // Not the first of a connection, and so Pingora's.
        ask(&mut stream, "/switches", &upgrade).await;
        let (status, headers) = head(&mut stream).await;
        assert_eq!(status, 101);
        assert_confined(&headers, "a late upgrade");
        let mut stream = world.tls(&host, b"http/1.1").await;
        ask(&mut stream, "/switches", &upgrade).await;
        let (status, headers) = head(&mut stream).await;
        assert_eq!(status, 101);
        assert_confined(&headers, "an upgrade");
    }
}

#[tokio::test]
async fn a_websocket_of_http2_is_confined_to_its_host_too() {
    let world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let (host, origin) = (world.host(MINE), world.origin(MINE));
    let mut sender = extended(&world, &host).await;
    let (answer, _body) = sender
        .send_request(connect(&host, "/switches", &session, &origin), false)
        .unwrap();
    let answer = patient(answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_confined(answer.headers(), "an extended CONNECT");
}
