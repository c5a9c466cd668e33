//! Requests that two servers could read in two ways. Behind the gateway stand the servers that
//! apps are written with; each says what it saw. Either the gateway refuses, and hangs up, and the
//! server sees nothing; or the server sees exactly the one request that the gateway saw.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::backend::Backend;
use crate::bridge::Bridge;
use crate::client::get;
use crate::world::{MINE, World};

/// What must become of a request.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// The gateway answers 400 (or 501 for a coding that it does not know) and hangs up.
    Refused,
    /// The server sees this method, target and body.
    Seen(&'static str),
}
use Fate::{Refused, Seen};

/// A request line, fields beyond those that every request has, the body, and what becomes of it.
type Case = (&'static str, &'static str, &'static str, Fate);

const CASES: &[Case] = &[
    // Unambiguous: without these, refusing everything would do.
    ("GET /a HTTP/1.1", "", "", Seen("GET /a ")),
    (
        "POST /a HTTP/1.1",
        "Content-Length: 5\r\n",
        "hello",
        Seen("POST /a hello"),
    ),
    (
        "POST /a HTTP/1.1",
        CHUNKED,
        "5\r\nhello\r\n0\r\n\r\n",
        Seen("POST /a hello"),
    ),
    (
        "POST /a HTTP/1.1",
        CHUNKED,
        "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        Seen("POST /a hello"),
    ),
    ("GET /a?b=c&d HTTP/1.1", "", "", Seen("GET /a?b=c&d ")),
    (
        "GET /a%2fb HTTP/1.1",
        "X: a\tb\r\n",
        "",
        Seen("GET /a%2fb "),
    ),
    // Two lengths.
    (
        "POST /a HTTP/1.1",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "hello!",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "Content-Length: 5, 6\r\n",
        "hello!",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "Content-Length: 5,5\r\n",
        "hello",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "Content-Length: +5\r\n",
        "hello",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "Content-Length: -5\r\n",
        "hello",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "Content-Length: 0x5\r\n",
        "hello",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "Content-Length: 5 5\r\n",
        "hello",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "Content-Length: 5.0\r\n",
        "hello",
        Refused,
    ),
    ("POST /a HTTP/1.1", "Content-Length: \r\n", "", Refused),
    (
        "POST /a HTTP/1.1",
        "Content-Length: 99999999999999999999\r\n",
        "hello",
        Refused,
    ),
    // Chunked, but spelt for one reader only.
    (
        "POST /a HTTP/1.1",
        "Transfer-Encoding: chunked, identity\r\n",
        "0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "Transfer-Encoding: identity, chunked\r\n",
        "0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "Transfer-Encoding: xchunked\r\n",
        "0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "Transfer-Encoding: \"chunked\"\r\n",
        "0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "Transfer-Encoding: chunked;q=1\r\n",
        "0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "Transfer-Encoding: chunked\x0b\r\n",
        "0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "Transfer-Encoding:\r\n",
        "0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "Transfer-Encoding: gzip\r\n",
        "0\r\n\r\n",
        Refused,
    ),
    ("POST /a HTTP/1.0", CHUNKED, "0\r\n\r\n", Refused),
    // Fields that are not fields.
    (
        "POST /a HTTP/1.1",
        "Transfer-Encoding : chunked\r\n",
        "0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "Transfer Encoding: chunked\r\n",
        "0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        " Transfer-Encoding: chunked\r\n",
        "0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
        "0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "Transfer-Encoding:\r\n chunked\r\n",
        "0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "X: y\rTransfer-Encoding: chunked\r\n",
        "0\r\n\r\n",
        Refused,
    ),
    ("POST /a HTTP/1.1", "Content-Length\r\n", "", Refused),
    ("POST /a HTTP/1.1", ": nameless\r\n", "", Refused),
    ("POST /a HTTP/1.1", "X\0: y\r\n", "", Refused),
    ("POST /a HTTP/1.1", "X: y\0z\r\n", "", Refused),
    ("POST /a HTTP/1.1", "X(): y\r\n", "", Refused),
    // Lines that end in LF alone.
    ("POST /a HTTP/1.1\nX: y", "", "", Refused),
    (
        "POST /a HTTP/1.1",
        "X: y\nContent-Length: 5\r\n",
        "hello",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        "X: y\n\nGET /smuggled HTTP/1.1\r\n",
        "",
        Refused,
    ),
    // Request lines.
    ("GET  /a HTTP/1.1", "", "", Refused),
    ("GET /a\tHTTP/1.1", "", "", Refused),
    ("GET /a HTTP/1.1 x", "", "", Refused),
    ("GET /a HTTP/1.2", "", "", Refused),
    ("GET /a HTTP/2.0", "", "", Refused),
    ("GET /a HTTP/01.1", "", "", Refused),
    ("GET /a http/1.1", "", "", Refused),
    ("GET /a", "", "", Refused),
    ("GET a HTTP/1.1", "", "", Refused),
    ("GET http://other.example/a HTTP/1.1", "", "", Refused),
    ("GE\0T /a HTTP/1.1", "", "", Refused),
    // Chunks.
    (
        "POST /a HTTP/1.1",
        CHUNKED,
        "5;x=y\r\nhello\r\n0\r\n\r\n",
        Seen("POST /a hello"),
    ),
    (
        "POST /a HTTP/1.1",
        CHUNKED,
        "05\r\nhello\r\n0\r\n\r\n",
        Seen("POST /a hello"),
    ),
    (
        "POST /a HTTP/1.1",
        CHUNKED,
        "0x5\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        CHUNKED,
        "+5\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        CHUNKED,
        "-5\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        CHUNKED,
        "g\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        CHUNKED,
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        CHUNKED,
        "5\r\nhelloXX0\r\n\r\n",
        Refused,
    ),
    (
        "POST /a HTTP/1.1",
        CHUNKED,
        "5\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    // Read generously, and passed on as what was read: one request for both, all the same.
    ("GET /a b HTTP/1.1", "", "", Seen("GET /a%20b ")),
    (
        "POST /a HTTP/1.1",
        CHUNKED,
        "\r\nhello\r\n0\r\n\r\n",
        Seen("POST /a "),
    ),
    (
        "POST /a HTTP/1.1",
        CHUNKED,
        "5;\nGET /smuggled\r\nhello\r\n0\r\n\r\n",
        Seen("POST /a hello"),
    ),
];

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

/// Sends each case and then an ordinary request, which a server that is out of step would answer
/// with something else. Returns every case that did not end as it must.
async fn differences(backend: &Backend) -> Vec<String> {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    drop(bridge);
    let bridge = Bridge::before(&world, MINE, &backend.socket());
    let (host, origin) = (world.host(MINE), world.origin(MINE));
    let mut differences = Vec::new();
    for (line, fields, body, fate) in CASES {
        bridge.answered.lock().unwrap().clear();
        // Who is refused is hung up on without having asked for it.
        let close = match fate {
            Refused => "",
            Seen(_) => "Connection: close\r\n",
        };
        let request = format!(
            "{line}\r\n{fields}Host: {host}\r\nCookie: {session}\r\nOrigin: {origin}\r\n{close}\r\n{body}"
        );
        let mut stream = world.tls(&host, b"http/1.1").await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(SHORT, stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.get(9..12).unwrap_or("none");
        let sentinel = world.send(get(&host, "/sentinel", &session)).await;
        let sentinel = String::from_utf8_lossy(sentinel.body()).into_owned();
        let seen = String::from_utf8_lossy(&bridge.answered.lock().unwrap()).into_owned();
        let seen: Vec<&str> = seen
            .lines()
            .filter_map(|l| l.strip_prefix("saw "))
            .collect();
        let last = "GET /sentinel ";
        let is_right = match fate {
            Refused => seen == [last] && matches!(status, "400" | "501"),
            Seen(expected) => seen == [expected, last] && status == "200",
        };
        if !is_right || ended.is_err() || sentinel != format!("saw {last}\n") {
            differences.push(format!(
                "{line:?} {fields:?} {body:?}: {status}, hung up: {}, saw {seen:?}, then {sentinel:?}",
                ended.is_ok()
            ));
        }
    }
    differences
}

/// How long an answer may take. Nothing waits for anything here.
const SHORT: std::time::Duration = std::time::Duration::from_secs(5);

async fn both_read_the_same(backend: Backend) {
    let differences = differences(&backend).await;
    assert!(
        differences.is_empty(),
        "the gateway and {} differ, or the gateway refuses otherwise:\n{}",
        backend.name,
        differences.join("\n")
    );
}

#[tokio::test]
async fn hyper_sees_the_requests_that_the_gateway_sees() {
    both_read_the_same(Backend::hyper().await).await;
}

#[tokio::test]
async fn node_sees_the_requests_that_the_gateway_sees() {
    both_read_the_same(Backend::node().await).await;
}

#[tokio::test]
async fn nginx_sees_the_requests_that_the_gateway_sees() {
    both_read_the_same(Backend::nginx().await).await;
}

#[tokio::test]
async fn haproxy_sees_the_requests_that_the_gateway_sees() {
    both_read_the_same(Backend::haproxy().await).await;
}

#[tokio::test]
async fn uvicorn_sees_the_requests_that_the_gateway_sees() {
    both_read_the_same(Backend::uvicorn().await).await;
}
