//! Signing in, staying signed in, signing out.

use kalpana_domain::audit::{Actor, AuditAction};
use kalpana_domain::id::SessionId;
use kalpana_domain::user::{Credential, EmailAddress, Principal, User};
use kalpana_store::records::{Session, UserWithPassword};

use super::{Accounts, Authenticated, Client, SignedIn, require_session};
use crate::error::AuthError;
use crate::password::Comparison;
use crate::session::SessionSecret;
use crate::token::TokenText;

/// Longest browser name kept. Unit: bytes.
const USER_AGENT_LIMIT: usize = 256;

/// A token's use is written down when the last one written is older than this.
const TOKEN_TOUCH_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

impl Accounts {
    /// Signs a person in. An unknown address and a wrong password give the same answer after the
    /// same work.
    ///
    /// # Errors
    /// [`AuthError::WrongCredentials`]; [`AuthError::TooManyAttempts`]; [`AuthError::Overloaded`];
    /// [`AuthError::Store`].
    pub async fn sign_in(
        &self,
        email: &str,
        password: &str,
        client: &Client,
    ) -> Result<SignedIn, AuthError> {
        let Ok(email) = EmailAddress::parse(email) else {
            self.throttle.attempt_from(client.address)?;
            self.compare(password, None).await?;
            self.record_refusal(None, client).await?;
            return Err(AuthError::WrongCredentials);
        };
        let attempt = self.throttle.attempt(&email, client.address)?;
        let (known, comparison) = match self.look_up(&email, password).await {
            Ok(found) => found,
            Err(error) => {
                // The store or the processor was at fault. Nobody learned anything, and people
                // who try until it works must not find themselves locked out then.
                self.throttle.withdraw(&attempt);
                return Err(error);
            }
        };
        match (known, comparison) {
            (
                Some(UserWithPassword {
                    user,
                    password_hash,
                }),
                Comparison::Same { upgraded },
            ) => {
                self.throttle.succeeded(&attempt);
                if let Some(hash) = upgraded {
                    let known = password_hash.clone();
                    self.store
                        .upgrade_password_hash(user.id, known, hash.0)
                        .await?;
                }
                let made = self.start_session(user, client).await?;
                self.require_same_password(&made, password, &password_hash, client)
                    .await?;
                Ok(made)
            }
            (known, _) => {
                self.record_refusal(known.as_ref().map(|known| &known.user), client)
                    .await?;
                Err(AuthError::WrongCredentials)
            }
        }
    }

    /// Ends the session again when the password was changed while it was compared: what changes it
    /// ends only the sessions that are there by then.
    async fn require_same_password(
        &self,
        made: &SignedIn,
        password: &str,
        known_hash: &str,
        client: &Client,
    ) -> Result<(), AuthError> {
        let now = self.store.user_by_email(&made.user.email).await?;
        let is_known = now
            .as_ref()
            .is_some_and(|now| now.password_hash == known_hash);
        // Another hash may be that of the same password, with today's parameters.
        if is_known || self.compare(password, now.as_ref()).await? != Comparison::Different {
            return Ok(());
        }
        let (user, session) = (made.user.id, made.session.id);
        let actor = Actor::System;
        let organization = Some(made.user.organization);
        let action = AuditAction::SessionEnd;
        let event = self.event(actor, organization, action, session.to_string(), client);
        self.store
            .end_session(user, session, self.clock.now(), event)
            .await?;
        Err(AuthError::WrongCredentials)
    }

    /// Returns whose address it is and whether the password is theirs, after the same work for an
    /// address that is nobody's.
    pub(super) async fn look_up(
        &self,
        email: &EmailAddress,
        password: &str,
    ) -> Result<(Option<UserWithPassword>, Comparison), AuthError> {
        let known = self.store.user_by_email(email).await?;
        let comparison = self.compare(password, known.as_ref()).await?;
        Ok((known, comparison))
    }

    async fn compare(
        &self,
        password: &str,
        known: Option<&UserWithPassword>,
    ) -> Result<Comparison, AuthError> {
        let stored = known.map(|known| known.password_hash.clone());
        Ok(self.passwords.compare(password.to_owned(), stored).await?)
    }

