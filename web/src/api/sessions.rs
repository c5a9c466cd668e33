//! Where a person is signed in: listed and ended, by themselves.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use kalpana_auth::AuthError;
use kalpana_auth::cookie::Cookie;
use kalpana_domain::id::SessionId;
use serde::Serialize;
use utoipa::ToSchema;

use super::session::cookie_value;
use crate::error::{ApiError, ApiResult};
use crate::extract::{Named, NoBody, Signed};
use crate::request::RequestContext;
use crate::state::AppState;
use crate::view::PlaceView;

/// Where a person is signed in, the last used first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sessions {
    /// The sessions.
    sessions: Vec<PlaceView>,
}

/// Lists where the caller is signed in
#[utoipa::path(
    get,
    path = "/api/sessions",
    tag = "session",
    security(("session" = [])),
    responses((status = 200, body = Sessions))
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    signed: Signed,
) -> ApiResult<axum::Json<Sessions>> {
    let sessions = state.accounts.sessions(&signed.by.principal).await?;
    let sessions = sessions.into_iter();
    Ok(axum::Json(Sessions {
        sessions: sessions
            .map(|session| PlaceView::new(session, signed.session))
            .collect(),
    }))
}

/// Ends one of the caller's sessions, here and on every workspace host
///
/// Answers when every connected gateway has confirmed that it refuses the session, or after a
/// second.
#[utoipa::path(
    delete,
    path = "/api/sessions/{id}",
    tag = "session",
    security(("session" = [])),
    params(("id" = String, Path, description = "The session's id", format = Uuid)),
    responses((status = 204, description = "Ended"))
)]
pub(crate) async fn end(
    State(state): State<AppState>,
    context: RequestContext,
    signed: Signed,
    Named(id): Named,
    NoBody: NoBody,
) -> ApiResult<Response> {
    let id = SessionId::parse(&id).map_err(|_| AuthError::SessionNotFound)?;
    let own = signed.session;
    // To its end even when the client hangs up now, as a sign-out.
    let task_state = state.clone();
    let ending = state.tasks.spawn(async move {
        task_state
            .accounts
            .end_session(&signed.by.principal, id, &context.client())
            .await?;
        task_state.sessions.revoke(id).await;
        Ok::<_, AuthError>(())
    });
    ending.await.map_err(ApiError::internal)??;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if id == own {
        let cookie = cookie_value(&Cookie::Session.clear())?;
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Ends all of the caller's sessions but the one that asks
///
/// Answers when every connected gateway has confirmed that it refuses them, or after a second.
#[utoipa::path(
    delete,
    path = "/api/sessions",
    tag = "session",
    security(("session" = [])),
    responses((status = 204, description = "Ended"))
)]
pub(crate) async fn end_others(
    State(state): State<AppState>,
    context: RequestContext,
    signed: Signed,
    NoBody: NoBody,
) -> ApiResult<StatusCode> {
    let task_state = state.clone();
    let ending = state.tasks.spawn(async move {
        let ended = task_state
            .accounts
            .end_other_sessions(&signed.by.principal, &context.client())
            .await?;
        task_state.sessions.revoke_all(&ended).await;
        Ok::<_, AuthError>(())
    });
    ending.await.map_err(ApiError::internal)??;
    Ok(StatusCode::NO_CONTENT)
}
