//! What a bridge is started with: the file the orchestrator leaves in the workspace's run
//! directory before it starts the container.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::preamble::{Audience, ConnectKey, is_workspace_id};

/// The file's name in the run directory.
pub const FILE_NAME: &str = "launch.json";

/// The bridge's socket in the run directory.
pub const SOCKET_NAME: &str = "bridge.sock";

/// The environment variable that names the run directory inside the container. The path is the
/// same inside and outside.
pub const RUN_DIR_VARIABLE: &str = "KALPANA_RUN_DIR";

/// The version of the file that this code writes and reads.
pub const VERSION: u32 = 1;

/// Everything a bridge must know. The file is readable by the container's root alone, because it
/// holds the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchSettings {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// The workspace's id, `[a-z][a-z0-9]{11}`.
    pub workspace: String,
    /// Which start of the workspace this is.
    pub generation: u64,
    /// Who may dial.
    pub keys: ConnectKeys,
    /// What to clone, if anything.
    pub repository: Option<RepositorySettings>,
    /// How the editor is set up.
    pub editor: EditorSettings,
    /// The workspace user's home directory, absolute.
    pub home: String,
    /// The folder the editor opens, absolute.
    pub folder: String,
    /// The workspace user's id; never 0.
    pub uid: u32,
    /// The workspace user's group; never 0.
    pub gid: u32,
}

/// One key per audience.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectKeys {
    /// The gateway's, for editor and ports.
    pub gateway: ConnectKey,
    /// The orchestrator's, for JSON-RPC.
    pub orchestrator: ConnectKey,
}

impl ConnectKeys {
    /// Returns the key of one audience.
    pub fn of(&self, audience: Audience) -> &ConnectKey {
        match audience {
            Audience::Gateway => &self.gateway,
            Audience::Orchestrator => &self.orchestrator,
        }
    }
}

/// The repository a workspace starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositorySettings {
    /// Where from: `https:` or `http:` only.
    pub url: String,
    /// The branch to check out; the remote's own default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The directory below the workspace root: one plain path component.
    pub directory: String,
}

/// How the editor is set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditorSettings {
    /// Where the editor shows a port of the workspace, with `{{port}}` in place of its number:
    /// `https://{{port}}-abcdefghijk1.kalpana.localhost:8443`.
    pub port_url_template: String,
    /// The site's domain, for links that the editor need not ask about.
    pub trusted_domain: String,
}

/// What is wrong with launch settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLaunch {
    /// The file is of another version.
    #[error("launch settings of version {found}, but this bridge reads version {VERSION}")]
    Version {
        /// The version found.
        found: u32,
    },
    /// A field does not hold what it must.
    #[error("launch setting {field:?} is invalid: {reason}")]
    Field {
        /// The field's path.
        field: &'static str,
        /// What it must be.
        reason: &'static str,
    },
}

impl LaunchSettings {
    /// Checks what types cannot: formats, and that the user is not root.
    ///
    /// The orchestrator has checked all of it before; a bridge checks again because it is the one
    /// that would run what a mistake names.
    ///
    /// # Errors
    /// The first [`InvalidLaunch`] found.
    pub fn validate(&self) -> Result<(), InvalidLaunch> {
        if self.version != VERSION {
            return Err(InvalidLaunch::Version {
                found: self.version,
            });
        }
        check(
            is_workspace_id(&self.workspace),
            "workspace",
            "expected [a-z][a-z0-9]{11}",
        )?;
        check(is_absolute(&self.home), "home", "expected an absolute path")?;
        check(
            is_absolute(&self.folder),
            "folder",
            "expected an absolute path",
        )?;
        check(
            self.uid != 0,
            "uid",
            "the workspace's user must not be root",
        )?;
        check(
            self.gid != 0,
            "gid",
            "the workspace's group must not be root's",
        )?;
        let template = &self.editor.port_url_template;
        check(
            template.contains("{{port}}") && !has_odd_bytes(template),
            "editor.port_url_template",
            "expected a URL with {{port}}",
        )?;
        self.repository
            .as_ref()
            .map_or(Ok(()), RepositorySettings::validate)
    }
}

impl RepositorySettings {
    /// Longest URL, in bytes.
    pub const URL_LIMIT: usize = 2048;

    /// Checks that nothing here can be read by Git as an option or as a program to run.
    ///
    /// # Errors
    /// The first [`InvalidLaunch`] found.
    pub fn validate(&self) -> Result<(), InvalidLaunch> {
        let url = &self.url;
        let rest = url
            .strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"));
        let rest = rest.ok_or(InvalidLaunch::Field {
            field: "repository.url",
            reason: "expected https:// or http://",
        })?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let is_plain = url.len() <= Self::URL_LIMIT
            && !has_odd_bytes(url)
            && !authority.is_empty()
            && !authority.starts_with(['-', ':'])
            && !authority.contains('@')
            && rest.len() > authority.len() + 1;
        check(
            is_plain,
            "repository.url",
            "expected a host and a path, and no credentials",
        )?;
        if let Some(branch) = &self.branch {
            let is_plain = !branch.is_empty()
                && branch.len() <= 255
                && !branch.starts_with('-')
                && !has_odd_bytes(branch)
                && !branch.contains("..");
            check(is_plain, "repository.branch", "expected a branch name")?;
        }
        let directory = &self.directory;
        let is_component = !directory.is_empty()
            && directory.len() <= 255
            && !directory.starts_with(['.', '-'])
            && directory
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        check(
            is_component,
            "repository.directory",
            "expected one plain path component",
        )
    }
}

