//! The gateway's certificates, looked after by administrators.

use axum::extract::State;
use kalpana_domain::audit::AuditAction;

use crate::certificates::Wanted;
use crate::error::{ApiError, ApiResult};
use crate::extract::{Administrator, Named, NoBody};
use crate::request::RequestContext;
use crate::state::AppState;
use crate::view::certificates::{CertificateView, CertificatesView};

/// Longest name of a certificate. Unit: bytes.
const ID_LIMIT: usize = 255;

/// Lists the certificates, the site's own first
#[utoipa::path(
    get,
    path = "/api/admin/certificates",
    tag = "administration",
    security(("session" = []), ("token" = ["users:write"])),
    responses((status = 200, body = CertificatesView))
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    context: RequestContext,
    _by: Administrator,
) -> ApiResult<axum::Json<CertificatesView>> {
    let all = state.gateway.certificates(&context).await?;
    Ok(axum::Json(all.into()))
}

/// Orders a new certificate now
///
/// Answers when it is there, or could not be had: after seconds or minutes.
#[utoipa::path(
    post,
    path = "/api/admin/certificates/{id}/renew",
    tag = "administration",
    security(("session" = []), ("token" = ["users:write"])),
    params(("id" = String, Path, description = "What the list calls it")),
    responses((status = 200, body = CertificateView))
)]
pub(crate) async fn renew(
    State(state): State<AppState>,
    Named(id): Named,
    context: RequestContext,
    by: Administrator,
    NoBody: NoBody,
) -> ApiResult<axum::Json<CertificateView>> {
    change(&state, &id, Wanted::Renew, &context, &by).await
}

/// Has the authority declare a certificate void, and orders another with another key
///
/// The old one is served until the new one is there.
#[utoipa::path(
    post,
    path = "/api/admin/certificates/{id}/revoke",
    tag = "administration",
    security(("session" = []), ("token" = ["users:write"])),
    params(("id" = String, Path, description = "What the list calls it")),
    responses((status = 200, body = CertificateView))
)]
pub(crate) async fn revoke(
    State(state): State<AppState>,
    Named(id): Named,
    context: RequestContext,
    by: Administrator,
    NoBody: NoBody,
) -> ApiResult<axum::Json<CertificateView>> {
    change(&state, &id, Wanted::Revoke, &context, &by).await
}

async fn change(
    state: &AppState,
    id: &str,
    wanted: Wanted,
    context: &RequestContext,
    Administrator(by): &Administrator,
) -> ApiResult<axum::Json<CertificateView>> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if id.is_empty() || id.len() > ID_LIMIT || !id.bytes().all(is_name) {
        return Err(ApiError::invalid_request(
            "That is not the name of a certificate.",
        ));
    }
    let action = match wanted {
        Wanted::Renew => AuditAction::CertificateRenew,
        Wanted::Revoke => AuditAction::CertificateRevoke,
    };
    // Written down first, so that nothing is done unseen.
    let event = state
        .accounts
        .event_by(&by.principal, action, id.to_owned(), &context.client());
    state.store.append_audit(event).await?;
    let new = state.gateway.ask(id, wanted, context).await?;
    Ok(axum::Json(new.into()))
}
