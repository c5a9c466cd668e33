//! Changing one's password. Only a session may, and only with the current one.

use kalpana_domain::audit::AuditAction;
use kalpana_domain::user::Principal;
use kalpana_store::StoreError;
use kalpana_store::records::{EndedAccess, PasswordChange, UserWithPassword};
use unicode_normalization::UnicodeNormalization;

use super::{Accounts, Client, about, require_session};
use crate::error::AuthError;
use crate::password::Comparison;

/// How often a change is tried when the stored hash becomes another meanwhile, as it does when
/// somebody signs in and it gets today's parameters.
const TRIES: usize = 3;

/// A new password, as a person typed it.
#[derive(Clone)]
pub struct NewPassword {
    /// The one so far.
    pub current: String,
    /// The one from now on.
    pub new: String,
    /// Whether their API tokens are to be revoked too.
    pub revoke_tokens: bool,
}

impl std::fmt::Debug for NewPassword {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("NewPassword")
            .field("revoke_tokens", &self.revoke_tokens)
            .finish_non_exhaustive()
    }
}

impl Accounts {
    /// Changes the password of `by`, ends all their other sessions and, if they wish so, revokes
    /// their API tokens. Returns what ended.
    ///
    /// # Errors
    /// [`AuthError::Forbidden`] without a session; [`AuthError::WrongPassword`], which is limited
    /// and written down as a refused sign-in is; [`AuthError::PasswordUnchanged`]; what is wrong
    /// with the new one; [`AuthError::TooManyAttempts`]; [`AuthError::Overloaded`];
    /// [`AuthError::Store`].
    pub async fn change_password(
        &self,
        by: &Principal,
        wish: NewPassword,
        client: &Client,
    ) -> Result<EndedAccess, AuthError> {
        let kept = require_session(by)?;
        let user = self.store.user(by.user).await?;
        let user = user.ok_or(AuthError::Unauthenticated)?;
        let mut tries = TRIES;
        loop {
            let known = self.know_password(by, &user.email, &wish, client).await?;
            let about = about(&known.user.email, &known.user.name);
            let new = self.passwords.hash(wish.new.clone(), about).await?;
            let event = |action| self.event_by(by, action, by.user.to_string(), client);
            let change = PasswordChange {
                user: by.user,
                known_hash: known.password_hash,
                new_hash: new.0,
                kept,
                at: self.clock.now(),
                revocation: wish
                    .revoke_tokens
                    .then(|| event(AuditAction::TokenRevokeAll)),
            };
            let event = event(AuditAction::PasswordChange);
            tries -= 1;
            match self.store.change_password(change, event).await {
                Err(StoreError::Conflict { what: "password" }) if tries > 0 => {}
                result => return Ok(result?),
            }
        }
    }

    /// Returns what is known of the person, if they know their password and want another.
    async fn know_password(
        &self,
        by: &Principal,
        email: &kalpana_domain::user::EmailAddress,
        wish: &NewPassword,
        client: &Client,
    ) -> Result<UserWithPassword, AuthError> {
        let attempt = self.throttle.attempt(email, client.address)?;
        let (known, comparison) = match self.look_up(email, &wish.current).await {
            Ok(found) => found,
            Err(error) => {
                self.throttle.withdraw(&attempt);
                return Err(error);
            }
        };
        let known = known.ok_or(AuthError::Unauthenticated)?;
        if comparison == Comparison::Different {
            let action = AuditAction::PasswordRefuse;
            let event = self.event_by(by, action, by.user.to_string(), client);
            self.store.append_audit(event).await?;
            return Err(AuthError::WrongPassword);
        }
        self.throttle.succeeded(&attempt);
        if wish.current.nfkc().eq(wish.new.nfkc()) {
            return Err(AuthError::PasswordUnchanged);
        }
        Ok(known)
    }
}
