//! API tokens: listed, made, revoked, by a person who is signed in.

use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use kalpana_auth::{AuthError, NewToken};
use kalpana_domain::id::TokenId;
use kalpana_domain::user::Scope;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{ApiError, ApiResult, sentence};
use crate::extract::{Json, Named, NoBody, Signed};
use crate::request::RequestContext;
use crate::state::AppState;
use crate::view::{CreatedToken, ScopeName, TokenView};

/// A person's tokens that can still be used, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tokens {
    /// The tokens, without their secrets.
    tokens: Vec<TokenView>,
}

/// A token that somebody wants.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    /// What to call it.
    name: String,
    /// What it may be used for.
    #[schema(value_type = Vec<ScopeName>)]
    scopes: Vec<String>,
    /// Days until it ends; the site's default when absent.
    expires_in_days: Option<u32>,
}

/// Lists the caller's tokens
#[utoipa::path(
    get,
    path = "/api/tokens",
    tag = "tokens",
    security(("session" = [])),
    responses((status = 200, body = Tokens))
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    signed: Signed,
) -> ApiResult<axum::Json<Tokens>> {
    let tokens = state.accounts.tokens(&signed.by.principal).await?;
    Ok(axum::Json(Tokens {
        tokens: tokens.iter().map(TokenView::from).collect(),
    }))
}

/// Makes a token
///
/// Its text is in this answer and nowhere else.
#[utoipa::path(
    post,
    path = "/api/tokens",
    tag = "tokens",
    security(("session" = [])),
    request_body = TokenRequest,
    responses((status = 201, body = CreatedToken))
)]
pub(crate) async fn create(
    State(state): State<AppState>,
    context: RequestContext,
    signed: Signed,
    Json(wish): Json<TokenRequest>,
) -> ApiResult<(StatusCode, axum::Json<CreatedToken>)> {
    let scopes = wish
        .scopes
        .iter()
        .map(|scope| scope.parse::<Scope>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|unknown| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "invalid_token_scopes",
                sentence(&unknown.to_string()),
            )
        })?;
    let lifetime = wish
        .expires_in_days
        .map(|days| Duration::from_secs(u64::from(days) * 86_400));
    let new = NewToken {
        name: wish.name,
        scopes,
        lifetime,
    };
    let issued = state
        .accounts
        .create_token(&signed.by.principal, new, &context.client())
        .await?;
    let created = CreatedToken {
        token: issued.text.expose().to_owned(),
        details: TokenView::from(&issued.token),
    };
    Ok((StatusCode::CREATED, axum::Json(created)))
}

/// Revokes a token
#[utoipa::path(
    delete,
    path = "/api/tokens/{id}",
    tag = "tokens",
    security(("session" = [])),
    params(("id" = String, Path, description = "The token's id", format = Uuid)),
    responses((status = 204, description = "Revoked"))
)]
pub(crate) async fn revoke(
    State(state): State<AppState>,
    context: RequestContext,
    signed: Signed,
    Named(id): Named,
    NoBody: NoBody,
) -> ApiResult<StatusCode> {
    let id = TokenId::parse(&id).map_err(|_| AuthError::TokenNotFound)?;
    state
        .accounts
        .revoke_token(&signed.by.principal, id, &context.client())
        .await?;
    state.sessions.revoke_token(id);
    Ok(StatusCode::NO_CONTENT)
}
