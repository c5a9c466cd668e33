//! Why an account operation did not happen, with codes that programs may rely on.

use std::time::Duration;

use kalpana_store::StoreError;

use crate::password::{PasswordError, PasswordProblem};
use crate::throttle::TooManyAttempts;

/// Why an account operation did not happen. `Display` is for people; sources are for logs.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The e-mail address or the password is wrong; which one is not said.
    #[error("the e-mail address or the password is wrong")]
    WrongCredentials,
    /// The password that was given as the current one is another.
    #[error("the current password is another one")]
    WrongPassword,
    /// The new password is the current one.
    #[error("the new password is the current one")]
    PasswordUnchanged,
    /// The session or token is unknown, over or revoked.
    #[error("sign in first")]
    Unauthenticated,
    /// The person, or their credential, may not do this.
    #[error("you may not do this")]
    Forbidden,
    /// Too many attempts to sign in.
    #[error("too many attempts; try again in a while")]
    TooManyAttempts {
        /// When to try again.
        retry_after: Duration,
    },
    /// Too many people are signing in at this moment.
    #[error("too many people are signing in right now; try again in a moment")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The setup link is not the latest one.
    #[error("this setup link is not valid; use the one printed by the latest start")]
    SetupTokenInvalid,
    /// The site has an administrator already.
    #[error("this site is set up already; sign in instead")]
    SetupDone,
    /// Somebody has this address already.
    #[error("an account with this e-mail address exists already")]
    EmailTaken,
    /// The address could not be one.
    #[error("this is not an e-mail address")]
    InvalidEmail,
    /// The name is empty, too long or holds control characters.
    #[error("a name has 1 to 100 characters, without control characters")]
    InvalidName,
    /// The password is not good enough.
    #[error(transparent)]
    Password(#[from] PasswordProblem),
    /// The token's name is empty, too long or holds control characters.
    #[error("a token's name has 1 to 100 characters, without control characters")]
    InvalidTokenName,
    /// A token without any scope could do nothing.
    #[error("a token needs at least one scope")]
    InvalidTokenScopes,
    /// The token would end at once, or later than the site allows.
    #[error("a token lasts at least a day and at most {} days", longest.as_secs() / 86_400)]
    InvalidTokenLifetime {
        /// The site's limit.
        longest: Duration,
    },
    /// The person has no such session.
    #[error("you have no such session")]
    SessionNotFound,
    /// The person has no such token.
    #[error("you have no such token")]
    TokenNotFound,
    /// The store did not do its part.
    #[error("accounts are unavailable at the moment; try again in a while")]
    Store(#[source] StoreError),
    /// Hashing or comparing a password failed for a reason that is not the password.
    #[error("accounts are unavailable at the moment; try again in a while")]
    Hashing(#[source] PasswordError),
}

impl AuthError {
    /// Returns the stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongCredentials => "wrong_credentials",
            Self::WrongPassword => "wrong_password",
            Self::PasswordUnchanged => "password_unchanged",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::TooManyAttempts { .. } => "too_many_attempts",
            Self::Overloaded { .. } => "overloaded",
            Self::SetupTokenInvalid => "setup_token_invalid",
            Self::SetupDone => "setup_done",
            Self::EmailTaken => "email_taken",
            Self::InvalidEmail => "invalid_email",
            Self::InvalidName => "invalid_name",
            Self::Password(PasswordProblem::TooShort { .. }) => "password_too_short",
            Self::Password(PasswordProblem::TooLong) => "password_too_long",
            Self::Password(PasswordProblem::TooWeak { .. }) => "password_too_weak",
            Self::InvalidTokenName => "invalid_token_name",
            Self::InvalidTokenScopes => "invalid_token_scopes",
            Self::InvalidTokenLifetime { .. } => "invalid_token_lifetime",
            Self::SessionNotFound => "session_not_found",
            Self::TokenNotFound => "token_not_found",
            Self::Store(StoreError::InvalidCursor) => "invalid_cursor",
            Self::Store(StoreError::Unavailable { .. }) => "store_unavailable",
            Self::Store(StoreError::Frozen { .. }) => "store_frozen",
            Self::Store(_) | Self::Hashing(_) => "internal",
        }
    }

    /// Returns when trying again makes sense, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyAttempts { retry_after } | Self::Overloaded { retry_after } => {
                Some(*retry_after)
            }
            _ => None,
        }
    }
}

impl From<StoreError> for AuthError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { what: "email" } => Self::EmailTaken,
            StoreError::Conflict { what: "setup" } => Self::SetupDone,
            StoreError::NotFound {
                what: "setup secret",
            } => Self::SetupTokenInvalid,
            other => Self::Store(other),
        }
    }
}

impl From<PasswordError> for AuthError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Problem(problem) => Self::Password(problem),
            PasswordError::Overloaded { retry_after } => Self::Overloaded { retry_after },
            other => Self::Hashing(other),
        }
    }
}

impl From<TooManyAttempts> for AuthError {
    fn from(TooManyAttempts { retry_after }: TooManyAttempts) -> Self {
        Self::TooManyAttempts { retry_after }
    }
}
