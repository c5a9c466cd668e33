//! What goes wrong, as the outside sees it: a status, a stable code, a sentence and a next step.
//!
//! The internal chain of causes stays inside and is logged once, here. Handlers return an
//! [`ApiError`]; [`render`] turns it into JSON, or into a plain page outside `/api`, when the
//! response leaves, because only there the request's id is known.

mod from;
mod page;

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use kalpana_auth::cookie::Cookie;
use serde::Serialize;
use utoipa::ToSchema;

use crate::request::RequestContext;

/// How long clients should wait for what is away for a moment, unless more is known.
const AWAY: Duration = Duration::from_secs(2);

/// Result of everything a handler does.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// A refusal or a failure, on its way to the client.
#[derive(Debug, Clone)]
pub(crate) struct ApiError(Arc<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    hint: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
    forgets_session: bool,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// The body of every answer that is not a success.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// What went wrong.
    error: ProblemDetail,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemDetail {
    /// Stable and in snake_case: what programs decide by.
    #[schema(example = "workspace_not_found")]
    code: &'static str,
    /// One sentence for people.
    message: String,
    /// What to do about it, when there is something.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// Names the request in the server's logs.
    request_id: String,
}

impl ApiError {
    /// Makes an error with a sentence for people.
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Arc::new(Inner {
            status,
            code,
            message: message.into(),
            hint: None,
            retry_after: None,
            forgets_session: false,
            source: None,
        }))
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Adds the next step.
    pub(crate) fn hint(self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.change(|inner| inner.hint = Some(hint.into()))
    }

    /// Asks the client to wait before it tries again.
    pub(crate) fn retry_after(self, wait: Duration) -> Self {
        self.change(|inner| inner.retry_after = Some(wait))
    }

    /// Keeps the cause, for the log only.
    pub(crate) fn caused_by(self, source: impl Error + Send + Sync + 'static) -> Self {
        self.change(|inner| inner.source = Some(Arc::new(source)))
    }

    /// Takes the session cookie away with the answer: it is of no use any more.
    pub(crate) fn forget_session(self) -> Self {
        self.change(|inner| inner.forgets_session = true)
    }

    /// Returns the stable code.
    pub(crate) fn code(&self) -> &'static str {
        self.0.code
    }

    /// Answers a request that nobody is known to have sent.
    pub(crate) fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "You are not signed in.",
        )
        .hint("Sign in, then try again.")
    }

    /// Answers alike for a workspace that does not exist and for one that is somebody else's.
    pub(crate) fn workspace_not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "workspace_not_found",
            "There is no such workspace.",
        )
        .hint("It may have been deleted, or it belongs to somebody else.")
    }

    /// Answers for a snapshot that does not exist, or is not whole.
    pub(crate) fn snapshot_not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "snapshot_not_found",
            "There is no such snapshot.",
        )
        .hint("It may have been deleted, or it could not be taken.")
    }

    /// Answers a request that is not what the call takes.
    pub(crate) fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// Answers a cursor that no list gave out.
    pub(crate) fn invalid_cursor() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_cursor",
            "The cursor is not one this list gave out.",
        )
        .hint("Start again without a cursor.")
    }

    /// Answers a token that lacks a scope.
    pub(crate) fn insufficient_scope(scope: &'static str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "insufficient_scope",
            format!("This token may not do that: it lacks the scope {scope}."),
        )
        .hint("Create a token with that scope, or sign in.")
    }

    /// Answers what only a browser session may do.
    pub(crate) fn session_required() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "session_required",
            "An API token cannot do that.",
        )
        .hint("Sign in with e-mail and password for this.")
    }

    /// Answers a failure of ours.
    pub(crate) fn internal(source: impl Error + Send + Sync + 'static) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong on our side.",
        )
        .hint("Try again; if it stays, tell whoever runs this site the request id.")
        .caused_by(source)
    }

    /// Returns the whole seconds to wait. Whatever is unavailable says so, if only by default.
    fn retry_after_seconds(&self) -> Option<u64> {
        let is_away = self.0.status == StatusCode::SERVICE_UNAVAILABLE;
        let wait = self.0.retry_after.or(is_away.then_some(AWAY))?;
        Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).map(|seconds| seconds.max(1))
    }

    fn log(&self, context: &RequestContext) {
        let (code, request_id) = (self.0.code, context.id.as_str());
        let status = self.0.status.as_u16();
        let Some(source) = &self.0.source else {
            return;
        };
        let chain = describe(source.as_ref());
        if self.0.status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(
                request_id,
                code,
                status,
                error = chain,
                "request failed: {chain}"
            );
        } else if self.0.status.is_server_error() {
            tracing::warn!(
                request_id,
                code,
                status,
                error = chain,
                "request put off: {chain}"
            );
        } else {
            tracing::debug!(
                request_id,
                code,
                status,
                error = chain,
                "request refused: {chain}"
            );
        }
    }

    fn problem(&self, context: &RequestContext) -> Problem {
        Problem {
            error: ProblemDetail {
                code: self.0.code,
                message: self.0.message.to_string(),
                hint: self.0.hint.as_ref().map(ToString::to_string),
                request_id: context.id.clone(),
            },
        }
    }
}

/// Marks the response; [`render`] writes it.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the body and the headers of a response that carries an [`ApiError`].
pub(crate) fn render(response: Response, is_api: bool, context: &RequestContext) -> Response {
    let Some(error) = response.extensions().get::<ApiError>().cloned() else {
        return response;
    };
    error.log(context);
    let (mut parts, _) = response.into_parts();
    let wait = error.retry_after_seconds();
    let (content_type, body) = if is_api {
        let body = serde_json::to_vec(&error.problem(context)).unwrap_or_default();
        ("application/json", body)
    } else {
        let reload = wait.filter(|_| error.0.status == StatusCode::SERVICE_UNAVAILABLE);
        let body = page::write(&error.problem(context).error, reload);
        let policy = HeaderValue::from_static(page::POLICY);
        parts
            .headers
            .insert(header::CONTENT_SECURITY_POLICY, policy);
        ("text/html; charset=utf-8", body.into_bytes())
    };
    let headers = &mut parts.headers;
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(seconds) = wait {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if error.0.forgets_session
        && let Ok(cookie) = HeaderValue::from_str(&Cookie::Session.clear())
    {
        headers.append(header::SET_COOKIE, cookie);
    }
    Response::from_parts(parts, Body::from(body))
}

/// Returns an error and all its causes in one line.
pub(crate) fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Makes a sentence for people out of a lower-case message without a full stop.
pub(crate) fn sentence(message: &str) -> String {
    let mut characters = message.trim_end_matches('.').chars();
    let first = characters
        .next()
        .map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_become_sentences() {
        assert_eq!(
            sentence("the password is too short"),
            "The password is too short."
        );
        assert_eq!(sentence("über."), "Über.");
    }

    #[test]
    fn waiting_times_are_whole_seconds_and_never_zero() {
        let wait = |millis| {
            ApiError::unauthenticated()
                .retry_after(Duration::from_millis(millis))
                .retry_after_seconds()
        };
        assert_eq!(
            (wait(0), wait(1), wait(2000), wait(2001)),
            (Some(1), Some(1), Some(2), Some(3))
        );
    }

    #[test]
    fn whatever_is_unavailable_says_when_to_come_back() {
        let bare = |status| ApiError::new(status, "x", "X.").retry_after_seconds();
        assert_eq!(bare(StatusCode::SERVICE_UNAVAILABLE), Some(2));
        assert_eq!(bare(StatusCode::NOT_FOUND), None);
    }
}
