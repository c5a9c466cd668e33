//! People, their sessions and their tokens.

use kalpana_domain::Timestamp;
use kalpana_domain::id::SessionId;
use kalpana_domain::user::{Role, Scope, User};
use kalpana_store::Page;
use kalpana_store::records::{Session, Token};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A person with an account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserView {
    /// Their id.
    #[schema(format = Uuid)]
    id: String,
    /// The address they sign in with.
    #[schema(format = Email)]
    email: String,
    /// The name shown to people.
    name: String,
    /// What they may do.
    role: RoleName,
    /// When the account was made.
    #[schema(value_type = String, format = DateTime, required = false)]
    created_at: Timestamp,
}

impl From<&User> for UserView {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.as_str().to_owned(),
            name: user.name.clone(),
            role: user.role.into(),
            created_at: user.created_at,
        }
    }
}

/// What a person may do.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Role)]
pub(crate) enum RoleName {
    /// Manages people; sees, stops and deletes every workspace.
    Administrator,
    /// Makes and uses their own workspaces.
    Member,
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::Administrator => Self::Administrator,
            Role::Member => Self::Member,
        }
    }
}

impl From<RoleName> for Role {
    fn from(role: RoleName) -> Self {
        match role {
            RoleName::Administrator => Self::Administrator,
            RoleName::Member => Self::Member,
        }
    }
}

/// Part of the list of people, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Users)]
pub(crate) struct UsersPage {
    /// The people.
    users: Vec<UserView>,
    /// Where the next part starts, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl From<Page<User>> for UsersPage {
    fn from(page: Page<User>) -> Self {
        Self {
            users: page.items.iter().map(UserView::from).collect(),
            next_cursor: page.next,
        }
    }
}

/// Who is signed in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionView {
    /// The person.
    pub(crate) user: UserView,
    /// When the session or the token ends whatever happens.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) expires_at: Timestamp,
}

/// A place where a person is signed in: one browser, since one sign-in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Place)]
pub(crate) struct PlaceView {
    /// Its id.
    #[schema(format = Uuid)]
    id: String,
    /// Whether it is the session that asks.
    is_current: bool,
    /// The browser, as it names itself.
    user_agent: Option<String>,
    /// The network address that it was signed in from.
    address: Option<String>,
    /// When it was signed in.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last used, to within some minutes.
    #[schema(value_type = String, format = DateTime)]
    last_used_at: Timestamp,
    /// When it ends whatever happens.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl PlaceView {
    /// Describes a session to whoever asks with the session `current`.
    pub(crate) fn new(session: Session, current: SessionId) -> Self {
        Self {
            id: session.id.to_string(),
            is_current: session.id == current,
            user_agent: session.user_agent,
            address: session.address,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            expires_at: session.expires_at,
        }
    }
}

/// Somebody who has just signed in, or was just made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignedIn)]
pub(crate) struct SignedInView {
    /// The person.
    pub(crate) user: UserView,
}

/// What a token may be used for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[schema(as = Scope)]
pub(crate) enum ScopeName {
    /// See workspaces, their logs and events.
    #[serde(rename = "workspace:read")]
    WorkspaceRead,
    /// Create, start and stop workspaces.
    #[serde(rename = "workspace:write")]
    WorkspaceWrite,
    /// Delete workspaces.
    #[serde(rename = "workspace:delete")]
    WorkspaceDelete,
    /// Manage people; only of use to an administrator.
    #[serde(rename = "users:write")]
    UsersWrite,
}

impl From<Scope> for ScopeName {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::WorkspaceRead => Self::WorkspaceRead,
            Scope::WorkspaceWrite => Self::WorkspaceWrite,
            Scope::WorkspaceDelete => Self::WorkspaceDelete,
            Scope::UsersWrite => Self::UsersWrite,
        }
    }
}

/// An API token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenView {
    /// Its id, which is also part of its text.
    #[schema(format = Uuid)]
    id: String,
    /// What its maker called it.
    name: String,
    /// What it may be used for.
    scopes: Vec<ScopeName>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// When it was last used, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
}

impl From<&Token> for TokenView {
    fn from(token: &Token) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name.clone(),
            scopes: token.scopes.iter().map(|scope| (*scope).into()).collect(),
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
        }
    }
}

/// A token that was just made. Its text is shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedToken {
    /// The token's text: what goes behind `Authorization: Bearer`.
    #[schema(example = "kp_…")]
    pub(crate) token: String,
    /// All else of it.
    #[serde(flatten)]
    pub(crate) details: TokenView,
}
