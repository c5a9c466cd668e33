//! Workspaces that answer what no server should: their owner is told so, or the answer is harmless;
//! the connection serves nobody else, and the next request is as good as any.

use std::time::Duration;

use http_body_util::BodyExt;
use kalpana_config::{Config, Span};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::backend::{self, Backend};
use crate::bridge::Bridge;
use crate::client::{code, get, read_head};
use crate::memory::{is_flat, resident};
use crate::world::{MINE, Options, World, patient};

/// A world whose workspace is `backend`, and a session there.
async fn before(backend: &Backend, configure: fn(&mut Config)) -> (World, Bridge, String) {
    let world = World::with(Options {
        configure,
        ..Options::default()
    })
    .await;
    world.run_mine().await;
    let bridge = Bridge::before(&world, MINE, &backend.socket());
    let session = world.sign_in(MINE, 1).await;
    (world, bridge, session)
}

fn impatient(config: &mut Config) {
    config.gateway.response_header_timeout = Span(Duration::from_secs(1));
}

const WEBSOCKET: &str = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// What the workspace answers at the path of this number, and what is made of it.
#[derive(Debug, Clone)]
struct Case {
    answer: Vec<u8>,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// The owner is told that the workspace cannot be reached.
    Refused,
    /// The answer arrives, with a head in which these words are and nothing is injected.
    Harmless(&'static str),
}
use Fate::{Harmless, Refused};

fn case(head: impl Into<Vec<u8>>, fate: Fate) -> Case {
    let answer = head.into();
    Case { answer, fate }
}

fn fields(count: usize) -> String {
    let fields = (0..count).map(|number| format!("X-{number}: 1\r\n"));
    let fields: String = fields.collect();
    format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n")
}

fn with(field: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{field}\r\nX-Last: last\r\n\r\n")
}

fn cases() -> Vec<Case> {
    vec![
        case(with("X: plain"), Harmless("X: plain\r\n")),
        // Ends of lines and of strings where there are none.
        case(with("X: a\rSet-Cookie: injected=1"), Refused),
        case(with("X: a\r\r\nY: b"), Refused),
        case(with("X: a\0b"), Refused),
        case(with("X\0: a"), Refused),
        case(with("X\rY: a"), Refused),
        case("HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n", Refused),
        case("HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n", Refused),
        // Read as one field that goes on, and as two fields, and written as such.
        case(
            with("X: a\r\n Set-Cookie: injected=1"),
            Harmless("X: a Set-Cookie: injected=1\r\n"),
        ),
        case(
            with("Set-Cookie: a=1; Path=/;\r\n Domain=kalpana.localhost"),
            Harmless("Set-Cookie: a=1; Path=/\r\n"),
        ),
        case(with("X: a\nY: b"), Harmless("X: a\r\nY: b\r\n")),
        // No answer at all.
        case("GET / HTTP/1.1\r\n\r\n", Refused),
        case("HTTP/1.1 2OO OK\r\n\r\n", Refused),
        case("HTTP/1.1 99999 OK\r\n\r\n", Refused),
        case("HTTP/9.9 200 OK\r\n\r\n", Refused),
        case(with("no field"), Refused),
        case(with(": nameless"), Refused),
        case(vec![0xff; 4096], Refused),
        // Lengths that differ.
        case(with("Content-Length: 5"), Refused),
        case(with("Content-Length: -1"), Refused),
        case("HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nab", Refused),
        // Too much.
        case(with(&format!("X: {}", "x".repeat(1 << 20))), Refused),
        case(with(&format!("{}: x", "x".repeat(1 << 20))), Refused),
        case(fields(1_000), Refused),
        case(fields(10_000), Refused),
    ]
}

/// Answers `/<number>` with that case, and everything else with nothing special.
async fn answer(mut stream: BufReader<UnixStream>, cases: Vec<Case>) -> std::io::Result<()> {
    while let Some(head) = backend::head(&mut stream).await? {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let number = path.trim_start_matches('/').parse::<usize>();
        let answer = match number.ok().and_then(|number| cases.get(number)) {
            Some(case) => case.answer.clone(),
            None => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
        };
        stream.write_all(&answer).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_head_that_is_none_is_refused_or_harmless_and_nobody_else_gets_its_connection() {
    let cases = cases();
    let served = cases.clone();
    let backend = Backend::wild(move |stream| answer(stream, served.clone()));
    let (world, bridge, session) = before(&backend, |_| ()).await;
    let (host, origin) = (world.host(MINE), world.origin(MINE));
    let mut differences = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let asked = bridge.arrived.lock().unwrap().len();
        let head = format!("GET /{number} HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\n\r\n");
        let heard = world.raw(&host, head.as_bytes()).await;
        let is_right = match case.fate {
            Refused => heard.starts_with("HTTP/1.1 502 ") && !heard.contains("X-Last"),
            Harmless(words) => {
                let is_injected = heard
                    .lines()
                    .any(|line| line.starts_with("Set-Cookie: inj"));
                heard.starts_with("HTTP/1.1 200 ") && heard.contains(words) && !is_injected
            }
        };
        let is_clean = !heard.replace("\r\n", "").contains(['\r', '\n', '\0']);
        // What the connection is good for shows in who carries the next request.
        let next = world.send(get(&host, "/next", &session)).await;
        let opened = bridge.arrived.lock().unwrap().len() - asked;
        let is_apart = case.fate != Refused || opened >= 1;
        // A WebSocket is asked for by other code.
        let upgraded = format!(
            "GET /{number} HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nCookie: {session}\r\n{WEBSOCKET}\r\n"
        );
        let tunnelled = world.raw(&host, upgraded.as_bytes()).await;
        let is_right = is_right
            && (case.fate != Refused || tunnelled.starts_with("HTTP/1.1 502 "))
            && !tunnelled.replace("\r\n", "").contains(['\r', '\n', '\0']);
        if !is_right || !is_clean || !is_apart || next.status() != 200 {
            let text: String = case.answer.escape_ascii().to_string();
            let shown: String = text.chars().take(120).collect();
            differences.push(format!(
                "{shown:?}: {opened} opened, then {}: {heard}; {tunnelled}",
                next.status()
            ));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test]
async fn heads_that_are_too_large_cost_no_memory() {
    let cases = cases();
    let count = cases.len();
    let backend = Backend::wild(move |stream| answer(stream, cases.clone()));
    let (world, bridge, session) = before(&backend, |_| ()).await;
    let host = world.host(MINE);
    // The first time costs what is kept for later.
    let mut before = 0;
    for round in 0..10 {
        for number in count - 4..count {
            let refused = world
                .send(get(&host, &format!("/{number}"), &session))
                .await;
            assert_eq!(refused.status(), 502);
            assert_eq!(code(&refused), "workspace_unreachable");
        }
        bridge.answered.lock().unwrap().clear();
        if round == 1 {
            before = resident();
        }
    }
    is_flat(before);
}

/// Bodies that are not what their head says, each of which ends with its connection.
const BROKEN: &[&str] = &[
    "Content-Length: 10\r\n\r\nhello",
    "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
    "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX5\r\nhello\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\nhello\r\n0\r\n\r\n",
];

async fn break_off(mut stream: BufReader<UnixStream>) -> std::io::Result<()> {
    while let Some(head) = backend::head(&mut stream).await? {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let number = path.trim_start_matches('/').parse::<usize>();
        match number.ok().and_then(|number| BROKEN.get(number)) {
            Some(rest) => {
                let answer = format!("HTTP/1.1 200 OK\r\n{rest}");
                stream.write_all(answer.as_bytes()).await?;
                return Ok(());
            }
            None if path == "/more" => {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nX: poison\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(answer).await?;
            }
            None => {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(answer).await?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_body_that_breaks_off_does_not_look_whole() {
    let backend = Backend::wild(break_off);
    let (world, _bridge, session) = before(&backend, |_| ()).await;
    let host = world.host(MINE);
    for (number, broken) in BROKEN.iter().enumerate() {
        for version in [1, 2] {
            let path = format!("/{number}");
            let mut asked = get(&host, &path, &session);
            let answer = if version == 1 {
                let mut h1 = world.h1(&host).await;
                patient(h1.send_request(asked)).await
            } else {
                let mut h2 = world.h2(&host).await;
                asked.headers_mut().remove("host");
                *asked.uri_mut() = format!("https://{host}{path}").parse().unwrap();
                patient(h2.send_request(asked)).await
            };
            let is_whole = match answer {
                Ok(answer) if answer.status() == 200 => {
                    patient(answer.into_body().collect()).await.is_ok()
                }
                Ok(answer) => answer.status() != 502,
                Err(_) => false,
            };
            assert!(!is_whole, "{broken:?} by HTTP/{version}");
        }
        let next = world.send(get(&host, "/next", &session)).await;
        assert_eq!(next.status(), 200);
    }
}

#[tokio::test]
async fn what_comes_after_an_answer_is_no_answer_to_the_next_request() {
    let backend = Backend::wild(break_off);
    let (world, _bridge, session) = before(&backend, |_| ()).await;
    let host = world.host(MINE);
    let mut h1 = world.h1(&host).await;
    for path in ["/more", "/next", "/more", "/next"] {
        patient(h1.ready()).await.unwrap();
        let answer = patient(h1.send_request(get(&host, path, &session)));
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(!answer.headers().contains_key("x"), "{path}");
    }
}

/// How a workspace goes on without end, at the path of that name.
async fn endless(mut stream: BufReader<UnixStream>) -> std::io::Result<()> {
    while let Some(head) = backend::head(&mut stream).await? {
        match head.split(' ').nth(1).unwrap_or_default() {
            "/other-protocol" => {
                let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
                stream.write_all(answer).await?;
            }
            "/hints" => {
                for number in 0..10_000 {
                    let hint = format!("HTTP/1.1 103 Early Hints\r\nX-Number: {number}\r\n\r\n");
                    stream.write_all(hint.as_bytes()).await?;
                }
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(answer).await?;
            }
            "/endless-hints" => loop {
                let hint = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100);
                stream.write_all(&hint).await?;
            },
            "/drip" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await?;
                let mut pace = tokio::time::interval(Duration::from_millis(10));
                loop {
                    pace.tick().await;
                    stream.write_all(b"x").await?;
                }
            }
            "/endless" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
                loop {
                    stream.write_all(&b"X: y\r\n".repeat(1000)).await?;
                }
            }
            _ => {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(answer).await?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_head_without_end_is_given_up() {
    let backend = Backend::wild(endless);
    let (world, bridge, session) = before(&backend, impatient).await;
    let host = world.host(MINE);
    let before = resident();
    for (path, status) in [("/drip", 504), ("/endless", 502), ("/endless-hints", 504)] {
        let refused = world.send(get(&host, path, &session)).await;
        assert_eq!(refused.status(), status, "{path}");
        let next = world.send(get(&host, "/next", &session)).await;
        assert_eq!(next.status(), 200);
        bridge.answered.lock().unwrap().clear();
    }
    is_flat(before);
    let opened = bridge.arrived.lock().unwrap().len();
    assert!(opened >= 4, "none of the three served anything else");
}

#[tokio::test]
async fn ten_thousand_hints_and_then_an_answer_are_an_answer() {
    let backend = Backend::wild(endless);
    let (world, _bridge, session) = before(&backend, |_| ()).await;
    let host = world.host(MINE);
    let before = resident();
    let answer = world.send(get(&host, "/hints", &session)).await;
    assert_eq!(answer.status(), 200);
    let next = world.send(get(&host, "/next", &session)).await;
    assert_eq!(next.status(), 200);
    is_flat(before);
}

#[tokio::test]
async fn a_switch_to_another_protocol_than_was_asked_for_is_refused() {
    let backend = Backend::wild(endless);
    let (world, bridge, session) = before(&backend, |_| ()).await;
    let (host, origin) = (world.host(MINE), world.origin(MINE));
    for asked in [
        "",
        WEBSOCKET,
        "Connection: upgrade\r\nUpgrade: something\r\n",
    ] {
        let head = format!(
            "GET /other-protocol HTTP/1.1\r\nHost: {host}\r\nCookie: {session}\r\nOrigin: {origin}\r\n{asked}\r\n"
        );
        let mut stream = world.tls(&host, b"http/1.1").await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let heard = read_head(&mut stream).await;
        assert!(heard.starts_with("HTTP/1.1 502 "), "{asked}: {heard}");
        // What comes behind it reaches nobody.
        let _ = stream.write_all(b"GET /smuggled HTTP/1.1\r\n\r\n").await;
        let _ = patient(stream.read_to_end(&mut Vec::new())).await;
        let next = world.send(get(&host, "/next", &session)).await;
        assert_eq!(next.status(), 200);
        assert!(!bridge.text().contains("smuggled"), "{}", bridge.text());
    }
}