impl fmt::Display for RepositorySettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.branch {
            Some(branch) => write!(formatter, "{} (branch {branch})", self.url),
            None => formatter.write_str(&self.url),
        }
    }
}

fn check(holds: bool, field: &'static str, reason: &'static str) -> Result<(), InvalidLaunch> {
    if holds {
        Ok(())
    } else {
        Err(InvalidLaunch::Field { field, reason })
    }
}

fn is_absolute(path: &str) -> bool {
    path.starts_with('/') && !path.contains('\0') && !path.split('/').any(|part| part == "..")
}

fn has_odd_bytes(text: &str) -> bool {
    text.bytes()
        .any(|byte| byte.is_ascii_control() || byte == b' ' || byte == b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> LaunchSettings {
        LaunchSettings {
            version: VERSION,
            workspace: "abcdefghijk1".into(),
            generation: 2,
            keys: ConnectKeys {
                gateway: ConnectKey::from_bytes([1; 32]),
                orchestrator: ConnectKey::from_bytes([2; 32]),
            },
            repository: Some(repository("https://git.example.com/team/project.git")),
            editor: EditorSettings {
                port_url_template: "https://{{port}}-abcdefghijk1.kalpana.localhost:8443".into(),
                trusted_domain: "kalpana.localhost:8443".into(),
            },
            home: "/home/dev".into(),
            folder: "/workspace/project".into(),
            uid: 64000,
            gid: 64000,
        }
    }

    fn repository(url: &str) -> RepositorySettings {
        RepositorySettings {
            url: url.into(),
            branch: None,
            directory: "project".into(),
        }
    }

    #[test]
    fn settings_round_trip_through_json() {
        let json = serde_json::to_string(&settings()).unwrap();
        let read: LaunchSettings = serde_json::from_str(&json).unwrap();
        assert_eq!(read, settings());
        assert_eq!(read.validate(), Ok(()));
        let unknown = json.replacen('{', r#"{"debug":true,"#, 1);
        assert!(serde_json::from_str::<LaunchSettings>(&unknown).is_err());
    }

    #[test]
    fn keys_do_not_appear_in_debug_output() {
        let text = format!("{:?}", settings());
        assert!(!text.contains(&settings().keys.gateway.expose()));
        assert!(text.contains("ConnectKey(…)"));
    }

    #[test]
    fn root_and_relative_paths_are_refused() {
        let field = |settings: LaunchSettings| match settings.validate() {
            Err(InvalidLaunch::Field { field, .. }) => field,
            other => panic!("expected a field error, got {other:?}"),
        };
        assert_eq!(
            field(LaunchSettings {
                uid: 0,
                ..settings()
            }),
            "uid"
        );
        assert_eq!(
            field(LaunchSettings {
                gid: 0,
                ..settings()
            }),
            "gid"
        );
        assert_eq!(
            field(LaunchSettings {
                home: "home".into(),
                ..settings()
            }),
            "home"
        );
        assert_eq!(
            field(LaunchSettings {
                folder: "/workspace/../etc".into(),
                ..settings()
            }),
            "folder"
        );
        assert_eq!(
            field(LaunchSettings {
                workspace: "../../etc".into(),
                ..settings()
            }),
            "workspace"
        );
        let newer = LaunchSettings {
            version: 2,
            ..settings()
        };
        assert_eq!(newer.validate(), Err(InvalidLaunch::Version { found: 2 }));
    }

    #[test]
    fn urls_that_could_run_something_are_refused() {
        for url in [
            "ext::sh -c touch% /tmp/x",
            "file:///etc",
            "ssh://-oProxyCommand=x/y",
            "--upload-pack=/bin/sh",
            "git@example.com:team/project",
            "https://user:secret@example.com/x",
            "https://-x/y",
            "https:///path",
            "https://host",
            "https://host/",
            "https://host/a b",
            "https://host/a\nb",
            "",
        ] {
            assert!(repository(url).validate().is_err(), "{url:?}");
        }
        for url in [
            "http://172.20.0.2:8080/project.git",
            "https://[::1]/x",
            "https://h/~u/x?y=1",
        ] {
            assert_eq!(repository(url).validate(), Ok(()), "{url:?}");
        }
    }

    #[test]
    fn branch_and_directory_cannot_be_options_or_leave_the_root() {
        for branch in ["", "-b", "--upload-pack=x", "a b", "a..b", "a\n"] {
            let settings = RepositorySettings {
                branch: Some(branch.into()),
                ..repository("https://h/x")
            };
            assert!(settings.validate().is_err(), "{branch:?}");
        }
        for directory in ["", ".", "..", "a/b", "/a", ".git", "-x", "a b", "é"] {
            let settings = RepositorySettings {
                directory: directory.into(),
                ..repository("https://h/x")
            };
            assert!(settings.validate().is_err(), "{directory:?}");
        }
    }
}
