//! Bodies that are larger than memory: they pass through as they are, at the pace of whoever is
//! slower.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use crate::backend::{self, Backend};
use crate::bridge::Bridge;
use crate::client::{get, request};
use crate::memory::{is_flat, resident};
use crate::world::{MINE, World, patient};

/// Larger than what all the buffers on the way could hold together.
const LARGE: usize = 64 << 20;

/// Most that may be on the way: buffers of sockets and windows of HTTP/2, on both sides.
const ON_THE_WAY: usize = 16 << 20;

/// How often the slower side rests.
const RESTS: usize = 20;

async fn before(backend: &Backend) -> (World, Bridge, String) {
    let world = World::start().await;
    world.run_mine().await;
    let bridge = Bridge::before(&world, MINE, &backend.socket());
    let session = world.sign_in(MINE, 1).await;
    (world, bridge, session)
}

/// A gibibyte of zeros as about a megabyte.
fn bomb() -> Vec<u8> {
    use flate2::{Compression, write::GzEncoder};
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..32 {
        std::io::Write::write_all(&mut encoder, &zeros).unwrap();
    }
    // Members of a file stand one behind the other. Source: RFC 1952, section 2.2.
    encoder.finish().unwrap().repeat(32)
}

#[tokio::test]
async fn a_body_that_unpacks_to_a_gibibyte_is_passed_on_packed() {
    let bomb = Bytes::from(bomb());
    assert!(
        (1_000_000..2_000_000).contains(&bomb.len()),
        "{}",
        bomb.len()
    );
    let served = bomb.clone();
    let serve = move |mut stream: BufReader<UnixStream>| {
        let bomb = served.clone();
        async move {
            while backend::head(&mut stream).await?.is_some() {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
                    bomb.len()
                );
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&bomb).await?;
            }
            Ok(())
        }
    };
    let backend = Backend::wild(serve);
    let (world, _bridge, session) = before(&backend).await;
    let host = world.host(MINE);
    let before = resident();
    // Who takes no coding gets it all the same: it is the workspace's answer, not ours.
    for accepted in ["gzip", "identity", ""] {
        let headers = [("cookie", session.as_str()), ("accept-encoding", accepted)];
        let answer = world.send(request("GET", &host, "/", &headers)).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-encoding"], "gzip");
        assert_eq!(answer.headers()["content-length"], bomb.len().to_string());
        assert!(answer.body() == &bomb, "as it is, for {accepted:?}");
    }
    is_flat(before);
}

