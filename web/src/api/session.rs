//! Signing in, asking who is signed in, signing out.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use kalpana_auth::SignedIn;
use kalpana_auth::cookie::Cookie;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::error::{ApiError, ApiResult};
use crate::extract::{CurrentUser, Json, NoBody, Signed};
use crate::request::RequestContext;
use crate::state::AppState;
use crate::view::{SessionView, SignedInView, UserView};

/// Who signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// The address of the account.
    #[schema(format = Email)]
    email: String,
    /// Its password.
    #[schema(format = Password)]
    password: String,
}

/// Signs in
#[utoipa::path(
    post,
    path = "/api/session",
    tag = "session",
    request_body = Credentials,
    responses((status = 201, description = "Signed in; sets the session cookie", body = SignedInView))
)]
pub(crate) async fn sign_in(
    State(state): State<AppState>,
    context: RequestContext,
    Json(wish): Json<Credentials>,
) -> ApiResult<Response> {
    let made = state
        .accounts
        .sign_in(&wish.email, &wish.password, &context.client())
        .await?;
    signed_in(&state, &made)
}

/// Says who is signed in
#[utoipa::path(
    get,
    path = "/api/session",
    tag = "session",
    security(("session" = []), ("token" = [])),
    responses((status = 200, body = SessionView))
)]
pub(crate) async fn show(CurrentUser(by): CurrentUser) -> axum::Json<SessionView> {
    axum::Json(SessionView {
        user: UserView::from(&by.user),
        expires_at: by.expires_at,
    })
}

/// Signs out, here and on every workspace host
///
/// Answers when every connected gateway has confirmed that it refuses the session, or after a
/// second.
#[utoipa::path(
    delete,
    path = "/api/session",
    tag = "session",
    security(("session" = [])),
    responses((status = 204, description = "Signed out"))
)]
pub(crate) async fn sign_out(
    State(state): State<AppState>,
    context: RequestContext,
    signed: Signed,
    NoBody: NoBody,
) -> ApiResult<Response> {
    // To its end even when the client hangs up now: a session that the store calls ended must be
    // one that the gateway refuses.
    let task_state = state.clone();
    let ending = state.tasks.spawn(async move {
        task_state
            .accounts
            .sign_out(&signed.by.principal, &context.client())
            .await?;
        task_state.sessions.revoke(signed.session).await;
        Ok::<_, kalpana_auth::AuthError>(())
    });
    ending.await.map_err(ApiError::internal)??;
    let cookie = cookie_value(&Cookie::Session.clear())?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// Answers with a new session's cookie.
pub(super) fn signed_in(state: &AppState, made: &SignedIn) -> ApiResult<Response> {
    let cookie = Cookie::Session.set(made.secret.expose(), state.accounts.session_max_age());
    let body = axum::Json(SignedInView {
        user: UserView::from(&made.user),
    });
    let cookie = cookie_value(&cookie)?;
    Ok((StatusCode::CREATED, [(header::SET_COOKIE, cookie)], body).into_response())
}

pub(super) fn cookie_value(text: &str) -> ApiResult<HeaderValue> {
    HeaderValue::from_str(text).map_err(ApiError::internal)
}
