//! Setting up the site, and making people.

use kalpana_domain::audit::{Actor, AuditAction};
use kalpana_domain::id::UserId;
use kalpana_domain::user::{Principal, Role, Scope, User};
use kalpana_store::records::NewUser;
use kalpana_store::{Page, PageRequest};

use super::{Accounts, Client, NewAccount, SignedIn, about, parse_email, parse_name};
use crate::error::AuthError;
use crate::session::SetupSecret;

impl Accounts {
    /// Returns whether the site still has no administrator.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    pub async fn is_setup_required(&self) -> Result<bool, AuthError> {
        Ok(self.store.is_setup_required().await?)
    }

    /// Draws the secret of a new setup link, which makes earlier ones worthless. `None` when the
    /// site is set up already.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    pub async fn setup_secret(&self) -> Result<Option<SetupSecret>, AuthError> {
        let secret = SetupSecret::generate();
        let is_kept = self
            .store
            .put_setup_secret(secret.hash(), self.clock.now())
            .await?;
        Ok(is_kept.then_some(secret))
    }

    /// Makes the first administrator and signs them in.
    ///
    /// # Errors
    /// [`AuthError::SetupTokenInvalid`]; [`AuthError::SetupDone`]; what is wrong with the account.
    pub async fn complete_setup(
        &self,
        token: &str,
        account: NewAccount,
        client: &Client,
    ) -> Result<SignedIn, AuthError> {
        self.throttle.attempt_from(client.address)?;
        if !self.store.is_setup_required().await? {
            return Err(AuthError::SetupDone);
        }
        let secret = SetupSecret::parse(token.as_bytes()).ok_or(AuthError::SetupTokenInvalid)?;
        let user = self.prepare(account, Role::Administrator).await?;
        let subject = user.id.to_string();
        let event = self.event(
            Actor::Anonymous,
            None,
            AuditAction::SiteSetup,
            subject,
            client,
        );
        let user = self
            .store
            .complete_setup(secret.hash(), user, event)
            .await?;
        self.start_session(user, client).await
    }

    /// Makes an account, when `by` is an administrator.
    ///
    /// # Errors
    /// [`AuthError::Forbidden`]; [`AuthError::EmailTaken`]; what is wrong with the account.
    pub async fn create_user(
        &self,
        by: &Principal,
        account: NewAccount,
        role: Role,
        client: &Client,
    ) -> Result<User, AuthError> {
        require_administrator(by)?;
        let user = self.prepare(account, role).await?;
        let event = self.event_by(by, AuditAction::UserCreate, user.id.to_string(), client);
        Ok(self.store.create_user(user, event).await?)
    }

    /// Makes an account for who sits at the machine's own command line.
    ///
    /// # Errors
    /// As [`Accounts::create_user`], but nobody is refused.
    pub async fn create_user_at_console(
        &self,
        account: NewAccount,
        role: Role,
    ) -> Result<User, AuthError> {
        let user = self.prepare(account, role).await?;
        let subject = user.id.to_string();
        let client = Client::default();
        let event = self.event(
            Actor::Console,
            None,
            AuditAction::UserCreate,
            subject,
            &client,
        );
        Ok(self.store.create_user(user, event).await?)
    }

    /// Lists people, oldest first, when `by` is an administrator.
    ///
    /// # Errors
    /// [`AuthError::Forbidden`]; [`AuthError::Store`].
    pub async fn users(&self, by: &Principal, page: PageRequest) -> Result<Page<User>, AuthError> {
        require_administrator(by)?;
        Ok(self.store.users(page).await?)
    }

    async fn prepare(&self, account: NewAccount, role: Role) -> Result<NewUser, AuthError> {
        let email = parse_email(&account.email)?;
        let name = parse_name(&account.name).ok_or(AuthError::InvalidName)?;
        let about = about(&email, &name);
        let hash = self.passwords.hash(account.password, about).await?;
        Ok(NewUser {
            id: UserId::generate(),
            email,
            name,
            role,
            password_hash: hash.0,
            created_at: self.clock.now(),
        })
    }
}

fn require_administrator(by: &Principal) -> Result<(), AuthError> {
    let is_allowed = by.role == Role::Administrator && by.has_scope(Scope::UsersWrite);
    if is_allowed {
        Ok(())
    } else {
        Err(AuthError::Forbidden)
    }
}