/// Answers with a large body, and counts what it got rid of.
async fn pour(mut stream: BufReader<UnixStream>, sent: Arc<AtomicUsize>) -> std::io::Result<()> {
    let part = vec![b'x'; 1 << 16];
    while let Some(head) = backend::head(&mut stream).await? {
        if !head.starts_with("GET /large ") {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer).await?;
            continue;
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        for _ in 0..LARGE / part.len() {
            stream.write_all(&part).await?;
            sent.fetch_add(part.len(), Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Reads a body slowly, then quickly to its end. Somebody else is served in every rest, during
/// which all the buffers on the way could fill.
async fn sip(world: &World, mut body: Incoming, sent: &AtomicUsize, session: &str) {
    let before = resident();
    let mut received = 0;
    for _ in 0..RESTS {
        for _ in 0..3 {
            let other = world.send(get(&world.host(MINE), "/other", session)).await;
            assert_eq!(other.status(), 200);
        }
        let part = patient(body.frame()).await.unwrap().unwrap();
        received += part.data_ref().map_or(0, Bytes::len);
        let waiting = sent.load(Ordering::Relaxed).saturating_sub(received);
        assert!(waiting < ON_THE_WAY, "{waiting} bytes are on the way");
    }
    is_flat(before);
    while let Some(part) = patient(body.frame()).await {
        received += part.unwrap().data_ref().map_or(0, Bytes::len);
    }
    assert_eq!(received, LARGE);
    is_flat(before);
}

#[tokio::test]
async fn a_workspace_sends_no_faster_than_its_visitor_reads() {
    let sent = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&sent);
    let backend = Backend::wild(move |stream| pour(stream, Arc::clone(&counted)));
    let (world, _bridge, session) = before(&backend).await;
    let host = world.host(MINE);

    let mut h1 = world.h1(&host).await;
    let answer = patient(h1.send_request(get(&host, "/large", &session)));
    sip(&world, answer.await.unwrap().into_body(), &sent, &session).await;

    sent.store(0, Ordering::Relaxed);
    let mut h2 = world.h2(&host).await;
    let mut large = get(&host, "/large", &session);
    large.headers_mut().remove("host");
    *large.uri_mut() = format!("https://{host}/large").parse().unwrap();
    let answer = patient(h2.send_request(large)).await.unwrap();
    sip(&world, answer.into_body(), &sent, &session).await;
}

/// Takes a large body, a part for each permit, and says how much it was.
async fn swallow(
    mut stream: BufReader<UnixStream>,
    permits: Arc<Semaphore>,
    taken: Arc<AtomicUsize>,
) -> std::io::Result<()> {
    let mut part = vec![0; 1 << 16];
    while let Some(head) = backend::head(&mut stream).await? {
        if head.starts_with("POST ") {
            for _ in 0..LARGE / part.len() {
                if let Ok(permit) = permits.acquire().await {
                    permit.forget();
                }
                stream.read_exact(&mut part).await?;
                taken.fetch_add(part.len(), Ordering::Relaxed);
            }
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_visitor_sends_no_faster_than_the_workspace_reads() {
    let (permits, taken) = (Arc::new(Semaphore::new(0)), Arc::<AtomicUsize>::default());
    let (may, counted) = (Arc::clone(&permits), Arc::clone(&taken));
    let serve = move |stream| swallow(stream, Arc::clone(&may), Arc::clone(&counted));
    let backend = Backend::wild(serve);
    let (world, _bridge, session) = before(&backend).await;
    let host = world.host(MINE);
    for version in [1, 2] {
        taken.store(0, Ordering::Relaxed);
        let sent = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&sent);
        let part = Bytes::from(vec![b'x'; 1 << 16]);
        let parts = stream::iter(0..LARGE / part.len()).map(move |_| {
            counted.fetch_add(part.len(), Ordering::Relaxed);
            Ok::<_, std::convert::Infallible>(Frame::data(part.clone()))
        });
        let large = Request::post(format!("https://{host}/large"))
            .header("origin", world.origin(MINE))
            .header("cookie", &session)
            .header("content-length", LARGE);
        let body = StreamBody::new(parts);
        let before = resident();
        let answer = if version == 1 {
            let large = large.header("host", &host).body(body).unwrap();
            let stream = TokioIo::new(world.tls(&host, b"http/1.1").await);
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            tokio::spawn(sender.send_request(large))
        } else {
            let large = large.body(body).unwrap();
            let stream = TokioIo::new(world.tls(&host, b"h2").await);
            let executor = TokioExecutor::new();
            let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, stream)
                .await
                .unwrap();
            tokio::spawn(connection);
            tokio::spawn(async move { sender.send_request(large).await })
        };
        for _ in 0..RESTS {
            for _ in 0..3 {
                let other = world.send(get(&host, "/other", &session)).await;
                assert_eq!(other.status(), 200);
            }
            let sent = sent.load(Ordering::Relaxed);
            let waiting = sent.saturating_sub(taken.load(Ordering::Relaxed));
            assert!(waiting < ON_THE_WAY, "{waiting} bytes by HTTP/{version}");
            permits.add_permits(1);
        }
        assert!(sent.load(Ordering::Relaxed) > 0);
        is_flat(before);
        permits.add_permits(LARGE);
        let answer = patient(answer).await.unwrap().unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(taken.load(Ordering::Relaxed), LARGE);
        permits.forget_permits(LARGE);
        is_flat(before);
    }
}
