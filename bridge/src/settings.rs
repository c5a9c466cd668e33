//! What a bridge is told: the launch file, and where things are.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use kalpana_protocol::launch::{self, InvalidLaunch, LaunchSettings};

/// Where workspaces keep their files.
const WORKSPACE_ROOT: &str = "/workspace";

/// Where the bridge keeps the editor's socket.
const RUNTIME_DIR: &str = "/run/kalpana";

/// The editor in the workspace image.
const EDITOR: &str = "/opt/kalpana/code-server/bin/code-server";

/// Longest launch file, in bytes.
const FILE_LIMIT: u64 = 64 << 10;

/// What a bridge is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The launch file.
    pub launch: LaunchSettings,
    /// The run directory, which is shared with the host.
    pub run_dir: PathBuf,
    /// `/workspace`.
    pub root: PathBuf,
    /// A directory of the container's own, for the editor's socket.
    pub runtime_dir: PathBuf,
    /// The editor's program.
    pub editor: String,
    /// Whether children keep the user of the bridge. Only without root, where there is no other.
    pub keeps_user: bool,
}

/// A bridge cannot start with what it was told.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The run directory is not named.
    #[error(
        "the environment variable {} is not set to an absolute path",
        launch::RUN_DIR_VARIABLE
    )]
    NoRunDir,
    /// The launch file is not there.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The launch file holds keys and everybody may read it.
    #[error("{} is open to every user (mode {mode:04o}); expected 0640 or less", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The launch file is not what it should be.
    #[error("{} is not a launch file", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// The launch file says something impossible.
    #[error(transparent)]
    Invalid(#[from] InvalidLaunch),
    /// Root must not hand root on.
    #[error("KALPANA_KEEP_USER is for bridges that are not root")]
    KeepsRoot,
}

impl Settings {
    /// Reads the environment and the launch file it points to.
    ///
    /// # Errors
    /// [`SettingsError`] if a bridge cannot run like this.
    pub fn load() -> Result<Self, SettingsError> {
        let variable = |name| std::env::var_os(name).map(PathBuf::from);
        let run_dir = variable(launch::RUN_DIR_VARIABLE)
            .filter(|path| path.is_absolute())
            .ok_or(SettingsError::NoRunDir)?;
        let launch = read(run_dir.join(launch::FILE_NAME))?;
        let keeps_user = std::env::var_os("KALPANA_KEEP_USER").is_some_and(|value| value == "1");
        if keeps_user && rustix::process::geteuid().is_root() {
            return Err(SettingsError::KeepsRoot);
        }
        Ok(Self {
            launch,
            run_dir,
            root: variable("KALPANA_WORKSPACE_ROOT").unwrap_or_else(|| WORKSPACE_ROOT.into()),
            runtime_dir: variable("KALPANA_RUNTIME_DIR").unwrap_or_else(|| RUNTIME_DIR.into()),
            editor: std::env::var("KALPANA_EDITOR").unwrap_or_else(|_| EDITOR.into()),
            keeps_user,
        })
    }

    /// Returns the directory that the editor's socket is in.
    pub fn editor_dir(&self) -> PathBuf {
        self.runtime_dir.join("editor")
    }

    /// Returns the editor's socket.
    pub fn editor_socket(&self) -> PathBuf {
        self.editor_dir().join("editor.sock")
    }

    /// Returns the bridge's own socket.
    pub fn socket(&self) -> PathBuf {
        self.run_dir.join(launch::SOCKET_NAME)
    }
}

fn read(path: PathBuf) -> Result<LaunchSettings, SettingsError> {
    let mut bytes = Vec::new();
    let opened = File::open(&path).and_then(|file| {
        let mode = file.metadata()?.permissions().mode();
        file.take(FILE_LIMIT).read_to_end(&mut bytes)?;
        Ok(mode & 0o7777)
    });
    let mode = match opened {
        Ok(mode) => mode,
        Err(source) => return Err(SettingsError::Read { path, source }),
    };
    if mode & 0o007 != 0 {
        return Err(SettingsError::Exposed { path, mode });
    }
    let launch: LaunchSettings = match serde_json::from_slice(&bytes) {
        Ok(launch) => launch,
        Err(source) => return Err(SettingsError::Parse { path, source }),
    };
    launch.validate()?;
    Ok(launch)
}

#[cfg(test)]
pub(crate) mod test_support {
    use std::path::Path;

    use kalpana_protocol::launch::{ConnectKeys, EditorSettings, VERSION};
    use kalpana_protocol::preamble::ConnectKey;

    use super::*;

    /// Settings of a bridge whose directories are all below `base`.
    pub(crate) fn settings(base: &Path) -> Settings {
        let launch = LaunchSettings {
            version: VERSION,
            workspace: "abcdefghijk1".into(),
            generation: 4,
            keys: ConnectKeys {
                gateway: ConnectKey::from_bytes([1; 32]),
                orchestrator: ConnectKey::from_bytes([2; 32]),
            },
            repository: None,
            editor: EditorSettings {
                port_url_template: "https://{{port}}-abcdefghijk1.kalpana.localhost:8443".into(),
                trusted_domain: "kalpana.localhost:8443".into(),
            },
            home: base.join("home").to_string_lossy().into_owned(),
            folder: base.join("workspace").to_string_lossy().into_owned(),
            uid: 64000,
            gid: 64000,
        };
        Settings {
            launch,
            run_dir: base.join("run"),
            root: base.join("workspace"),
            runtime_dir: base.join("runtime"),
            editor: "/nonexistent/code-server".into(),
            keeps_user: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(launch::FILE_NAME);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn launch_file_is_read() {
        let launch = test_support::settings(std::path::Path::new("/base")).launch;
        let (_directory, path) = written(&serde_json::to_string(&launch).unwrap(), 0o640);
        assert_eq!(read(path).unwrap(), launch);
    }

    #[test]
    fn exposed_missing_and_nonsensical_files_are_refused() {
        let launch = test_support::settings(std::path::Path::new("/base")).launch;
        let text = serde_json::to_string(&launch).unwrap();
        let (_directory, path) = written(&text, 0o644);
        assert!(matches!(
            read(path),
            Err(SettingsError::Exposed { mode: 0o644, .. })
        ));
        let (directory, _) = written(&text, 0o600);
        let missing = directory.path().join("missing");
        assert!(matches!(read(missing), Err(SettingsError::Read { .. })));
        for text in ["", "{}", "[]", "\u{0}"] {
            let (_directory, path) = written(text, 0o600);
            assert!(
                matches!(read(path), Err(SettingsError::Parse { .. })),
                "{text:?}"
            );
        }
        let (_directory, path) = written(&text.replace("\"uid\":64000", "\"uid\":0"), 0o600);
        assert!(matches!(read(path), Err(SettingsError::Invalid(_))));
    }
}
