//! What a bridge is told before it starts, and the directory it is told in.
//!
//! The run directory is shared with the container, whose root may put anything into it. So files
//! are made new under a name nobody guesses and renamed into place, nothing is ever opened by a
//! name that was there, and what is cleaned away is never followed.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use kalpana_config::Site;
use kalpana_domain::address::WorkspaceAddress;
use kalpana_domain::workspace::Workspace;
use kalpana_protocol::launch::{
    EditorSettings, FILE_NAME, LaunchSettings, RepositorySettings, VERSION,
};

use crate::keys::NodeKey;
use crate::volume::{HOME_TARGET, WORKSPACE_TARGET};

/// Mode of a workspace's run directory: the container's root and the gateway reach it by its group,
/// and, by the sticky bit, neither replaces what the other or the orchestrator put there.
const RUN_MODE: u32 = 0o3770;

/// The workspace user's id and group in the image; of no account of any host.
const WORKSPACE_USER: u32 = 64_000;

/// The run directory could not be made or cleaned.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare {}", path.display())]
pub(crate) struct RunDirectoryError {
    /// The file or directory.
    path: PathBuf,
    /// Why.
    #[source]
    source: io::Error,
}

/// Returns what the bridge of a workspace's current generation is told.
pub(crate) fn settings(site: &Site, keys: &NodeKey, workspace: &Workspace) -> LaunchSettings {
    let id = workspace.id;
    let repository = workspace
        .spec
        .repository
        .as_ref()
        .map(|url| RepositorySettings {
            url: url.as_str().to_owned(),
            branch: workspace
                .spec
                .branch
                .as_ref()
                .map(|branch| branch.as_str().to_owned()),
            directory: url.directory(),
        });
    let folder = repository.as_ref().map_or_else(
        || WORKSPACE_TARGET.to_owned(),
        |repository| format!("{WORKSPACE_TARGET}/{}", repository.directory),
    );
    let editor_label = WorkspaceAddress::editor(id);
    LaunchSettings {
        version: VERSION,
        workspace: id.to_string(),
        generation: workspace.generation.0,
        keys: keys.connect_keys(id, workspace.generation),
        repository,
        editor: EditorSettings {
            port_url_template: site.workspace_url(&format!("{{{{port}}}}-{editor_label}")),
            trusted_domain: site.base_host(),
        },
        home: HOME_TARGET.to_owned(),
        folder,
        uid: WORKSPACE_USER,
        gid: WORKSPACE_USER,
    }
}

/// The directories that hosts and bridges share, one per workspace.
#[derive(Debug, Clone)]
pub(crate) struct RunDirectories {
    /// Where they are.
    root: PathBuf,
    /// The group that may make and dial sockets there.
    gid: u32,
    /// The group that may read launch files: our own, of which the gateway is no member.
    launch_gid: u32,
}

impl RunDirectories {
    /// Makes the directory that holds them.
    ///
    /// # Errors
    /// [`RunDirectoryError`] when the system refuses.
    pub(crate) fn create(
        root: PathBuf,
        gid: u32,
        launch_gid: u32,
    ) -> Result<Self, RunDirectoryError> {
        let failed = |source| RunDirectoryError {
            path: root.clone(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&root)
            .map_err(failed)?;
        // Who may pass is decided by each workspace's own directory.
        std::fs::set_permissions(&root, Permissions::from_mode(0o755)).map_err(failed)?;
        Ok(Self {
            root,
            gid,
            launch_gid,
        })
    }

    /// Returns the directory of a workspace.
    pub(crate) fn path(&self, workspace: &str) -> PathBuf {
        self.root.join(workspace)
    }

    /// Returns the groups that a container's root needs.
    pub(crate) fn groups(&self) -> Vec<u32> {
        let mut groups = vec![self.gid, self.launch_gid];
        groups.dedup();
        groups
    }

    /// Tells whether a workspace has a directory.
    pub(crate) fn exists(&self, workspace: &str) -> bool {
        self.path(workspace).symlink_metadata().is_ok()
    }

    /// Makes a workspace's directory afresh, with its launch file in it and nothing else: a socket
    /// of an earlier generation must not be taken for this one's.
    ///
    /// # Errors
    /// [`RunDirectoryError`] when the system refuses.
    pub(crate) fn prepare(&self, settings: &LaunchSettings) -> Result<(), RunDirectoryError> {
        let path = self.path(&settings.workspace);
        let failed = |source| RunDirectoryError {
            path: path.clone(),
            source,
        };
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                empty(&path).map_err(failed)?;
            }
            other => other.map_err(failed)?,
        }
        let group = rustix::process::Gid::from_raw(self.gid);
        rustix::fs::chown(&path, None, Some(group)).map_err(|error| failed(error.into()))?;
        std::fs::set_permissions(&path, Permissions::from_mode(RUN_MODE)).map_err(failed)?;
        self.write(&path, settings).map_err(failed)
    }

    fn write(&self, directory: &Path, settings: &LaunchSettings) -> io::Result<()> {
        let unfinished = directory.join(format!("{FILE_NAME}.{:08x}", rand::random::<u32>()));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(&serde_json::to_vec(settings)?)?;
        let group = rustix::process::Gid::from_raw(self.launch_gid);
        rustix::fs::fchown(&file, None, Some(group))?;
        file.set_permissions(Permissions::from_mode(0o640))?;
        std::fs::rename(&unfinished, directory.join(FILE_NAME))
    }

    /// Removes a workspace's directory with all that is in it. One that is not there is fine.
    ///
    /// # Errors
    /// [`RunDirectoryError`] when the system refuses.
    pub(crate) fn remove(&self, workspace: &str) -> Result<(), RunDirectoryError> {
        let path = self.path(workspace);
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(RunDirectoryError {
                path,
                source: error,
            }),
            _ => Ok(()),
        }
    }
}

