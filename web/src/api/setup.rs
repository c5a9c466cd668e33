//! The first administrator, made with the one-time link.

use axum::extract::State;
use axum::response::Response;
use kalpana_auth::NewAccount;
use serde::Deserialize;
use utoipa::ToSchema;

use super::session::signed_in;
use crate::error::ApiResult;
use crate::extract::Json;
use crate::request::RequestContext;
use crate::state::AppState;
use crate::view::SignedInView;

/// The first administrator.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setup {
    /// The secret of the setup link.
    token: String,
    /// The address to sign in with.
    #[schema(format = Email)]
    email: String,
    /// The name shown to people.
    name: String,
    /// The password.
    #[schema(format = Password)]
    password: String,
}

/// Makes the first administrator and signs them in
#[utoipa::path(
    post,
    path = "/api/setup",
    tag = "site",
    request_body = Setup,
    responses((status = 201, description = "Made and signed in", body = SignedInView))
)]
pub(crate) async fn setup(
    State(state): State<AppState>,
    context: RequestContext,
    Json(wish): Json<Setup>,
) -> ApiResult<Response> {
    let account = NewAccount {
        email: wish.email,
        name: wish.name,
        password: wish.password,
    };
    let made = state
        .accounts
        .complete_setup(&wish.token, account, &context.client())
        .await?;
    signed_in(&state, &made)
}
