//! Who says everything a byte at a time, and never the last one.

use std::time::Duration;

use kalpana_config::{ByteSize, Config, Span};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::get;
use crate::sharing::shared;
use crate::world::{MINE, Options, World, patient};

/// Between one byte and the next: far less than any limit.
const PACE: Duration = Duration::from_millis(100);

async fn hasty() -> World {
    World::with(Options {
        configure: |config| {
            config.gateway.handshake_timeout = Span::seconds(1);
            config.gateway.header_timeout = Span::seconds(1);
            config.gateway.keepalive_timeout = Span::seconds(2);
            config.gateway.body_rate = ByteSize(1 << 20);
            config.gateway.proxy_protocol_from = vec!["127.0.0.2".parse().unwrap()];
        },
        ..Options::default()
    })
    .await
}

/// Says `bytes` one at a time, again and again, until the other side hangs up. Returns what it
/// answered, and how often something was said.
async fn drip(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> (Vec<u8>, usize) {
    let mut answer = Vec::new();
    let dripped = patient(async {
        let mut said = 0;
        for byte in bytes.iter().cycle() {
            if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
                break;
            }
            said += 1;
            let mut part = [0; 4096];
            match tokio::time::timeout(PACE, stream.read(&mut part)).await {
                Ok(Ok(0) | Err(_)) => break,
                Ok(Ok(length)) => answer.extend_from_slice(&part[..length]),
                Err(_) => {}
            }
        }
        said
    })
    .await;
    (answer, dripped)
}

async fn is_served(world: &World) {
    let answer = world.send(get(&world.site.base_host(), "/", "")).await;
    assert_eq!(answer.status(), 200);
}

fn failed(world: &World, reason: &str) -> f64 {
    world.metric("kalpana_gateway_handshakes_failed_total", reason)
}

#[tokio::test]
async fn a_hello_that_drips_is_cut() {
    let world = hasty().await;
    // A record of a handshake, 512 bytes of a hello that never comes whole.
    let hello = [&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3][..], &[7; 500]].concat();
    let stream = TcpStream::connect(world.bound.tls).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (answer, said) = drip(stream, &hello).await;
    assert!(answer.is_empty(), "{answer:?}");
    assert!((1..hello.len()).contains(&said), "{said}");
    assert!((failed(&world, "timeout") - 1.0).abs() < f64::EPSILON);
    is_served(&world).await;
}

#[tokio::test]
async fn a_proxy_header_that_drips_is_cut() {
    let world = hasty().await;
    let local = |header: &'static [u8]| {
        let address = world.bound.tls;
        async move {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
            let stream = socket.connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            drip(stream, header).await
        }
    };
    // A line that never ends, and a header that announces more than it brings.
    let line =
        b"PROXY TCP4 198.51.100.1 127.0.0.1 4242 44300000000000000000000000000000000000000000";
    let binary =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x0f\xa0\xc6\x33\x64\x01\x7f\0\0\x01\x10\x92\x01\xbb\
        paddingpaddingpaddingpaddingpadding";
    for header in [line.as_slice(), binary] {
        let (answer, said) = local(header).await;
        assert!(answer.is_empty(), "{answer:?}");
        assert!(said >= 1);
    }
    let cut = failed(&world, "timeout");
    assert!((cut - 2.0).abs() < f64::EPSILON, "{cut}");
    is_served(&world).await;
}

#[tokio::test]
async fn a_head_that_drips_is_cut_whichever_request_of_its_connection_it_is() {
    let world = hasty().await;
    let endless =
        b"GET / HTTP/1.1\r\nHost: kalpana.localhost\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy";
    let tls = async || world.tls("kalpana.localhost", b"http/1.1").await;
    let (_, said) = drip(tls().await, endless).await;
    assert!((1..endless.len()).contains(&said), "{said}");

    let mut kept = tls().await;
    let whole = b"GET / HTTP/1.1\r\nHost: kalpana.localhost\r\n\r\n";
    kept.write_all(whole).await.unwrap();
    let answer = crate::client::read_head(&mut kept).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drip(kept, endless).await;

    assert_eq!(world.web_heard.lock().unwrap().len(), 1, "the whole one");
    is_served(&world).await;
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[tokio::test]
async fn http2_that_drips_is_cut_from_its_first_words_on() {
    let world = hasty().await;
    let tls = async || world.tls("kalpana.localhost", b"h2").await;
    let (answer, said) = drip(tls().await, PREFACE).await;
    assert!(answer.is_empty(), "{answer:?}");
    assert!((1..PREFACE.len()).contains(&said), "{said}");
    let denied = world.metric("kalpana_gateway_denied_total", "slow_head");
    assert!((denied - 1.0).abs() < f64::EPSILON, "{denied}");
    let mut half = tls().await;
    half.write_all(&PREFACE[..20]).await.unwrap();
    let _ = patient(half.read_to_end(&mut Vec::new())).await;

    // A head that is announced and never comes whole is no request: the connection is idle.
    let mut stream = tls().await;
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
    stream
        .write_all(b"\0\x3f\xff\x01\x05\0\0\0\x01")
        .await
        .unwrap();
    let (_, said) = drip(stream, b"x").await;
    assert!(said >= 1);
    assert!(world.web_heard.lock().unwrap().is_empty());
    is_served(&world).await;
}

// Takes as long as the grace for a body does, which is ten seconds.
#[tokio::test]
async fn a_body_that_drips_is_cut() {
    let world = hasty().await;
    world.run_mine().await;
    let bridge = crate::bridge::Bridge::start(&world, MINE, 1);
    let session = world.sign_in(MINE, 1).await;
    let (host, origin) = (world.host(MINE), world.origin(MINE));
    let workspace = format!(
        "POST /hang HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nCookie: {session}\r\nContent-Length: 100000\r\n\r\n"
    );
    // A stranger has no conversations: of whatever length their body is to be, it is cut.
    world.share(shared("public")).await;
    let public = world.host(&format!("3000-{MINE}"));
    let chunked =
        format!("POST /hang HTTP/1.1\r\nHost: {public}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let dripped = async |head: &str, part: &[u8]| {
        let mut stream = world.tls("kalpana.localhost", b"http/1.1").await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let (answer, said) = drip(stream, part).await;
        (String::from_utf8_lossy(&answer).into_owned(), said)
    };
    let (first, second) = tokio::join!(dripped(&workspace, b"x"), dripped(&chunked, b"1\r\nx\r\n"));
    for (answer, said) in [first, second] {
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(said > 1, "{said}");
    }
    assert!(bridge.text().starts_with("POST /hang "), "it was passed on");
    is_served(&world).await;
}

#[test]
fn nobody_has_more_than_ten_seconds_by_default() {
    let gateway = Config::default().gateway;
    for limit in [
        gateway.handshake_timeout,
        gateway.first_byte_timeout,
        gateway.header_timeout,
    ] {
        assert_eq!(limit, Span::seconds(10));
    }
    assert_eq!(gateway.body_rate, ByteSize(512));
}
