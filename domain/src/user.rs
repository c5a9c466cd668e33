//! People, and who is speaking on their behalf.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::id::{OrganizationId, SessionId, TokenId, UserId};
use crate::workspace::UnknownChoice;

/// An e-mail address, in the one spelling that accounts are found by.
///
/// Trimmed and lower-cased, exactly one `@`, no spaces or control characters, 254 bytes at most
/// (RFC 5321). Whether mail arrives there is not known from the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

/// A text was not an e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address")]
pub struct InvalidEmailAddress;

impl EmailAddress {
    /// Longest address, in bytes.
    pub const LIMIT: usize = 254;

    /// Reads an address as a person types it.
    ///
    /// # Errors
    /// [`InvalidEmailAddress`] for all that could not be one.
    pub fn parse(text: &str) -> Result<Self, InvalidEmailAddress> {
        let text = text.trim_matches([' ', '\t']);
        let (local, domain) = text.split_once('@').ok_or(InvalidEmailAddress)?;
        let is_legal = text.len() <= Self::LIMIT
            && !local.is_empty()
            && local.len() <= 64
            && !domain.contains('@')
            && domain.split('.').all(|label| !label.is_empty())
            && text.is_ascii()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"\"(),:;<>[\\]".contains(&byte));
        if is_legal {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(InvalidEmailAddress)
        }
    }

    /// Returns the canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Shows that there is an address, not which: addresses do not belong in logs.
impl fmt::Debug for EmailAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EmailAddress(…)")
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = InvalidEmailAddress;
    fn try_from(text: String) -> Result<Self, InvalidEmailAddress> {
        Self::parse(&text)
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0
    }
}

/// What a person may do in an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Manages people and sees, stops and deletes every workspace; enters only their own.
    Administrator,
    /// Makes and uses their own workspaces.
    Member,
}

impl Role {
    /// Returns the role's name as it stands in the API and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Member => "member",
        }
    }
}

impl FromStr for Role {
    type Err = UnknownChoice;
    fn from_str(text: &str) -> Result<Self, UnknownChoice> {
        match text {
            "administrator" => Ok(Self::Administrator),
            "member" => Ok(Self::Member),
            _ => Err(UnknownChoice {
                what: "role",
                expected: "administrator, member",
            }),
        }
    }
}

/// A person with an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// The address they sign in with.
    pub email: EmailAddress,
    /// The name shown to people, 1 to 100 characters without control characters.
    pub name: String,
    /// The organisation they belong to.
    pub organization: OrganizationId,
    /// What they may do in it.
    pub role: Role,
    /// When the account was made.
    pub created_at: Timestamp,
}

/// What an API token may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
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

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [
        Self::WorkspaceRead,
        Self::WorkspaceWrite,
        Self::WorkspaceDelete,
        Self::UsersWrite,
    ];

    /// Returns the scope as it stands in the API and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WorkspaceRead => "workspace:read",
            Self::WorkspaceWrite => "workspace:write",
            Self::WorkspaceDelete => "workspace:delete",
            Self::UsersWrite => "users:write",
        }
    }
}

impl FromStr for Scope {
    type Err = UnknownChoice;
    fn from_str(text: &str) -> Result<Self, UnknownChoice> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or(UnknownChoice {
                what: "scope",
                expected: "workspace:read, workspace:write, workspace:delete, users:write",
            })
    }
}

/// How a request proved who it speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A browser's session.
    Session(SessionId),
    /// An API token, limited to its scopes.
    Token {
        /// Which token.
        id: TokenId,
        /// What it may be used for.
        scopes: Vec<Scope>,
    },
}

/// Who is asking: a person, and by what right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The person.
    pub user: UserId,
    /// Their organisation.
    pub organization: OrganizationId,
    /// Their role in it.
    pub role: Role,
    /// How they proved it.
    pub credential: Credential,
}

impl Principal {
    /// Tells whether the credential covers `scope`. A session covers all.
    pub fn has_scope(&self, scope: Scope) -> bool {
        match &self.credential {
            Credential::Session(_) => true,
            Credential::Token { scopes, .. } => scopes.contains(&scope),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_has_one_spelling() {
        let canonical = EmailAddress::parse("ada@example.com").expect("legal");
        for text in ["Ada@Example.com", " ada@example.com ", "ADA@EXAMPLE.COM"] {
            assert_eq!(EmailAddress::parse(text).expect(text), canonical);
        }
    }

    #[test]
    fn what_cannot_be_an_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(300));
        for text in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "a@b@c",
            "a b@c",
            "a@b..c",
            "a\0@b",
            "аda@b",
            &long,
        ] {
            assert!(EmailAddress::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_address_never_shows_in_debug_output() {
        let address = EmailAddress::parse("ada@example.com").expect("legal");
        assert!(!format!("{address:?}").contains("ada"));
    }
}
