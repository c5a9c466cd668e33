//! The site as resolved: its URLs and its directories, for every role alike.

use std::path::{Path, PathBuf};

use crate::Config;

/// The names and places that every role derives from the configuration in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The base domain, where the control plane answers.
    pub domain: String,
    /// The domain that workspaces are labels of.
    pub workspace_domain: String,
    /// The port people use.
    pub port: u16,
    /// Where everything that must survive is kept.
    pub data_dir: PathBuf,
    /// Where sockets are.
    pub run_dir: PathBuf,
    store_path: PathBuf,
}

/// The places of a site could not be decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    /// Neither a data directory nor a home is known.
    #[error("no data directory: set server.data_dir, or HOME")]
    NoDataDirectory,
    /// Socket paths would not fit.
    #[error(
        "the run directory {path} is longer than {limit} bytes; set server.run_dir to a shorter one"
    )]
    RunDirectoryTooLong {
        /// The directory.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
}

impl Site {
    /// Resolves the site for a process that `is_root` or has `home`.
    ///
    /// # Errors
    /// [`SiteError`] when a directory is unknown or too long.
    pub fn resolve(config: &Config, is_root: bool, home: Option<&Path>) -> Result<Self, SiteError> {
        let server = &config.server;
        let data_dir = match (&server.data_dir, is_root, home) {
            (Some(path), _, _) => path.clone(),
            (None, true, _) => PathBuf::from("/var/lib/kalpana"),
            (None, false, Some(home)) => home.join(".local/share/kalpana"),
            (None, false, None) => return Err(SiteError::NoDataDirectory),
        };
        let run_dir = match (&server.run_dir, is_root && server.data_dir.is_none()) {
            (Some(path), _) => path.clone(),
            (None, true) => PathBuf::from("/run/kalpana"),
            (None, false) => data_dir.join("run"),
        };
        let limit = crate::Server::RUN_DIR_LIMIT;
        if run_dir.as_os_str().len() > limit {
            return Err(SiteError::RunDirectoryTooLong {
                path: run_dir,
                limit,
            });
        }
        let store_path = config
            .store
            .path
            .clone()
            .unwrap_or_else(|| data_dir.join("store/kalpana.sqlite3"));
        Ok(Self {
            domain: server.domain.clone(),
            workspace_domain: server.workspace_domain().to_owned(),
            port: server.public_port.unwrap_or(config.gateway.listen.port()),
            data_dir,
            run_dir,
            store_path,
        })
    }

    /// Returns the control plane's host as browsers write it: with the port unless it is 443.
    pub fn base_host(&self) -> String {
        with_port(&self.domain, self.port)
    }

    /// Returns the control plane's origin, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("https://{}", self.base_host())
    }

    /// Returns the host of a workspace label as browsers write it.
    pub fn workspace_host(&self, label: &str) -> String {
        with_port(&format!("{label}.{}", self.workspace_domain), self.port)
    }

    /// Returns the origin of a workspace label, without a slash at the end.
    pub fn workspace_url(&self, label: &str) -> String {
        format!("https://{}", self.workspace_host(label))
    }

    /// Tells whether workspaces are below the base domain itself, which is the weaker arrangement.
    pub fn is_single_domain(&self) -> bool {
        self.workspace_domain == self.domain
    }

    /// Returns the SQLite file.
    pub fn store_path(&self) -> &Path {
        &self.store_path
    }

    /// Returns the directory that only the gateway reads.
    pub fn gateway_dir(&self) -> PathBuf {
        self.data_dir.join("gateway")
    }

    /// Returns the directory that only web reads.
    pub fn web_dir(&self) -> PathBuf {
        self.data_dir.join("web")
    }

    /// Returns the directory that only the orchestrator reads.
    pub fn orchestrator_dir(&self) -> PathBuf {
        self.data_dir.join("orchestrator")
    }

    /// Returns the local authority's certificate, which everybody may read.
    pub fn authority_certificate(&self) -> PathBuf {
        self.data_dir.join("public/authority.crt")
    }

    /// Returns the socket of web's public HTTP, which the gateway proxies the base domain to.
    pub fn web_socket(&self) -> PathBuf {
        self.run_dir.join("web.sock")
    }

    /// Socket at which the gateway that serves offers to be taken over.
    pub fn handover_socket(&self) -> PathBuf {
        self.run_dir.join("gateway-handover.sock")
    }

    /// Socket at which the gateway is asked about its certificates.
    pub fn gateway_control_socket(&self) -> PathBuf {
        self.run_dir.join("gateway-control.sock")
    }

    /// Socket at which `kalpana up` is asked to replace one of its processes.
    pub fn supervisor_socket(&self) -> PathBuf {
        self.run_dir.join("supervisor.sock")
    }

    /// Returns the socket of web's internal API.
    pub fn web_internal_socket(&self) -> PathBuf {
        self.run_dir.join("web-internal.sock")
    }

    /// Returns the socket of the orchestrator's internal API.
    pub fn orchestrator_socket(&self) -> PathBuf {
        self.run_dir.join("orchestrator.sock")
    }

    /// Returns the directory that holds one directory per workspace.
    pub fn workspaces_run_dir(&self) -> PathBuf {
        self.run_dir.join("w")
    }

    /// Returns the run directory of one workspace, the same path on the host and inside.
    pub fn workspace_run_dir(&self, workspace: &str) -> PathBuf {
        self.workspaces_run_dir().join(workspace)
    }

    /// Returns the socket of one workspace's bridge.
    pub fn bridge_socket(&self, workspace: &str) -> PathBuf {
        self.workspace_run_dir(workspace).join("bridge.sock")
    }
}

fn with_port(host: &str, port: u16) -> String {
    if port == 443 {
        host.to_owned()
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_port_is_left_out_of_urls() {
        let mut config = Config::default();
        let site = Site::resolve(&config, true, None).expect("resolved");
        assert_eq!(site.base_url(), "https://kalpana.localhost:8443");
        assert_eq!(
            site.workspace_url("3000-abcdefghij01"),
            "https://3000-abcdefghij01.kalpana.localhost:8443"
        );
        config.server.public_port = Some(443);
        let site = Site::resolve(&config, true, None).expect("resolved");
        assert_eq!(site.base_url(), "https://kalpana.localhost");
    }

    #[test]
    fn the_longest_run_directory_leaves_room_for_a_bridge_socket() {
        let mut config = Config::default();
        config.server.run_dir = Some(format!("/{}", "r".repeat(59)).into());
        let site = Site::resolve(&config, true, None).expect("resolved");
        assert!(site.bridge_socket("abcdefghij01").as_os_str().len() < 108);
        config.server.run_dir = Some(format!("/{}", "r".repeat(60)).into());
        assert!(Site::resolve(&config, true, None).is_err());
    }

    #[test]
    fn a_user_keeps_everything_below_home() {
        let site = Site::resolve(&Config::default(), false, Some(Path::new("/home/ada")))
            .expect("resolved");
        assert_eq!(site.data_dir, Path::new("/home/ada/.local/share/kalpana"));
        assert_eq!(
            site.run_dir,
            Path::new("/home/ada/.local/share/kalpana/run")
        );
        assert_eq!(
            Site::resolve(&Config::default(), false, None),
            Err(SiteError::NoDataDirectory)
        );
    }
}
