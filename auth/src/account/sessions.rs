//! The places where a person is signed in. Only a session may see or end them.

use kalpana_domain::audit::AuditAction;
use kalpana_domain::id::SessionId;
use kalpana_domain::user::Principal;
use kalpana_store::records::Session;

use super::{Accounts, Client, require_session};
use crate::error::AuthError;

impl Accounts {
    /// Lists the living sessions of `by`, the last used first.
    ///
    /// # Errors
    /// [`AuthError::Forbidden`] without a session; [`AuthError::Store`].
    pub async fn sessions(&self, by: &Principal) -> Result<Vec<Session>, AuthError> {
        require_session(by)?;
        let now = self.clock.now();
        let idle_since = self.policy.idle_since(now);
        Ok(self.store.sessions_of(by.user, now, idle_since).await?)
    }

    /// Ends a session of `by`.
    ///
    /// # Errors
    /// [`AuthError::Forbidden`] without a session; [`AuthError::SessionNotFound`] when `by` has no
    /// such living session; [`AuthError::Store`].
    pub async fn end_session(
        &self,
        by: &Principal,
        id: SessionId,
        client: &Client,
    ) -> Result<(), AuthError> {
        require_session(by)?;
        let event = self.event_by(by, AuditAction::SessionEnd, id.to_string(), client);
        let now = self.clock.now();
        let is_ended = self.store.end_session(by.user, id, now, event).await?;
        if is_ended {
            Ok(())
        } else {
            Err(AuthError::SessionNotFound)
        }
    }

    /// Ends all sessions of `by` but the one they speak with. Returns them.
    ///
    /// # Errors
    /// [`AuthError::Forbidden`] without a session; [`AuthError::Store`].
    pub async fn end_other_sessions(
        &self,
        by: &Principal,
        client: &Client,
    ) -> Result<Vec<SessionId>, AuthError> {
        let kept = require_session(by)?;
        let subject = by.user.to_string();
        let event = self.event_by(by, AuditAction::SessionEndOthers, subject, client);
        let now = self.clock.now();
        Ok(self
            .store
            .end_other_sessions(by.user, Some(kept), now, event)
            .await?)
    }
}