/// Removes what is in a directory. The directory itself stays, because a container may hold it.
fn empty(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;
    use crate::testing::{site, workspace};

    fn directories(root: &Path) -> RunDirectories {
        let gid = rustix::process::getegid().as_raw();
        RunDirectories::create(root.join("w"), gid, gid).unwrap()
    }

    fn ordinary() -> LaunchSettings {
        settings(&site(), &NodeKey::from_bytes([1; 32]), &workspace())
    }

    #[test]
    fn settings_are_what_a_bridge_accepts() {
        let settings = ordinary();
        assert_eq!(settings.validate(), Ok(()));
        insta::assert_json_snapshot!(settings, { ".keys" => "…" }, @r#"
        {
          "version": 1,
          "workspace": "abcdefghij01",
          "generation": 1,
          "keys": "…",
          "repository": {
            "url": "https://git.example.com/team/project.git",
            "branch": "main",
            "directory": "project"
          },
          "editor": {
            "port_url_template": "https://{{port}}-abcdefghij01.kalpana.localhost:8443",
            "trusted_domain": "kalpana.localhost:8443"
          },
          "home": "/home/dev",
          "folder": "/workspace/project",
          "uid": 64000,
          "gid": 64000
        }
        "#);
    }

    #[test]
    fn the_directory_is_for_its_group_and_the_launch_file_is_not_for_everybody() {
        let root = tempfile::tempdir().unwrap();
        let directories = directories(root.path());
        directories.prepare(&ordinary()).unwrap();
        let path = directories.path("abcdefghij01");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&path), RUN_MODE);
        assert_eq!(mode(&path.join(FILE_NAME)), 0o640);
        let text = std::fs::read(path.join(FILE_NAME)).unwrap();
        assert_eq!(
            serde_json::from_slice::<LaunchSettings>(&text).unwrap(),
            ordinary()
        );
    }

    #[test]
    fn what_a_container_left_behind_is_gone_before_the_next_start() {
        let root = tempfile::tempdir().unwrap();
        let directories = directories(root.path());
        directories.prepare(&ordinary()).unwrap();
        let path = directories.path("abcdefghij01");
        let outside = root.path().join("outside");
        std::fs::write(&outside, "kept").unwrap();
        std::fs::remove_file(path.join(FILE_NAME)).unwrap();
        symlink(&outside, path.join(FILE_NAME)).unwrap();
        std::fs::write(path.join("bridge.sock"), "stale").unwrap();
        std::fs::create_dir_all(path.join("a/b")).unwrap();
        symlink(root.path(), path.join("a/link")).unwrap();
        directories.prepare(&ordinary()).unwrap();
        let names: Vec<_> = std::fs::read_dir(&path)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, vec![FILE_NAME]);
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "kept");
        directories.remove("abcdefghij01").unwrap();
        directories.remove("abcdefghij01").unwrap();
        assert!(!directories.exists("abcdefghij01"));
    }
}
