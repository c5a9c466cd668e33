//! What the gateway says happened to certificates, written into the audit log.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use kalpana_domain::audit::{Actor, AuditAction, AuditEvent};
use kalpana_domain::id::AuditId;
use kalpana_protocol::certificates::{Happened, Happening};
use kalpana_store::{Store, StoreError};

/// Longest name of a certificate, and longest detail. Unit: bytes.
const TEXT_LIMIT: usize = 1024;

/// Returns what gateways call, below `/v1/certificates`.
pub(crate) fn router(store: Store) -> Router {
    Router::new()
        .route("/happened", post(write))
        .with_state(store)
}

async fn write(State(store): State<Store>, Json(happened): Json<Happened>) -> Response {
    let Some(event) = event(happened) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    match store.append_audit(event).await {
        // It is there from an earlier time, or from another gateway.
        Ok(()) | Err(StoreError::Conflict { what: "audit" }) => {
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => {
            tracing::warn!(%error, "what happened to certificates cannot be kept: {error}");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// Makes an entry of the log of it; `None` when it is not one.
fn event(happened: Happened) -> Option<AuditEvent> {
    let (actor, action) = match happened.what {
        Happening::OrderAsked => (Actor::Console, AuditAction::CertificateOrder),
        Happening::RenewalAsked => (Actor::Console, AuditAction::CertificateRenew),
        Happening::RevocationAsked => (Actor::Console, AuditAction::CertificateRevoke),
        Happening::Replaced => (Actor::System, AuditAction::CertificateReplace),
        Happening::Revoked => (Actor::System, AuditAction::CertificateVoid),
        Happening::Failed => (Actor::System, AuditAction::CertificateFail),
        Happening::Ending => (Actor::System, AuditAction::CertificateEnd),
    };
    let subject = match happened.detail {
        Some(detail) => format!("{} {detail}", happened.certificate),
        None => happened.certificate,
    };
    let is_text = subject.len() <= TEXT_LIMIT && !subject.chars().any(char::is_control);
    Some(AuditEvent {
        id: AuditId::parse(&happened.id).ok().filter(|_| is_text)?,
        at: happened.at,
        organization: None,
        actor,
        action,
        subject,
        address: None,
        request_id: None,
    })
}
