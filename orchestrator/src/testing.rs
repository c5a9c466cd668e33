//! What many tests start from.

use std::time::Duration;

use kalpana_config::{Config, Site};
use kalpana_domain::Timestamp;
use kalpana_domain::id::{Generation, OrganizationId, UserId, WorkspaceId};
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::repository::{BranchName, RepositoryUrl};
use kalpana_domain::sleep::SleepPolicy;
use kalpana_domain::workspace::{Desired, Egress, Size, Spec, Workspace, WorkspaceName};

use crate::container::Host;
use crate::engine::Capabilities;

/// Returns a site as configured by default, for root.
pub(crate) fn site() -> Site {
    Site::resolve(&Config::default(), true, None).unwrap()
}

/// Returns a workspace that has just been asked for.
pub(crate) fn workspace() -> Workspace {
    Workspace {
        id: WorkspaceId::parse("abcdefghij01").unwrap(),
        organization: OrganizationId::from_bytes([1; 16]),
        owner: UserId::from_bytes([2; 16]),
        spec: spec(),
        sleep: SleepPolicy::default(),
        filled_from: None,
        desired: Desired::Running,
        lifecycle: Lifecycle::Starting {
            since: Timestamp::UNIX_EPOCH,
        },
        generation: Generation(1),
        version: 1,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    }
}

/// Returns what people usually ask for.
pub(crate) fn spec() -> Spec {
    Spec {
        name: WorkspaceName::parse("My project").unwrap(),
        repository: Some(RepositoryUrl::parse("https://git.example.com/team/project.git").unwrap()),
        branch: Some(BranchName::parse("main").unwrap()),
        size: Size::Small,
        egress: Egress::Open,
    }
}

/// Returns a host as it usually is.
pub(crate) fn host() -> Host {
    Host {
        instance: "kalpana".into(),
        image: "kalpana/workspace:dev".into(),
        runtime: None,
        stop_timeout: Duration::from_secs(20),
        groups: vec![1001, 1002],
        has_ipv6: true,
    }
}

/// Returns an engine as it usually is.
pub(crate) fn capabilities() -> Capabilities {
    Capabilities {
        version: "20.10.24".into(),
        cpus: 8,
        limits_swap: true,
        root_uid: 0,
    }
}
