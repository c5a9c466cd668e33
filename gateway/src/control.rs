//! The control socket: what `web` and the operator's command line ask of the gateway.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path as Segments, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use kalpana_link::{Listener, PeerPolicy, server};
use kalpana_protocol::certificates::{Certificate, Certificates, Happening, Issue, Problem};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::newcomers::Newcomers;

/// Mode of the socket: for our user and the group of the run directory.
const MODE: u32 = 0o660;

/// How often a socket that is not free yet is tried again: the process before has it until it has
/// handed over.
const FREE_CHECK: Duration = Duration::from_millis(100);

/// Most bytes that are asked with.
const BODY_LIMIT: usize = 64 << 10;

/// Serves the control socket until `shutdown`.
pub async fn serve(
    path: &Path,
    policy: PeerPolicy,
    newcomers: Arc<Newcomers>,
    shutdown: CancellationToken,
) {
    let mut has_failed = false;
    let listener = loop {
        match Listener::bind(path, MODE, policy.clone()) {
            Ok(listener) => break listener,
            Err(error) => {
                if !std::mem::replace(&mut has_failed, true) {
                    tracing::debug!(%error, "the control socket is not free yet: {error}");
                }
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(FREE_CHECK) => {}
        }
    };
    server::serve(listener, router(newcomers), shutdown).await;
}

fn router(newcomers: Arc<Newcomers>) -> Router {
    Router::new()
        .route("/v1/certificates", get(list).post(issue))
        .route("/v1/certificates/{id}/renew", post(renew))
        .route("/v1/certificates/{id}/revoke", post(revoke))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(newcomers)
}

async fn list(State(newcomers): State<Arc<Newcomers>>) -> Json<Certificates> {
    Json(newcomers.certs().list())
}

/// In whose name something is asked.
#[derive(Deserialize)]
struct Asking {
    by: Option<String>,
}

impl Asking {
    /// Writes down what is asked, unless `web` has, before it is done.
    fn note(&self, newcomers: &Newcomers, what: Happening, name: &str) {
        if self.by.as_deref() != Some("web") {
            newcomers.certs().note_request(what, name);
        }
    }
}

async fn issue(
    State(newcomers): State<Arc<Newcomers>>,
    Query(asking): Query<Asking>,
    Json(asked): Json<Issue>,
) -> Response {
    asking.note(&newcomers, Happening::OrderAsked, &asked.name);
    let exists = |host: &str| newcomers.exists(host);
    let name = asked.name.to_ascii_lowercase();
    answer(newcomers.certs().issue(&name, &exists).await)
}

async fn renew(
    State(newcomers): State<Arc<Newcomers>>,
    Segments(id): Segments<String>,
    Query(asking): Query<Asking>,
) -> Response {
    asking.note(&newcomers, Happening::RenewalAsked, &id);
    answer(newcomers.certs().renew(&id).await)
}

async fn revoke(
    State(newcomers): State<Arc<Newcomers>>,
    Segments(id): Segments<String>,
    Query(asking): Query<Asking>,
) -> Response {
    asking.note(&newcomers, Happening::RevocationAsked, &id);
    answer(newcomers.certs().revoke(&id).await)
}

fn answer(result: Result<Certificate, Problem>) -> Response {
    match result {
        Ok(certificate) => Json(certificate).into_response(),
        Err(problem) => (status(&problem.code), Json(problem)).into_response(),
    }
}

/// What is wrong with what was asked is the caller's; what the authority did is not.
fn status(code: &str) -> StatusCode {
    match code {
        "certificate_unknown" | "certificate_no_host" => StatusCode::NOT_FOUND,
        "certificate_budget" => StatusCode::TOO_MANY_REQUESTS,
        code if code.starts_with("certificate_") => StatusCode::CONFLICT,
        _ => StatusCode::BAD_GATEWAY,
    }
}
