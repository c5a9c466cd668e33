//! API tokens of a person. Only a session may make, see or revoke them: a token that could make
//! tokens would outlive its own revocation.

use std::time::Duration;

use kalpana_domain::audit::AuditAction;
use kalpana_domain::id::TokenId;
use kalpana_domain::user::Principal;
use kalpana_store::records::Token;

use super::{Accounts, Client, parse_name, require_session};
use crate::error::AuthError;
use crate::token::{NewToken, TokenText};

/// Shortest lifetime of a token.
const SHORTEST: Duration = Duration::from_secs(86_400);

/// A token just made.
#[derive(Debug, Clone)]
pub struct IssuedToken {
    /// Its text, which is never to be had again.
    pub text: TokenText,
    /// What the store keeps.
    pub token: Token,
}

impl Accounts {
    /// Makes an API token of `by`.
    ///
    /// # Errors
    /// [`AuthError::Forbidden`] without a session; what is wrong with the request.
    pub async fn create_token(
        &self,
        by: &Principal,
        new: NewToken,
        client: &Client,
    ) -> Result<IssuedToken, AuthError> {
        require_session(by)?;
        let name = parse_name(&new.name).ok_or(AuthError::InvalidTokenName)?;
        let mut scopes = new.scopes;
        scopes.sort();
        scopes.dedup();
        if scopes.is_empty() {
            return Err(AuthError::InvalidTokenScopes);
        }
        let longest = self.token_lifetime_max;
        let lifetime = new.lifetime.unwrap_or(self.token_lifetime);
        if new
            .lifetime
            .is_some_and(|asked| !(SHORTEST..=longest).contains(&asked))
        {
            return Err(AuthError::InvalidTokenLifetime { longest });
        }
        let now = self.clock.now();
        let text = TokenText::generate(TokenId::generate());
        let token = Token {
            id: text.id(),
            user: by.user,
            secret_hash: text.hash(),
            name,
            scopes,
            created_at: now,
            expires_at: now
                .checked_add(lifetime)
                .map_err(|_| AuthError::InvalidTokenLifetime { longest })?,
            last_used_at: None,
        };
        let event = self.event_by(by, AuditAction::TokenCreate, token.id.to_string(), client);
        self.store.create_token(token.clone(), event).await?;
        Ok(IssuedToken { text, token })
    }

    /// Lists the living tokens of `by`, newest first.
    ///
    /// # Errors
    /// [`AuthError::Forbidden`] without a session; [`AuthError::Store`].
    pub async fn tokens(&self, by: &Principal) -> Result<Vec<Token>, AuthError> {
        require_session(by)?;
        Ok(self.store.tokens_of(by.user, self.clock.now()).await?)
    }

    /// Revokes a token of `by`.
    ///
    /// # Errors
    /// [`AuthError::Forbidden`] without a session; [`AuthError::TokenNotFound`] when `by` has no
    /// such living token; [`AuthError::Store`].
    pub async fn revoke_token(
        &self,
        by: &Principal,
        id: TokenId,
        client: &Client,
    ) -> Result<(), AuthError> {
        require_session(by)?;
        let event = self.event_by(by, AuditAction::TokenRevoke, id.to_string(), client);
        let now = self.clock.now();
        let is_revoked = self.store.revoke_token(by.user, id, now, event).await?;
        if is_revoked {
            Ok(())
        } else {
            Err(AuthError::TokenNotFound)
        }
    }
}
