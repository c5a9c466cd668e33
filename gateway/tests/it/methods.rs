//! Methods and versions that have no use behind a gateway, or that ask for a tunnel: refused before
//! anything is reached, and nobody's connection is out of step afterwards.

use http::{Method, Request};
use hyper::ext::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::bridge::Bridge;
use crate::client::{get, whole};
use crate::world::{MINE, World, patient};

async fn signed_in() -> (World, Bridge, String) {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    (world, bridge, session)
}

/// Checks that nothing but what is asked for here has arrived.
async fn is_in_step(world: &World, bridge: &Bridge, session: &str) {
    let sentinel = get(&world.host(MINE), "/sentinel", session);
    assert_eq!(world.send(sentinel).await.status(), 200);
    let arrived = bridge.text();
    let requests = arrived.matches(" HTTP/1.").count();
    assert_eq!(
        requests,
        arrived.matches("GET /sentinel ").count(),
        "{arrived}"
    );
}

/// Sends a head and a whole request after it; returns everything that is answered until the other
/// side hangs up.
async fn everything(world: &World, head: &str) -> String {
    let host = world.host(MINE);
    let mut stream = world.tls(&host, b"http/1.1").await;
    let bytes = format!("{head}GET /smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = patient(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_body_of_http_1_0_needs_a_length() {
    let (world, bridge, session) = signed_in().await;
    let (host, origin) = (world.host(MINE), world.origin(MINE));
    let fields = format!("Host: {host}\r\nOrigin: {origin}\r\nCookie: {session}\r\n");
    for method in ["POST", "PUT", "PATCH"] {
        for connection in ["", "Connection: keep-alive\r\n"] {
            let head = format!("{method} /echo HTTP/1.0\r\n{fields}{connection}\r\n");
            let answer = everything(&world, &head).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        }
    }
    is_in_step(&world, &bridge, &session).await;
    // With one, and without a body, it is served.
    let host = world.host(MINE);
    for head in [
        "POST /echo HTTP/1.0\r\nContent-Length: 0\r\n",
        "GET /echo HTTP/1.0\r\n",
    ] {
        let answer = world
            .raw(&host, format!("{head}{fields}\r\n").as_bytes())
            .await;
        assert!(answer.contains(" 200 "), "{answer}");
    }
}

#[tokio::test]
async fn no_method_opens_a_way_past_the_gateway() {
    let (world, bridge, session) = signed_in().await;
    let (host, origin) = (world.host(MINE), world.origin(MINE));
    let fields = format!("Host: {host}\r\nOrigin: {origin}\r\nCookie: {session}\r\n");
    for line in [
        "CONNECT abcdefghij01.kalpana.localhost:8443 HTTP/1.1",
        "CONNECT abcdefghij01.kalpana.localhost:443 HTTP/1.1",
        "CONNECT 127.0.0.1:22 HTTP/1.1",
        "CONNECT / HTTP/1.1",
        "TRACE / HTTP/1.1",
        "PRI * HTTP/2.0",
        "PRI * HTTP/1.1",
    ] {
        let preface = if line == "PRI * HTTP/2.0" {
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()
        } else {
            format!("{line}\r\n{fields}Connection: close\r\n\r\n")
        };
        let answer = everything(&world, &preface).await;
        let refused = ["400", "405", "501", "505"];
        let status = answer.get(9..12).unwrap_or("none");
        assert!(refused.contains(&status), "{line}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{line}: {answer}");
        is_in_step(&world, &bridge, &session).await;
    }
}

#[tokio::test]
async fn no_method_of_http2_opens_one_either() {
    let (world, bridge, session) = signed_in().await;
    let host = world.host(MINE);
    let mut h2 = world.h2(&host).await;
    let whole_url = format!("https://{host}/");
    let mut protocol = Request::connect(&whole_url);
    protocol
        .extensions_mut()
        .unwrap()
        .insert(Protocol::from_static("connect-udp"));
    for asked in [
        Request::connect(&host),
        Request::connect("127.0.0.1:22"),
        Request::builder().method(Method::TRACE).uri(&whole_url),
        protocol,
    ] {
        let asked = asked
            .header("cookie", &session)
            .body(http_body_util::Full::default());
        let asked = asked.unwrap();
        let shown = format!("{} {}", asked.method(), asked.uri());
        patient(h2.ready()).await.unwrap();
        let answer = whole(patient(h2.send_request(asked)).await.unwrap()).await;
        assert_eq!(answer.status(), 405, "{shown}");
        is_in_step(&world, &bridge, &session).await;
    }
}
