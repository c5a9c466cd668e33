//! `[server]`: the site's name in the world, and its directories.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::validate::Scope;

/// The site: its name in the world and its directories.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// The base domain. The control plane answers here, workspaces at labels below
    /// `workspace_domain`. Default: `kalpana.localhost`, which browsers resolve to this machine.
    pub domain: String,
    /// The domain that workspaces are below. Default: the base domain. A second registrable domain
    /// is stronger against hostile workspaces, at the price that the editor opens in its own tab.
    pub workspace_domain: Option<String>,
    /// The port people type, when it is not the one the gateway listens on (behind a NAT or a
    /// load balancer). Default: the port of `gateway.listen`.
    pub public_port: Option<u16>,
    /// Where everything that must survive is kept. Default: `/var/lib/kalpana` as root, else
    /// `~/.local/share/kalpana`.
    pub data_dir: Option<PathBuf>,
    /// Where sockets are. Default: `/run/kalpana` as root, else `<data_dir>/run`. At most 60 bytes,
    /// because socket paths below it must stay under 108.
    pub run_dir: Option<PathBuf>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            domain: "kalpana.localhost".to_owned(),
            workspace_domain: None,
            public_port: None,
            data_dir: None,
            run_dir: None,
        }
    }
}

impl Server {
    /// Longest run directory, in bytes.
    pub const RUN_DIR_LIMIT: usize = 60;

    /// Returns the domain that workspaces are below.
    pub fn workspace_domain(&self) -> &str {
        self.workspace_domain.as_deref().unwrap_or(&self.domain)
    }

    /// Records what is wrong.
    pub fn validate(&self, problems: &mut Scope<'_>) {
        let domains = [
            ("domain", Some(&self.domain)),
            ("workspace_domain", self.workspace_domain.as_ref()),
        ];
        for (field, domain) in domains {
            if let Some(domain) = domain {
                problems.require(
                    is_domain(domain),
                    field,
                    format!("{domain:?} is not a lower-case domain name of two labels or more"),
                );
            }
        }
        for (field, path) in [("data_dir", &self.data_dir), ("run_dir", &self.run_dir)] {
            if let Some(path) = path {
                problems.require(path.is_absolute(), field, "must be an absolute path");
            }
        }
        if let Some(path) = &self.run_dir {
            problems.require(
                path.as_os_str().len() <= Self::RUN_DIR_LIMIT,
                "run_dir",
                format!(
                    "is longer than {} bytes; socket paths would not fit",
                    Self::RUN_DIR_LIMIT
                ),
            );
        }
    }
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    text.len() <= 200 && text.split('.').count() >= 2 && text.split('.').all(is_label)
}
