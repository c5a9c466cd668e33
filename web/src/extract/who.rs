//! Who asks: by session cookie or by API token, never by both at once.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use kalpana_auth::Authenticated;
use kalpana_domain::id::SessionId;
use kalpana_domain::user::{Credential, Role, Scope};

use crate::error::{ApiError, ApiResult};
use crate::security::session_cookie;
use crate::state::AppState;

/// A person, or a program that speaks for one.
#[derive(Debug)]
pub(crate) struct CurrentUser(pub(crate) Authenticated);

impl CurrentUser {
    /// Demands that the credential covers `scope`.
    pub(crate) fn demand(&self, scope: Scope) -> ApiResult<()> {
        if self.0.principal.has_scope(scope) {
            Ok(())
        } else {
            Err(ApiError::insufficient_scope(scope.as_str()))
        }
    }
}

/// A person in a browser: an API token does not do.
#[derive(Debug)]
pub(crate) struct Signed {
    /// The person.
    pub(crate) by: Authenticated,
    /// Their session.
    pub(crate) session: SessionId,
}

/// Somebody who manages people.
#[derive(Debug)]
pub(crate) struct Administrator(pub(crate) Authenticated);

/// Returns the text of a `Bearer` authorization, if that is what there is.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_start())
}

/// Finds out who asks.
///
/// # Errors
/// 401 when nobody does, or somebody whom we do not know any more.
pub(crate) async fn authenticate(
    state: &AppState,
    headers: &HeaderMap,
) -> ApiResult<Authenticated> {
    if headers.contains_key(header::AUTHORIZATION) {
        let token = bearer(headers).ok_or_else(ApiError::unauthenticated)?;
        return Ok(state.accounts.authenticate_token(token).await?);
    }
    let cookie = session_cookie(headers)?.ok_or_else(ApiError::unauthenticated)?;
    state
        .accounts
        .authenticate_session(cookie)
        .await
        .map_err(|error| {
            let answer = ApiError::from(error);
            if answer.code() == "unauthenticated" {
                answer.forget_session()
            } else {
                answer
            }
        })
}

impl FromRequestParts<AppState> for CurrentUser {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
        authenticate(state, &parts.headers).await.map(Self)
    }
}

impl FromRequestParts<AppState> for Signed {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
        let by = authenticate(state, &parts.headers).await?;
        match by.principal.credential {
            Credential::Session(session) => Ok(Self { by, session }),
            Credential::Token { .. } => Err(ApiError::session_required()),
        }
    }
}

impl FromRequestParts<AppState> for Administrator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
        let user = CurrentUser::from_request_parts(parts, state).await?;
        if user.0.principal.role != Role::Administrator {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "Only administrators may do that.",
            )
            .hint("Ask an administrator of this site."));
        }
        user.demand(Scope::UsersWrite)?;
        Ok(Self(user.0))
    }
}