    async fn record_refusal(&self, known: Option<&User>, client: &Client) -> Result<(), AuthError> {
        // The address that was tried is not written down: people type passwords there.
        let subject = known.map_or_else(|| "unknown".to_owned(), |user| user.id.to_string());
        let organization = known.map(|user| user.organization);
        let action = AuditAction::SessionRefuse;
        let event = self.event(Actor::Anonymous, organization, action, subject, client);
        Ok(self.store.append_audit(event).await?)
    }

    pub(super) async fn start_session(
        &self,
        user: User,
        client: &Client,
    ) -> Result<SignedIn, AuthError> {
        let now = self.clock.now();
        let secret = SessionSecret::generate();
        let session = Session {
            id: SessionId::generate(),
            user: user.id,
            secret_hash: secret.hash(),
            created_at: now,
            last_used_at: now,
            expires_at: self.policy.end(now),
            address: client
                .address
                .map(|address| address.to_canonical().to_string()),
            user_agent: client
                .user_agent
                .as_deref()
                .map(|text| cut(text).to_owned()),
        };
        let actor = Actor::Session {
            user: user.id,
            session: session.id,
        };
        let subject = session.id.to_string();
        let action = AuditAction::SessionCreate;
        let event = self.event(actor, Some(user.organization), action, subject, client);
        self.store.create_session(session.clone(), event).await?;
        Ok(SignedIn {
            secret,
            session,
            user,
        })
    }

    /// Returns whose session the cookie's value belongs to.
    ///
    /// # Errors
    /// [`AuthError::Unauthenticated`] when it is no living session; [`AuthError::Store`].
    pub async fn authenticate_session(&self, cookie: &[u8]) -> Result<Authenticated, AuthError> {
        let secret = SessionSecret::parse(cookie).ok_or(AuthError::Unauthenticated)?;
        let now = self.clock.now();
        let idle_since = self.policy.idle_since(now);
        let found = self.store.session(secret.hash(), now, idle_since).await?;
        let (session, user) = found.ok_or(AuthError::Unauthenticated)?;
        if self.policy.needs_touch(session.last_used_at, now) {
            self.store.touch_session(session.id, now).await?;
        }
        let credential = Credential::Session(session.id);
        Ok(authenticated(user, credential, session.expires_at))
    }

    /// Returns whose API token `text` is.
    ///
    /// # Errors
    /// [`AuthError::Unauthenticated`] when it is no living token; [`AuthError::Store`].
    pub async fn authenticate_token(&self, text: &str) -> Result<Authenticated, AuthError> {
        let text = TokenText::parse(text).ok_or(AuthError::Unauthenticated)?;
        let now = self.clock.now();
        let found = self.store.token(text.id(), now).await?;
        let (token, user) = found.ok_or(AuthError::Unauthenticated)?;
        if !text.has_hash(&token.secret_hash) {
            return Err(AuthError::Unauthenticated);
        }
        let is_stale = token
            .last_used_at
            .is_none_or(|last| now.duration_since(last) >= TOKEN_TOUCH_AFTER);
        if is_stale {
            self.store.touch_token(token.id, now).await?;
        }
        let credential = Credential::Token {
            id: token.id,
            scopes: token.scopes,
        };
        Ok(authenticated(user, credential, token.expires_at))
    }

    /// Ends the session that `principal` speaks with. Returns whether it was still alive.
    ///
    /// # Errors
    /// [`AuthError::Forbidden`] for a token, which is revoked instead; [`AuthError::Store`].
    pub async fn sign_out(
        &self,
        principal: &Principal,
        client: &Client,
    ) -> Result<bool, AuthError> {
        let session = require_session(principal)?;
        let subject = session.to_string();
        let event = self.event_by(principal, AuditAction::SessionEnd, subject, client);
        Ok(self
            .store
            .end_session(principal.user, session, self.clock.now(), event)
            .await?)
    }
}

fn authenticated(
    user: User,
    credential: Credential,
    expires_at: kalpana_domain::Timestamp,
) -> Authenticated {
    let principal = Principal {
        user: user.id,
        organization: user.organization,
        role: user.role,
        credential,
    };
    Authenticated {
        user,
        principal,
        expires_at,
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(USER_AGENT_LIMIT)]
}
