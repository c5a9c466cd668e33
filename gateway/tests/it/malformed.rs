//! Requests that no browser sends, as bytes on the wire.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bridge::Bridge;
use crate::client::{get, read_head, text, whole};
use crate::world::{MINE, World, patient};

fn status(head: &str) -> u16 {
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    status
        .unwrap_or_else(|| panic!("no status in {head:?}"))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn a_request_must_name_one_host_of_ours() {
    let world = World::start().await;
    let name = "kalpana.localhost";
    let mine = world.host(MINE);
    for (expected, head) in [
        (
            200,
            "GET / HTTP/1.1\r\nHost: kalpana.localhost:8443\r\n".to_owned(),
        ),
        (
            200,
            "GET / HTTP/1.1\r\nHost: KALPANA.localhost.:8443\r\n".to_owned(),
        ),
        (400, "GET / HTTP/1.1\r\n".to_owned()),
        (400, "GET / HTTP/1.0\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nHost:\r\n".to_owned()),
        (
            400,
            "GET / HTTP/1.1\r\nHost: kalpana.localhost\r\nHost: kalpana.localhost\r\n".to_owned(),
        ),
        (
            400,
            "GET / HTTP/1.1\r\nHost: kalpana.localhost\r\nHost: evil.example\r\n".to_owned(),
        ),
        (
            400,
            "GET / HTTP/1.1\r\nHost: user@kalpana.localhost\r\n".to_owned(),
        ),
        (
            400,
            "GET / HTTP/1.1\r\nHost: kalpana.localhost:8443@evil.example\r\n".to_owned(),
        ),
        (
            400,
            "GET / HTTP/1.1\r\nHost: kalpana .localhost\r\n".to_owned(),
        ),
        (
            400,
            "GET / HTTP/1.1\r\nHost: kalpana.localhost\0\r\n".to_owned(),
        ),
        (
            400,
            "GET / HTTP/1.1\r\nHost: k\u{e1}lpana.localhost\r\n".to_owned(),
        ),
        (
            400,
            "GET / HTTP/1.1\r\nHost: kalpana.localhost:port\r\n".to_owned(),
        ),
        (
            421,
            "GET / HTTP/1.1\r\nHost: kalpana.localhost:9999\r\n".to_owned(),
        ),
        (421, "GET / HTTP/1.1\r\nHost: evil.example\r\n".to_owned()),
        (421, "GET / HTTP/1.1\r\nHost: 127.0.0.1:8443\r\n".to_owned()),
        (421, "GET / HTTP/1.1\r\nHost: [::1]:8443\r\n".to_owned()),
        (
            404,
            "GET / HTTP/1.1\r\nHost: no-such.kalpana.localhost\r\n".to_owned(),
        ),
        (
            404,
            "GET / HTTP/1.1\r\nHost: 0080-abcdefghij01.kalpana.localhost\r\n".to_owned(),
        ),
        (
            400,
            "GET http://evil.example/ HTTP/1.1\r\nHost: kalpana.localhost\r\n".to_owned(),
        ),
        (
            401,
            format!("GET https://{mine}/ HTTP/1.1\r\nHost: {mine}\r\n"),
        ),
        (
            405,
            "TRACE / HTTP/1.1\r\nHost: kalpana.localhost\r\n".to_owned(),
        ),
        (
            405,
            "CONNECT kalpana.localhost:443 HTTP/1.1\r\nHost: kalpana.localhost:443\r\n".to_owned(),
        ),
    ] {
        let answer = world
            .raw(name, format!("{head}Connection: close\r\n\r\n").as_bytes())
            .await;
        assert_eq!(status(&answer), expected, "{head:?}");
    }
    assert_eq!(world.web_heard.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn two_ways_to_read_a_length_are_one_too_many() {
    let world = World::start().await;
    for headers in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked\x0b",
    ] {
        let head = format!("POST / HTTP/1.1\r\nHost: kalpana.localhost\r\n{headers}\r\n\r\nhello");
        let answer = world.raw("kalpana.localhost", head.as_bytes()).await;
        assert!((400..500).contains(&status(&answer)), "{headers}: {answer}");
    }
    let answer = world
        .raw(
            "kalpana.localhost",
            b"POST / HTTP/1.0\r\nHost: kalpana.localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        )
        .await;
    assert_eq!(status(&answer), 400, "HTTP/1.0 knows no chunks");
    assert!(world.web_heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_we_add_cannot_be_nominated_away() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let host = world.host(MINE);
    let send = async |connection: &str| {
        let head = format!(
            "GET /echo HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\nConnection: {connection}\r\n\r\n"
        );
        status(&world.raw(&host, head.as_bytes()).await)
    };
    assert_eq!(send("close, x-forwarded-for, x-forwarded-host").await, 400);
    assert_eq!(bridge.text(), "");
    assert_eq!(send("close, x-request-id, x-kalpana-user").await, 200);
    let arrived = bridge.text().to_lowercase();
    assert!(
        arrived.contains("x-request-id: ") && arrived.contains("x-forwarded-for: "),
        "{arrived}"
    );
}

#[tokio::test]
async fn an_http2_request_names_one_host_too() {
    let world = World::start().await;
    let mut h2 = world.h2("kalpana.localhost").await;
    let mut request = get("evil.example", "/", "");
    *request.uri_mut() = world.site.base_url().parse().unwrap();
    let differing = patient(h2.send_request(request)).await;
    let refused = match differing {
        Ok(answer) => answer.status() == 400,
        Err(error) => !error.is_timeout(),
    };
    assert!(refused);
    assert!(world.web_heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bytes_before_the_switch_are_not_passed_on() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let (host, origin) = (world.host(MINE), world.origin(MINE));
    let mut stream = world.tls(&host, b"http/1.1").await;
    let head = format!(
        "GET /echo HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\nOrigin: {origin}\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(
        status(&read_head(&mut stream).await),
        200,
        "the workspace declines to switch"
    );
    drop(stream);
    let answer = world.send(get(&host, "/sentinel", &session)).await;
    assert_eq!(answer.status(), 200);
    assert!(!bridge.text().contains("smuggled"), "{}", bridge.text());
}

#[tokio::test]
async fn plain_http_is_sent_to_https() {
    let world = World::start().await;
    let plain = world.bound.plain.unwrap();
    let ask = async |head: &str| {
        let mut stream = TcpStream::connect(plain).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        patient(stream.read_to_string(&mut answer)).await.unwrap();
        answer.to_lowercase()
    };
    let host = format!("{MINE}.kalpana.localhost:{}", plain.port());
    let answer = ask(&format!("GET /a?b=c HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    assert!(answer.starts_with("http/1.1 308"), "{answer}");
    let location = format!("location: https://{}/a?b=c\r\n", world.host(MINE));
    assert!(answer.contains(&location), "{answer}");
    let answer = ask("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
    assert!(
        answer.starts_with("http/1.1 421") && !answer.contains("location"),
        "{answer}"
    );
    let answer = ask("GET / HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("http/1.1 400"), "{answer}");
}

#[tokio::test]
async fn http2_serves_the_control_plane() {
    let world = World::start().await;
    let mut h2 = world.h2("kalpana.localhost").await;
    let mut request = get("x", "/", "");
    request.headers_mut().remove("host");
    *request.uri_mut() = format!("{}/api/site", world.site.base_url())
        .parse()
        .unwrap();
    let answer = whole(patient(h2.send_request(request)).await.unwrap()).await;
    assert_eq!(answer.status(), 200);
    assert!(
        text(&answer).contains("host: kalpana.localhost:8443\n"),
        "{}",
        text(&answer)
    );
}
