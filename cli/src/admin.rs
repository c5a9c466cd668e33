//! `/metrics`, `/healthz` and `/readyz` of one role, on a loopback port.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus::{Encoder, Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often a port that is not free yet is tried again.
const FREE_CHECK: Duration = Duration::from_millis(100);

#[derive(Clone)]
struct Shown {
    registry: Registry,
    ready: watch::Receiver<bool>,
    needs: &'static str,
}

/// Binds the port.
///
/// # Errors
/// If it is taken, with the setting that moves it.
pub(crate) async fn bind(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot serve metrics on {address}\n\
             hint: another program has the port; set {setting} to a free one, or to 0 to pick any"
        )
    })
}

/// Binds the port as soon as the process that has it lets go; `None` when `shutdown` comes first.
pub(crate) async fn bind_when_free(
    address: SocketAddr,
    shutdown: &CancellationToken,
) -> Option<TcpListener> {
    loop {
        if let Ok(listener) = TcpListener::bind(address).await {
            return Some(listener);
        }
        tokio::select! {
            () = shutdown.cancelled() => return None,
            () = tokio::time::sleep(FREE_CHECK) => {}
        }
    }
}

/// Serves until `shutdown`. `needs` says what the role waits for while it is not ready.
pub(crate) async fn serve(
    listener: TcpListener,
    registry: Registry,
    ready: watch::Receiver<bool>,
    needs: &'static str,
    shutdown: CancellationToken,
) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .with_state(Shown {
            registry,
            ready,
            needs,
        });
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(async move { shutdown.cancelled().await })
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "metrics and health are no longer served: {error}");
    }
}

async fn metrics(State(shown): State<Shown>) -> impl IntoResponse {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&shown.registry.gather(), &mut text) {
        Ok(()) => {
            let content_type = encoder.format_type().to_owned();
            ([(header::CONTENT_TYPE, content_type)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn readiness(State(shown): State<Shown>) -> impl IntoResponse {
    if *shown.ready.borrow() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        let text = format!("not ready: {}\n", shown.needs);
        (StatusCode::SERVICE_UNAVAILABLE, text)
    }
}
