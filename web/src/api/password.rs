//! Changing one's password.

use axum::extract::State;
use http::StatusCode;
use kalpana_auth::{AuthError, NewPassword};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::error::{ApiError, ApiResult};
use crate::extract::{Json, Signed};
use crate::request::RequestContext;
use crate::state::AppState;

/// A password that somebody wants instead of theirs.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordRequest {
    /// The password so far.
    #[schema(format = Password)]
    current: String,
    /// The password from now on.
    #[schema(format = Password)]
    new: String,
    /// Whether the person's API tokens are to be revoked too. They stay otherwise.
    #[serde(default)]
    revoke_tokens: bool,
}

/// Changes the caller's password
///
/// Ends all their other sessions, here and on every workspace host. API tokens stay unless
/// `revoke_tokens` is set. Answers when every connected gateway has confirmed that it refuses the
/// sessions, or after a second.
#[utoipa::path(
    put,
    path = "/api/password",
    tag = "session",
    security(("session" = [])),
    request_body = PasswordRequest,
    responses((status = 204, description = "Changed"))
)]
pub(crate) async fn change(
    State(state): State<AppState>,
    context: RequestContext,
    signed: Signed,
    Json(wish): Json<PasswordRequest>,
) -> ApiResult<StatusCode> {
    let wish = NewPassword {
        current: wish.current,
        new: wish.new,
        revoke_tokens: wish.revoke_tokens,
    };
    // To its end even when the client hangs up now, as a sign-out.
    let task_state = state.clone();
    let changing = state.tasks.spawn(async move {
        let ended = task_state
            .accounts
            .change_password(&signed.by.principal, wish, &context.client())
            .await?;
        for token in ended.tokens {
            task_state.sessions.revoke_token(token);
        }
        task_state.sessions.revoke_all(&ended.sessions).await;
        Ok::<_, AuthError>(())
    });
    changing.await.map_err(ApiError::internal)??;
    Ok(StatusCode::NO_CONTENT)
}
