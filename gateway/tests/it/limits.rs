//! What a client may not take: memory, time, a slot for ever.

use std::sync::Arc;

use http::HeaderValue;
use kalpana_config::Span;
use rustls::{HandshakeKind, NamedGroup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{get, whole};
use crate::world::{MINE, Options, World, patient};

#[tokio::test]
async fn a_huge_cookie_is_refused_and_nobody_else_notices() {
    let world = World::start().await;
    for host in [world.site.base_host(), world.host(MINE)] {
        let mut h1 = world.h1(&host).await;
        let cookie = format!("junk={}", "x".repeat(64 << 10));
        let refused = whole(
            patient(h1.send_request(get(&host, "/", &cookie)))
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(refused.status(), 431, "{host}");
    }
    let mut h2 = world.h2("kalpana.localhost").await;
    let mut request = get("x", "/", "");
    request.headers_mut().remove("host");
    *request.uri_mut() = world.site.base_url().parse().unwrap();
    let fields = request.headers_mut();
    fields.insert(
        "x-large",
        HeaderValue::from_str(&"x".repeat(40 << 10)).unwrap(),
    );
    let refused = patient(h2.send_request(request)).await;
    assert!(refused.map_or(true, |answer| answer.status() == 431));
    assert!(world.web_heard.lock().unwrap().is_empty());
    let answer = world.send(get(&world.site.base_host(), "/", "")).await;
    assert_eq!(answer.status(), 200);
}

fn hasty() -> Options {
    Options {
        configure: |config| {
            config.gateway.handshake_timeout = Span::seconds(1);
            config.gateway.first_byte_timeout = Span::seconds(1);
        },
        ..Options::default()
    }
}

#[tokio::test]
async fn who_says_nothing_is_hung_up_on() {
    let world = World::with(hasty()).await;
    let mut silent = TcpStream::connect(world.bound.tls).await.unwrap();
    let mut buffer = Vec::new();
    let _ = patient(silent.read_to_end(&mut buffer)).await;
    assert_eq!(
        world.metric("kalpana_gateway_handshakes_failed_total", "timeout"),
        1.0
    );
    let mut silent = world.tls("kalpana.localhost", b"http/1.1").await;
    let _ = patient(silent.read_to_end(&mut buffer)).await;
    let mut silent = world.tls("kalpana.localhost", b"h2").await;
    let _ = patient(silent.read_to_end(&mut buffer)).await;
    assert!(!buffer.starts_with(b"HTTP/1.1"), "no answer to nothing");
}

#[tokio::test]
async fn an_http1_connection_is_kept_between_requests() {
    let world = World::with(hasty()).await;
    let host = world.site.base_host();
    let mut h1 = world.h1(&host).await;
    for _ in 0..3 {
        patient(h1.ready()).await.unwrap();
        let answer = whole(patient(h1.send_request(get(&host, "/", ""))).await.unwrap()).await;
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test]
async fn aws_lc_shakes_hands_and_resumes_by_ticket() {
    let world = World::start().await;
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // Only aws-lc-rs has this group, so that a server with another provider could not agree.
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768];
    let mut stream = world
        .tls_with("kalpana.localhost", b"http/1.1", provider)
        .await
        .unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: kalpana.localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    patient(stream.read_to_end(&mut Vec::new())).await.unwrap();
    assert_eq!(stream.get_ref().1.tls13_tickets_received(), 2);
}

#[tokio::test]
async fn a_ticket_is_good_however_many_others_shook_hands_since() {
    let world = World::start().await;
    let config = || {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        Arc::new(world.tls_config(b"http/1.1", provider))
    };
    let visit = async |config: Arc<rustls::ClientConfig>| {
        let stream = TcpStream::connect(world.bound.tls).await.unwrap();
        let stream = world.tls_by(config, stream, "kalpana.localhost").await;
        let mut stream = stream.unwrap();
        // Tickets come with the first answer.
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: kalpana.localhost\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        patient(stream.read_to_end(&mut Vec::new())).await.unwrap();
        stream.get_ref().1.handshake_kind()
    };
    let ours = config();
    assert_eq!(visit(Arc::clone(&ours)).await, Some(HandshakeKind::Full));
    // More than a cache of sessions would hold.
    for _ in 0..300 {
        assert_eq!(visit(config()).await, Some(HandshakeKind::Full));
    }
    assert_eq!(visit(ours).await, Some(HandshakeKind::Resumed));
}
