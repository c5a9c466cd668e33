//! From one gateway to the next: what is open stays open, nobody is refused, sessions resume, and a
//! sign-in ticket that was used stays used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::bridge::Bridge;
use crate::client::{get, navigate};
use crate::upgrade::{Socket, echo, open};
use crate::world::{MINE, Options, World, patient};

/// How many WebSockets are open across the hand-over: `make soak` asks for 1,000.
fn how_many() -> usize {
    let asked = std::env::var("KALPANA_UPGRADE_WEBSOCKETS").ok();
    asked.map_or(50, |asked| asked.parse().unwrap())
}

async fn websockets(world: &World, session: &str, count: usize) -> Vec<Socket> {
    let (host, origin) = (world.host(MINE), world.origin(MINE));
    let headers = [("cookie", session), ("origin", origin.as_str())];
    let mut sockets = Vec::new();
    for _ in 0..count {
        let mut socket = open(world, &host, "/ws", &headers).await.unwrap();
        echo(&mut socket, "hello").await;
        sockets.push(socket);
    }
    sockets
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_refused_and_nothing_is_dropped() {
    let count = how_many();
    let world = World::with(Options {
        configure: |config| config.gateway.connections_per_address = 4096,
        ..Options::default()
    });
    let world = Arc::new(world.await);
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let mut sockets = websockets(&world, &session, count).await;

    // Requests, each over a connection of its own, before, during and after.
    let is_over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (world, session) = (Arc::clone(&world), session.clone());
            let (is_over, answered) = (Arc::clone(&is_over), Arc::clone(&answered));
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let answer = world.send(get(&world.host(MINE), "/echo", &session)).await;
                    assert_eq!(answer.status(), 200, "{answer:?}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let reached = async |count: usize| {
        patient(async {
            while answered.load(Ordering::Relaxed) < count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    reached(20).await;
    let next = world.take_over().await;
    patient(world.left.cancelled()).await;
    let before = answered.load(Ordering::Relaxed);
    reached(before + 100).await;
    is_over.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }

    for socket in &mut sockets {
        echo(socket, "still here").await;
    }
    let open = world.metric("kalpana_gateway_websockets", "");
    assert_eq!(open, count as f64, "in the old one");
    // They end with their session, though another process serves by now.
    world.revoke(world.session).await;
    for mut socket in sockets {
        let heard = patient(futures_util::StreamExt::next(&mut socket)).await;
        let Some(Ok(Message::Close(Some(frame)))) = heard else {
            panic!("{heard:?}");
        };
        assert_eq!(u16::from(frame.code), 4401);
    }
    println!(
        "{count} WebSockets and {} requests across a hand-over",
        before + 100
    );
    drop(next);
}

#[tokio::test]
async fn an_old_gateway_with_nothing_open_ends_at_once() {
    let mut world = World::start().await;
    let _next = world.take_over().await;
    // The drain after a hand-over may take hours, and takes none of them.
    patient(world.gateway.take().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        world
            .send(navigate(&world.site.base_host(), "/"))
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn tls_resumes_at_the_next_gateway() {
    let world = World::start().await;
    let host = world.site.base_host();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = Arc::new(world.tls_config(b"http/1.1", provider));
    let connect = async || {
        let stream = TcpStream::connect(world.bound.tls).await.unwrap();
        let mut stream = world
            .tls_by(Arc::clone(&config), stream, &host)
            .await
            .unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = patient(stream.read_to_end(&mut answer)).await;
        stream.get_ref().1.handshake_kind().unwrap()
    };
    assert_eq!(connect().await, HandshakeKind::Full);
    let _next = world.take_over().await;
    assert_eq!(connect().await, HandshakeKind::Resumed);
}

#[tokio::test]
async fn a_ticket_that_was_used_at_the_old_gateway_is_refused_at_the_next() {
    let world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let (rid, nonce) = world.begin_sign_in(MINE).await;
    let ticket = world.sign(&world.grant(MINE, &rid, 1));
    assert_eq!(
        world.call_back(MINE, &ticket, "/", &nonce).await.status(),
        303
    );
    let _next = world.take_over().await;
    let again = world.call_back(MINE, &ticket, "/", &nonce).await;
    assert_eq!(again.status(), 400, "{again:?}");
}

#[tokio::test]
async fn a_next_gateway_that_never_asks_changes_nothing() {
    let world = World::start().await;
    let path = world.site.handover_socket();
    for _ in 0..3 {
        let taken = kalpana_gateway::handover::take(&path).await.unwrap();
        drop(taken);
    }
    assert!(!world.left.is_cancelled());
    assert_eq!(
        world
            .send(navigate(&world.site.base_host(), "/"))
            .await
            .status(),
        200
    );
    let _next = world.take_over().await;
    assert!(world.left.is_cancelled());
}
