//! A gateway's control socket that shows two certificates and does what it is told.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use kalpana_domain::Timestamp;
use kalpana_link::{Listener, PeerPolicy, server};
use kalpana_protocol::certificates::{Certificate, CertificateState, Certificates, Problem, Shown};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::in_time;

#[derive(Clone, Default)]
struct Desk {
    calls: Arc<Mutex<Vec<(String, String)>>>,
    refusal: Arc<Mutex<Option<(StatusCode, String)>>>,
}

/// The gateway.
pub(crate) struct Gateway {
    desk: Desk,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Gateway {
    pub(crate) fn start(site: &kalpana_config::Site) -> Self {
        let policy = PeerPolicy::same_user(None);
        let listener = Listener::bind(&site.gateway_control_socket(), 0o660, policy).unwrap();
        let desk = Desk::default();
        let routes = Router::new()
            .route("/v1/certificates", get(list))
            .route("/v1/certificates/{id}/{what}", post(change))
            .layer(from_fn_with_state(desk.clone(), note))
            .with_state(desk.clone());
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(server::serve(listener, routes, shutdown.clone()));
        Self {
            desk,
            shutdown,
            serving,
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        in_time(self.serving).await.unwrap();
    }

    /// Returns what was asked so far: method and path, and the request's id.
    pub(crate) fn calls(&self) -> Vec<(String, String)> {
        self.desk.calls.lock().unwrap().clone()
    }

    /// Makes every call be refused from now on, with this body.
    pub(crate) fn refuse(&self, status: u16, body: String) {
        let status = StatusCode::from_u16(status).unwrap();
        *self.desk.refusal.lock().unwrap() = Some((status, body));
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// What failed at the authority.
pub(crate) fn problem(code: &str) -> Problem {
    Problem {
        code: code.to_owned(),
        message: "a CAA record forbids this authority".to_owned(),
        next_step: "Add the authority to the CAA records.".to_owned(),
        at: at("2026-11-01T00:00:00Z"),
        failures: 3,
        retry_at: Some(at("2026-11-02T00:00:00Z")),
    }
}

/// The site's own certificate, of which the next cannot be had.
pub(crate) fn failing() -> Certificate {
    Certificate {
        id: "_.kalpana.localhost".to_owned(),
        names: vec!["*.kalpana.localhost".to_owned()],
        source: "acme".to_owned(),
        state: CertificateState::Failing,
        served: Some(Shown {
            issuer: "R11".to_owned(),
            serial: "0a".to_owned(),
            not_before: at("2026-09-01T00:00:00Z"),
            not_after: at("2026-12-01T00:00:00Z"),
            chain_length: 2,
            fingerprint: "ff".to_owned(),
        }),
        next_renewal: Some(at("2026-11-02T00:00:00Z")),
        step: Some("the authority looks for the record".to_owned()),
        problem: Some(problem("acme_caa")),
    }
}

fn missing() -> Certificate {
    Certificate {
        id: "abcdefghij01.kalpana.localhost".to_owned(),
        names: vec!["abcdefghij01.kalpana.localhost".to_owned()],
        state: CertificateState::Missing,
        served: None,
        next_renewal: None,
        step: None,
        problem: None,
        ..failing()
    }
}

async fn note(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    let id = request.headers().get("x-request-id");
    let id = id.map(|id| id.to_str().unwrap().to_owned());
    let call = format!("{} {}", request.method(), request.uri());
    desk.calls
        .lock()
        .unwrap()
        .push((call, id.unwrap_or_default()));
    let refusal = desk.refusal.lock().unwrap().clone();
    match refusal {
        Some((status, body)) => (status, body).into_response(),
        None => next.run(request).await,
    }
}

async fn list() -> Json<Certificates> {
    Json(Certificates {
        certificates: vec![failing(), missing()],
        on_demand_left: Some(44),
    })
}

/// After a change all is well.
async fn change(Path((id, _)): Path<(String, String)>) -> Json<Certificate> {
    Json(Certificate {
        id,
        state: CertificateState::Good,
        step: None,
        problem: None,
        ..failing()
    })
}
