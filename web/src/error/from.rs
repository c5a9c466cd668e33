//! How the errors of the rooms below become answers.

use std::time::Duration;

use http::StatusCode;
use kalpana_auth::AuthError;
use kalpana_store::StoreError;

use super::{AWAY, ApiError, sentence};

/// How long a change should wait for a move of the data, whose last part takes about that long.
const MOVING: Duration = Duration::from_secs(5);

/// What people should know while the store is away.
const STORE_AWAY: &str = "Running workspaces and open editors go on; signing in and changes wait.";

/// What people should know while the store takes no writes.
const STORE_FROZEN: &str =
    "Running workspaces and open editors go on, and everything can be looked at.";

impl ApiError {
    /// Answers what needs the database, while that does not answer.
    pub(crate) fn store_unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store_unavailable",
            "The database does not answer.",
        )
        .hint(STORE_AWAY)
        .retry_after(AWAY)
    }

    /// Answers a change, while the database is moved or once it was. Where to is for the log.
    pub(crate) fn store_frozen(is_moved: bool) -> Self {
        let message = if is_moved {
            "This site's data was moved to another database. Whoever runs this site must point \
             Kalpana at the new database and restart it."
        } else {
            "This site's data is being moved to another database. Nothing is lost; changes wait \
             for a moment."
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_frozen", message)
            .hint(STORE_FROZEN)
            .retry_after(MOVING)
    }
}

/// Returns the answer for a store that does nothing, or changes nothing, for a while.
fn passing(error: &StoreError) -> Option<ApiError> {
    match error {
        StoreError::Unavailable { .. } => Some(ApiError::store_unavailable()),
        StoreError::Frozen { moved_to } => Some(ApiError::store_frozen(moved_to.is_some())),
        _ => None,
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        if let AuthError::Store(cause) = &error
            && let Some(answer) = passing(cause)
        {
            return answer.caused_by(error);
        }
        let code = error.code();
        let own_words = || sentence(&error.to_string());
        let (status, message, hint) = match code {
            "unauthenticated" => return Self::unauthenticated().caused_by(error),
            "wrong_credentials" => (
                StatusCode::UNAUTHORIZED,
                own_words(),
                Some("Check both and try again."),
            ),
            // Not 401: who asks is signed in, and stays so.
            "wrong_password" => (
                StatusCode::FORBIDDEN,
                own_words(),
                Some("Check it and try again."),
            ),
            "session_not_found" => (
                StatusCode::NOT_FOUND,
                own_words(),
                Some("It may have ended already."),
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
            | "password_unchanged"
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
        if let Some(wait) = wait {
            answer = answer.retry_after(wait);
        }
        answer.caused_by(error)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match passing(&error) {
            Some(answer) => answer.caused_by(error),
            None if matches!(error, StoreError::InvalidCursor) => Self::invalid_cursor(),
            None => Self::internal(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use kalpana_store::Outage;

    use super::*;
    use crate::error::describe;

    fn away() -> StoreError {
        StoreError::Unavailable {
            outage: Outage::Away,
            reason: "away".to_owned(),
            source: None,
        }
    }

    fn moved() -> StoreError {
        StoreError::Frozen {
            moved_to: Some("mongodb://db.internal/kalpana".to_owned()),
        }
    }

    fn says(error: &ApiError) -> (u16, &'static str, &str, Option<u64>) {
        let inner = &error.0;
        let wait = error.retry_after_seconds();
        (inner.status.as_u16(), inner.code, &inner.message, wait)
    }

    #[test]
    fn a_store_that_is_away_is_the_same_answer_whoever_asked_it() {
        let expected = (
            503,
            "store_unavailable",
            "The database does not answer.",
            Some(2),
        );
        assert_eq!(says(&away().into()), expected);
        assert_eq!(says(&AuthError::from(away()).into()), expected);
    }

    #[test]
    fn a_move_is_explained_and_where_to_is_only_logged() {
        let moving = StoreError::Frozen { moved_to: None };
        let moving: ApiError = moving.into();
        let (status, code, message, wait) = says(&moving);
        assert_eq!((status, code, wait), (503, "store_frozen", Some(5)));
        assert!(message.contains("is being moved"), "{message}");
        for answer in [ApiError::from(moved()), AuthError::from(moved()).into()] {
            let (status, code, message, wait) = says(&answer);
            assert_eq!((status, code, wait), (503, "store_frozen", Some(5)));
            assert!(message.contains("was moved"), "{message}");
            let shown = format!("{message} {:?}", answer.0.hint);
            assert!(!shown.contains("db.internal"), "{shown}");
            let logged = answer.0.source.as_ref().map(|source| describe(source));
            assert!(
                logged
                    .as_ref()
                    .is_some_and(|chain| chain.contains("db.internal")),
                "{logged:?}"
            );
        }
    }

    #[test]
    fn what_auth_asks_to_wait_is_passed_on() {
        let wait = Duration::from_secs(9);
        let overloaded = AuthError::Overloaded { retry_after: wait };
        let early = AuthError::TooManyAttempts { retry_after: wait };
        assert_eq!(ApiError::from(overloaded).retry_after_seconds(), Some(9));
        assert_eq!(ApiError::from(early).retry_after_seconds(), Some(9));
    }
}
