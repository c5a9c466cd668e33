//! Accounts: setting up the site, signing in, and everything that a signed-in person may do to
//! their account. The one service of this crate that uses the store.

mod password_change;
mod people;
mod sessions;
mod sign_in;
mod tokens;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use kalpana_domain::Timestamp;
use kalpana_domain::audit::{Actor, AuditAction, AuditEvent};
use kalpana_domain::clock::Clock;
use kalpana_domain::id::{AuditId, OrganizationId, SessionId, WorkspaceId};
use kalpana_domain::user::{Credential, EmailAddress, Principal, User};
use kalpana_store::Store;
use kalpana_store::records::Session;

pub use password_change::NewPassword;
pub use tokens::IssuedToken;

use crate::error::AuthError;
use crate::password::Passwords;
use crate::session::{SessionPolicy, SessionSecret};
use crate::throttle::Throttle;

/// Where a request came from, for the audit log and the limits.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// Its network address.
    pub address: Option<IpAddr>,
    /// Its browser, as it names itself.
    pub user_agent: Option<String>,
    /// The request's id.
    pub request_id: Option<String>,
}

/// An account to be made, as a person typed it.
#[derive(Clone)]
pub struct NewAccount {
    /// The address to sign in with.
    pub email: String,
    /// The name shown to people.
    pub name: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for NewAccount {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("NewAccount")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A fresh session.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// What goes into the cookie.
    pub secret: SessionSecret,
    /// What the store keeps.
    pub session: Session,
    /// Whose it is.
    pub user: User,
}

/// Somebody who proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// The person.
    pub user: User,
    /// The person and by what right they speak.
    pub principal: Principal,
    /// When that right ends whatever happens.
    pub expires_at: Timestamp,
}

/// Everything about accounts.
#[derive(Clone)]
pub struct Accounts {
    store: Store,
    passwords: Passwords,
    throttle: Arc<Throttle>,
    policy: SessionPolicy,
    token_lifetime: Duration,
    token_lifetime_max: Duration,
    clock: Arc<dyn Clock>,
}

impl Accounts {
    /// Makes the service. Hashes one password, which takes some tens of milliseconds.
    ///
    /// # Errors
    /// [`AuthError::Hashing`] when the configured parameters are impossible.
    pub fn new(
        store: Store,
        settings: &kalpana_config::Auth,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AuthError> {
        Ok(Self {
            store,
            passwords: Passwords::new(settings)?,
            throttle: Arc::new(Throttle::new(settings)),
            policy: settings.into(),
            token_lifetime: settings.token_lifetime.0,
            token_lifetime_max: settings.token_lifetime_max.0,
            clock,
        })
    }

    /// Returns how long the session cookie should be kept by a browser.
    pub fn session_max_age(&self) -> Duration {
        self.policy.absolute
    }

    /// Writes down that `by` is let into `workspace`. Comes before the ticket, so that nobody gets
    /// in unseen.
    ///
    /// # Errors
    /// [`AuthError::Store`] when it cannot be written down.
    pub async fn record_connect(
        &self,
        by: &Principal,
        workspace: WorkspaceId,
        client: &Client,
    ) -> Result<(), AuthError> {
        let event = self.event_by(
            by,
            AuditAction::WorkspaceConnect,
            workspace.to_string(),
            client,
        );
        Ok(self.store.append_audit(event).await?)
    }

    /// Returns the entry of the audit log that says that `actor` did `action` to `subject` now. It
    /// is written by whoever makes the change that it tells of.
    pub fn event(
        &self,
        actor: Actor,
        organization: Option<OrganizationId>,
        action: AuditAction,
        subject: String,
        client: &Client,
    ) -> AuditEvent {
        AuditEvent {
            id: AuditId::generate(),
            at: self.clock.now(),
            organization,
            actor,
            action,
            subject,
            address: client
                .address
                .map(|address| address.to_canonical().to_string()),
            request_id: client.request_id.clone(),
        }
    }

    /// Returns the entry that says that `by` did it.
    pub fn event_by(
        &self,
        by: &Principal,
        action: AuditAction,
        subject: String,
        client: &Client,
    ) -> AuditEvent {
        self.event(by.into(), Some(by.organization), action, subject, client)
    }
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Accounts")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// Reads a name as a person typed it.
fn parse_name(text: &str) -> Option<String> {
    let name = text.trim();
    let is_legal = (1..=100).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    is_legal.then(|| name.to_owned())
}

/// Returns the session that `by` speaks with. What concerns somebody's credentials is done with a
/// session only: a token that could make tokens would outlive its own revocation.
fn require_session(by: &Principal) -> Result<SessionId, AuthError> {
    match by.credential {
        Credential::Session(session) => Ok(session),
        Credential::Token { .. } => Err(AuthError::Forbidden),
    }
}

/// What a password must not be made of.
fn about(email: &EmailAddress, name: &str) -> Vec<String> {
    vec![
        email.as_str().to_owned(),
        name.to_owned(),
        "kalpana".to_owned(),
    ]
}

fn parse_email(text: &str) -> Result<EmailAddress, AuthError> {
    EmailAddress::parse(text).map_err(|_| AuthError::InvalidEmail)
}
