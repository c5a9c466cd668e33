//! How the errors of the rooms below become answers.

use std::time::Duration;

use http::StatusCode;
use kalpana_auth::AuthError;
use kalpana_store::StoreError;

use super::{ApiError, sentence};

/// How long clients should wait for what is away for a moment.
const AWAY: Duration = Duration::from_secs(2);

/// What people should know while the store is away.
const STORE_AWAY: &str = "Running workspaces are not affected. Try again in a moment.";

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let code = error.code();
        let own_words = || sentence(&error.to_string());
        let (status, message, hint) = match code {
            "unauthenticated" => return Self::unauthenticated().caused_by(error),
            "wrong_credentials" => (
                StatusCode::UNAUTHORIZED,
                own_words(),
                Some("Check both and try again."),
            ),
            "forbidden" => (
                StatusCode::FORBIDDEN,
                own_words(),
                Some("Ask an administrator of this site."),
            ),
            "too_many_attempts" => (
                StatusCode::TOO_MANY_REQUESTS,
                "There were too many attempts.".to_owned(),
                Some("Wait a while, then try again."),
            ),
            "overloaded" => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many people are signing in right now.".to_owned(),
                Some("Try again in a moment."),
            ),
            "store_unavailable" => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The database does not answer right now.".to_owned(),
                Some(STORE_AWAY),
            ),
            "invalid_cursor" => return Self::invalid_cursor(),
            "setup_token_invalid" => (
                StatusCode::FORBIDDEN,
                "This setup link is not valid.".to_owned(),
                Some("Use the link that the latest start of Kalpana printed."),
            ),
            "setup_done" => (
                StatusCode::CONFLICT,
                "This site is set up already.".to_owned(),
                Some("Sign in instead."),
            ),
            "email_taken" => (
                StatusCode::CONFLICT,
                own_words(),
                Some("Use another e-mail address."),
            ),
            "token_not_found" => (
                StatusCode::NOT_FOUND,
                own_words(),
                Some("It may have been revoked already."),
            ),
            "invalid_email"
            | "invalid_name"
            | "password_too_short"
            | "password_too_long"
            | "password_too_weak"
            | "invalid_token_name"
            | "invalid_token_scopes"
            | "invalid_token_lifetime" => (StatusCode::BAD_REQUEST, own_words(), None),
            _ => return Self::internal(error),
        };
        let wait = error.retry_after();
        let mut answer = Self::new(status, code, message);
        if let Some(hint) = hint {
            answer = answer.hint(hint);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
            answer = answer.retry_after(wait.unwrap_or(AWAY));
        }
        answer.caused_by(error)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::InvalidCursor => Self::invalid_cursor(),
            StoreError::Unavailable { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "store_unavailable",
                "The database does not answer right now.",
            )
            .hint(STORE_AWAY)
            .retry_after(AWAY)
            .caused_by(error),
            _ => Self::internal(error),
        }
    }
}
