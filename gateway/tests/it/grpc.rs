//! gRPC: HTTP/2 from end to end, in both directions at once, and trailers last.

use std::io;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::BufReader;

use crate::bridge::{Bridge, Recorded};
use crate::client::{get, text};
use crate::world::{MINE, World, patient};

fn port() -> String {
    format!("5051-{MINE}")
}

/// Serves HTTP/2: says back what it is sent, piece by piece, and ends with trailers.
pub(crate) async fn serve(stream: BufReader<Recorded>) -> io::Result<()> {
    let mut connection = h2::server::handshake(stream).await.map_err(other)?;
    let mut calls = tokio::task::JoinSet::new();
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted.map_err(other)?;
        calls.spawn(async move {
            let (head, mut body) = request.into_parts();
            let answer = Response::builder().header("content-type", "application/grpc");
            let seen = ["te", "x-mine", "x-forwarded-proto", "cookie"]
                .map(|name| head.headers.get(name).map_or("-", |v| v.to_str().unwrap()))
                .join(" ");
            let answer = answer
                .header("x-seen", seen)
                .header("x-authority", head.uri.authority().unwrap().as_str());
            let mut sender = respond
                .send_response(answer.body(()).unwrap(), false)
                .unwrap();
            while let Some(Ok(piece)) = body.data().await {
                body.flow_control().release_capacity(piece.len()).unwrap();
                if sender.send_data(piece, false).is_err() {
                    return;
                }
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            trailers.insert("grpc-message", "done".parse().unwrap());
            // The client may be gone.
            let _ = sender.send_trailers(trailers);
        });
    }
    Ok(())
}

fn other(error: h2::Error) -> io::Error {
    io::Error::other(error)
}

impl World {
    async fn grpc(&self, host: &str) -> SendRequest<Bytes> {
        let stream = self.tls(host, b"h2").await;
        let (sender, connection) = patient(h2::client::handshake(stream)).await.unwrap();
        tokio::spawn(connection);
        patient(sender.ready()).await.unwrap()
    }
}

/// Begins a call; returns where to send messages, and the answer's head and body.
async fn call(
    sender: &mut SendRequest<Bytes>,
    host: &str,
    session: &str,
) -> (SendStream<Bytes>, Response<RecvStream>) {
    let request = Request::builder()
        .method("POST")
        .uri(format!("https://{host}/echo.Echo/Talk"))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .header("x-mine", "arrives")
        .header("cookie", session)
        .body(())
        .unwrap();
    let (answer, messages) = sender.send_request(request, false).unwrap();
    (messages, patient(answer).await.unwrap())
}

async fn said(body: &mut RecvStream) -> Option<Result<Bytes, h2::Error>> {
    let piece = patient(body.data()).await;
    if let Some(Ok(piece)) = &piece {
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    piece
}

#[tokio::test]
async fn a_call_that_streams_both_ways_ends_with_its_trailers() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let host = world.host(&port());
    let session = world.sign_in(&port(), 1).await;
    let mut sender = world.grpc(&host).await;
    for _ in 0..2 {
        let (mut messages, answer) = call(&mut sender, &host, &session).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-seen"], "trailers arrives https -");
        assert_eq!(answer.headers()["x-authority"], host);
        let mut body = answer.into_body();
        for message in ["first", "second"] {
            messages.send_data(message.into(), false).unwrap();
            assert_eq!(said(&mut body).await.unwrap().unwrap(), message);
        }
        messages.send_data(Bytes::new(), true).unwrap();
        while said(&mut body).await.is_some() {}
        let trailers = patient(body.trailers()).await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers["grpc-message"], "done");
    }
    // What speaks HTTP/1 at the same port has connections of its own.
    let answer = world.send(get(&host, "/echo", &session)).await;
    assert!(text(&answer).starts_with("GET /echo HTTP/1.1\r\n"));
    let first_words: Vec<String> = bridge
        .arrived
        .lock()
        .unwrap()
        .iter()
        .map(|arrived| arrived.text().chars().take(4).collect())
        .collect();
    assert!(first_words.contains(&"PRI ".to_owned()), "{first_words:?}");
    assert_eq!(first_words.last().unwrap(), "GET ");
}

#[tokio::test]
async fn a_call_ends_with_the_session_and_takes_no_other_call_with_it() {
    let mut world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let host = world.host(&port());
    let first = world.sign_in(&port(), 1).await;
    let ended = world.session;
    world.session = kalpana_domain::id::SessionId::generate();
    let second = world.sign_in(&port(), 1).await;
    // Both come over one connection, as those of one client do.
    let mut sender = world.grpc(&host).await;
    let (mut to_first, answer) = call(&mut sender, &host, &first).await;
    let mut of_first = answer.into_body();
    let (mut to_second, answer) = call(&mut sender, &host, &second).await;
    let mut of_second = answer.into_body();
    to_first.send_data("one".into(), false).unwrap();
    assert_eq!(said(&mut of_first).await.unwrap().unwrap(), "one");
    world.revoke(ended).await;
    let end = said(&mut of_first).await;
    assert!(!matches!(end, Some(Ok(_))), "{end:?}");
    assert!(!matches!(patient(of_first.trailers()).await, Ok(Some(_))));
    to_second.send_data("two".into(), false).unwrap();
    assert_eq!(said(&mut of_second).await.unwrap().unwrap(), "two");
}

#[tokio::test]
async fn a_call_without_a_session_arrives_nowhere() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let host = world.host(&port());
    let mut sender = world.grpc(&host).await;
    let request = Request::builder()
        .method("POST")
        .uri(format!("https://{host}/echo.Echo/Talk"))
        .header("content-type", "application/grpc")
        .body(())
        .unwrap();
    let (answer, _) = sender.send_request(request, true).unwrap();
    assert_eq!(patient(answer).await.unwrap().status(), 401);
    assert_eq!(bridge.text(), "");
}
