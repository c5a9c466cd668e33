//! What anybody may know of the site.

use kalpana_domain::workspace::{Egress, Size};
use serde::Serialize;
use utoipa::ToSchema;

use super::workspace::{EgressName, SizeName};

/// That the API answers, and whether what it needs does.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`: the API answers.
    pub(crate) status: &'static str,
    /// Whether the database answers: `ok`, or `away` while signing in and changes wait. A few
    /// seconds old.
    #[schema(example = "ok")]
    pub(crate) database: &'static str,
    /// Whether changes of workspaces are carried out: `ok`, or `away` while they wait.
    #[schema(example = "ok")]
    pub(crate) orchestrator: &'static str,
}

/// What anybody may know of the site: what the pages need before somebody signs in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Site)]
pub(crate) struct SiteView {
    /// The running version.
    pub(crate) version: &'static str,
    /// The site's origin, without a slash at the end.
    #[schema(example = "https://kalpana.localhost:8443")]
    pub(crate) base_url: String,
    /// The origin of a workspace's host, with `{label}` where its label goes.
    #[schema(example = "https://{label}.kalpana.localhost:8443")]
    pub(crate) workspace_url: String,
    /// Whether the first administrator is still to be made, with the setup link.
    pub(crate) setup_required: bool,
    /// The sizes a workspace can have, smallest first.
    pub(crate) sizes: Vec<SizeOption>,
    /// What workspaces may reach unless asked otherwise.
    pub(crate) egress_default: EgressName,
    /// What people should know of how this site is run.
    pub(crate) notices: Vec<Notice>,
}

/// A size that a workspace can have.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SizeOption {
    /// Its name.
    pub(crate) name: SizeName,
    /// CPUs.
    pub(crate) cpus: f64,
    /// Memory, in bytes.
    pub(crate) memory_bytes: u64,
}

/// Something that people should know of how this site is run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Notice {
    /// Stable and in snake_case.
    pub(crate) code: &'static str,
    /// One sentence or two for people.
    pub(crate) message: String,
}

impl SizeOption {
    /// Returns every size, smallest first.
    pub(crate) fn all() -> Vec<Self> {
        Size::ALL
            .into_iter()
            .map(|size| {
                let resources = size.resources();
                Self {
                    name: size.into(),
                    cpus: resources.cpu_millis as f64 / 1000.0,
                    memory_bytes: resources.memory_bytes,
                }
            })
            .collect()
    }
}

impl From<Egress> for EgressName {
    fn from(egress: Egress) -> Self {
        match egress {
            Egress::Open => Self::Open,
            Egress::None => Self::None,
        }
    }
}
