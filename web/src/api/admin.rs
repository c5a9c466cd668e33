//! People, managed by administrators.

use axum::extract::State;
use http::StatusCode;
use kalpana_auth::NewAccount;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Paging;
use crate::error::ApiResult;
use crate::extract::{Administrator, Json, Query};
use crate::request::RequestContext;
use crate::state::AppState;
use crate::view::{RoleName, SignedInView, UserView, UsersPage};

/// A person to be given an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserRequest {
    /// The address they will sign in with.
    #[schema(format = Email)]
    email: String,
    /// The name shown to people.
    name: String,
    /// Their first password.
    #[schema(format = Password)]
    password: String,
    /// What they may do.
    role: RoleName,
}

/// Lists people, oldest first
#[utoipa::path(
    get,
    path = "/api/admin/users",
    tag = "administration",
    security(("session" = []), ("token" = ["users:write"])),
    params(Paging),
    responses((status = 200, body = UsersPage))
)]
pub(crate) async fn users(
    State(state): State<AppState>,
    Administrator(by): Administrator,
    Query(paging): Query<Paging>,
) -> ApiResult<axum::Json<UsersPage>> {
    let page = state
        .accounts
        .users(&by.principal, paging.into_request()?)
        .await?;
    Ok(axum::Json(page.into()))
}

/// Makes an account
#[utoipa::path(
    post,
    path = "/api/admin/users",
    tag = "administration",
    security(("session" = []), ("token" = ["users:write"])),
    request_body = UserRequest,
    responses((status = 201, body = SignedInView))
)]
pub(crate) async fn create_user(
    State(state): State<AppState>,
    context: RequestContext,
    Administrator(by): Administrator,
    Json(wish): Json<UserRequest>,
) -> ApiResult<(StatusCode, axum::Json<SignedInView>)> {
    let account = NewAccount {
        email: wish.email,
        name: wish.name,
        password: wish.password,
    };
    let user = state
        .accounts
        .create_user(&by.principal, account, wish.role.into(), &context.client())
        .await?;
    let body = SignedInView {
        user: UserView::from(&user),
    };
    Ok((StatusCode::CREATED, axum::Json(body)))
}
