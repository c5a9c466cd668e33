//! How a workspace's ports are shared, as its owner is shown it.

use kalpana_config::Site;
use kalpana_domain::Timestamp;
use kalpana_domain::sharing::{Moment, PortShare, ShareLink, SharingLevel};
use kalpana_domain::user::User;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who may visit a port. Each level lets in everybody that the level before does.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SharingLevel)]
pub(crate) enum LevelName {
    /// The workspace's owner alone.
    Owner,
    /// People whom the owner has named.
    Members,
    /// Everybody of the organisation who is signed in.
    Organization,
    /// Whoever has a link to it.
    Link,
    /// Everybody who knows the address, without signing in.
    Public,
}

impl From<SharingLevel> for LevelName {
    fn from(level: SharingLevel) -> Self {
        match level {
            SharingLevel::Owner => Self::Owner,
            SharingLevel::Members => Self::Members,
            SharingLevel::Organization => Self::Organization,
            SharingLevel::Link => Self::Link,
            SharingLevel::Public => Self::Public,
        }
    }
}

/// Somebody with an account.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Person)]
pub(crate) struct PersonView {
    /// Their id.
    #[schema(format = Uuid)]
    id: String,
    /// The name shown to people.
    name: String,
    /// The address they sign in with.
    #[schema(format = Email)]
    email: String,
}

impl From<&User> for PersonView {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.to_string(),
            name: user.name.clone(),
            email: user.email.as_str().to_owned(),
        }
    }
}

/// People who were looked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct People {
    /// The first that were found, at most ten.
    pub(crate) people: Vec<PersonView>,
}

/// How a workspace's ports are shared.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Sharing)]
pub(crate) struct SharingView {
    /// The widest level that this site allows.
    pub(crate) maximum: LevelName,
    /// The ports that are shared, or were until the last start or their end, by number.
    pub(crate) ports: Vec<PortShareView>,
    /// Who asks to be let in, the earliest first.
    pub(crate) requests: Vec<AccessRequestView>,
}

/// How a port is shared.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PortShare)]
pub(crate) struct PortShareView {
    /// The port.
    port: u16,
    /// The address to give to those who may visit it.
    #[schema(format = Uri)]
    url: String,
    /// Who may visit it.
    level: LevelName,
    /// Whether that holds. It does not once it has expired, or after a start that it was not to
    /// outlive; then only the owner may visit.
    is_in_force: bool,
    /// Who may visit it now: the level, as far as it holds and the site allows.
    level_in_force: LevelName,
    /// The people who are named.
    members: Vec<PersonView>,
    /// When it ends by itself, if it does.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// Whether it outlives the next start of the workspace.
    keep_after_restart: bool,
    /// Its links, the oldest first.
    links: Vec<ShareLinkView>,
}

impl PortShareView {
    /// Shows a port. `moment` is what the owner's changes are judged by, with the site's maximum.
    pub(crate) fn new(
        share: &PortShare,
        members: Vec<PersonView>,
        moment: &Moment,
        site: &Site,
    ) -> Self {
        let uncapped = Moment {
            maximum: SharingLevel::Public,
            ..*moment
        };
        let rule = &share.rule;
        let links = share.links.iter().filter(|link| link.is_alive(moment.now));
        Self {
            port: share.port,
            url: site.workspace_url(&share.address().to_string()),
            level: rule.level.into(),
            is_in_force: rule.level_at(&uncapped) == rule.level,
            level_in_force: rule.level_at(moment).into(),
            members,
            expires_at: rule.expires_at,
            keep_after_restart: rule.generation.is_none(),
            links: links.map(ShareLinkView::from).collect(),
        }
    }
}

/// A link to a port, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShareLink)]
pub(crate) struct ShareLinkView {
    /// Its id.
    #[schema(format = Uuid)]
    id: String,
    /// The beginning of the paths that it opens.
    #[schema(example = "/")]
    path: String,
    /// Whether it works once only.
    one_use: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// When it was used first.
    #[schema(value_type = Option<String>, format = DateTime)]
    used_at: Option<Timestamp>,
}

impl From<&ShareLink> for ShareLinkView {
    fn from(link: &ShareLink) -> Self {
        Self {
            id: link.id.to_string(),
            path: link.path.to_string(),
            one_use: link.is_one_use,
            created_at: link.created_at,
            expires_at: link.expires_at,
            used_at: link.used_at,
        }
    }
}

/// A link that was just made. Its address is shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedLink {
    /// The address to give away. Whoever has it may visit the port.
    #[schema(example = "https://kalpana.localhost:8443/share#ksl_…")]
    pub(crate) url: String,
    /// All else of it.
    #[serde(flatten)]
    pub(crate) link: ShareLinkView,
}

/// Somebody who asks to be let in to a port.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessRequest)]
pub(crate) struct AccessRequestView {
    /// The port.
    pub(crate) port: u16,
    /// Who.
    pub(crate) user: PersonView,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) asked_at: Timestamp,
}

/// Where a link leads.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LinkTarget {
    /// The address to go to next, within two minutes and in the same browser.
    #[schema(format = Uri)]
    pub(crate) url: String,
}
