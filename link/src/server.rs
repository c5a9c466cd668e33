//! Serves an axum router on an internal socket.

mod lent;

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use self::lent::Lent;
use crate::listener::Listener;
use crate::peer::PeerPolicy;

/// How long requests may go on after shutdown was asked for.
const GRACE: Duration = Duration::from_secs(5);

/// Says when the server is asked to stop. Every request carries it as an extension, so that streams
/// without an end can end then.
#[derive(Debug, Clone)]
pub struct Stopping(pub CancellationToken);

/// Longest wait for a whole request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves `router` until `shutdown`, then lets running requests end for a short while.
///
/// Requests that lack the policy's token are answered 401 before the router sees them.
pub async fn serve(listener: Listener, router: Router, shutdown: CancellationToken) {
    // Ended with this future, however it ends: no connection outlives the listener.
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: breathe, then go on.
                    tracing::error!(%error, "could not accept on an internal socket: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let policy = listener.policy().clone();
        let router = router
            .clone()
            .layer(axum::Extension(Stopping(shutdown.clone())));
        let shutdown = shutdown.clone();
        connections.spawn(async move {
            let service =
                hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                    let (policy, router) = (policy.clone(), router.clone());
                    async move { Ok::<_, Infallible>(answer(&policy, router, request).await) }
                });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            tokio::pin!(connection);
            tokio::select! {
                result = &mut connection => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "an internal connection ended early: {error}");
                    }
                }
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(GRACE, connection).await;
                }
            }
        });
    }
    let all_ended = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GRACE, all_ended).await;
}

async fn answer(
    policy: &PeerPolicy,
    router: Router,
    mut request: Request<hyper::body::Incoming>,
) -> Response {
    // Our own header: the router behind must see only what the caller says on its own behalf.
    let authorization = request
        .headers()
        .get(PeerPolicy::HEADER)
        .and_then(|v| v.to_str().ok());
    if !policy.accepts(authorization) {
        return (
            StatusCode::UNAUTHORIZED,
            "the internal token is missing or wrong",
        )
            .into_response();
    }
    request.headers_mut().remove(PeerPolicy::HEADER);
    let (parts, body) = request.into_parts();
    let (lent, left) = Lent::new(body);
    let request = Request::from_parts(parts, Body::new(lent));
    let mut response = match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if !left.use_up().await {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

impl PeerPolicy {
    /// Header of the internal token. Not `Authorization`, which a request that the gateway passes
    /// on to web carries for its own purposes.
    pub const HEADER: &'static str = "x-kalpana-internal";
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;
    use tokio::sync::Notify;

    use super::*;

    /// Reads until this many answers have begun.
    async fn answers(stream: &mut UnixStream, count: usize) -> String {
        let mut text = String::new();
        while text.matches("HTTP/1.1 503").count() < count || !text.ends_with("\r\n\r\n") {
            let mut part = [0; 1024];
            let length = stream.read(&mut part).await.unwrap();
            assert_ne!(length, 0, "closed after {text:?}");
            text.push_str(std::str::from_utf8(&part[..length]).unwrap());
        }
        text
    }

    #[tokio::test]
    async fn a_refusal_before_the_body_does_not_cost_the_next_request() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.sock");
        let listener = Listener::bind(&path, 0o600, PeerPolicy::same_user(None)).unwrap();
        let refused = Arc::new(Notify::new());
        let refuse = Arc::clone(&refused);
        let router = Router::new().fallback(async move || {
            refuse.notify_one();
            StatusCode::SERVICE_UNAVAILABLE
        });
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, router, shutdown.clone()));

        let mut stream = UnixStream::connect(&path).await.unwrap();
        let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n";
        stream.write_all(head).await.unwrap();
        refused.notified().await;
        stream.write_all(b"body").await.unwrap();
        let text = answers(&mut stream, 1).await;
        assert!(!text.contains("connection: close"), "{text}");
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        answers(&mut stream, 1).await;

        // One that is too long to be thrown away ends the connection, and says so.
        let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4000000\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let text = answers(&mut stream, 1).await;
        assert!(text.contains("connection: close"), "{text}");
        shutdown.cancel();
        serving.await.unwrap();
    }
}
