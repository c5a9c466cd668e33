//! Organisations: groups of people who share workspaces and limits.
//!
//! Every site starts with one, the default organisation, and everybody belongs to it.

use serde::{Deserialize, Serialize};

use crate::id::{OrganizationId, UserId};
use crate::{Timestamp, user::Role};

/// A group of people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its short name, unique on the site.
    pub slug: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Organization {
    /// Slug of the organisation that every site starts with.
    pub const DEFAULT_SLUG: &'static str = "default";
}

/// One person's place in one organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The organisation.
    pub organization: OrganizationId,
    /// The person.
    pub user: UserId,
    /// What they may do in it.
    pub role: Role,
}
