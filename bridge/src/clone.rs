//! `bridge clone`: brings a repository into the workspace once, as the workspace's user.
//!
//! Git works in a directory of its own next to the final one, and only a finished clone gets the
//! final name, by a rename that never replaces anything. So the directory is either absent or
//! whole, whatever dies when.

pub mod progress;
pub mod reason;

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use kalpana_protocol::launch::RepositorySettings;
use rustix::fs::{CWD, RenameFlags};

use crate::log;

/// The exit code that says: the directory was there already, nothing was done.
pub const ALREADY_THERE: u8 = 10;

/// What unfinished clones are called, before the generation.
const UNFINISHED: &str = ".kalpana-clone-";

/// What Git may speak, and what it may not run. Submodules stay out because theirs are further
/// URLs that nobody has looked at.
const GIT_OPTIONS: &[&str] = &[
    "-c",
    "protocol.allow=never",
    "-c",
    "protocol.https.allow=always",
    "-c",
    "protocol.http.allow=always",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "credential.helper=",
    "clone",
    "--progress",
    "--no-recurse-submodules",
];

/// The environment that Git needs besides that of every child.
pub const GIT_ENVIRONMENT: &[(&str, &str)] = &[
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ALLOW_PROTOCOL", "http:https"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_ASKPASS", "/bin/false"),
    // Failures are told apart by Git's own English sentences.
    ("LC_ALL", "C"),
    ("LANGUAGE", "C"),
];

/// A clone to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clone {
    /// Where workspaces keep their files.
    pub root: PathBuf,
    /// The start that asks for it.
    pub generation: u64,
    /// What to clone.
    pub repository: RepositorySettings,
}

impl Clone {
    /// Returns the arguments that [`run`] reads, `clone` first.
    pub fn to_args(&self) -> Vec<String> {
        let RepositorySettings {
            url,
            branch,
            directory,
        } = &self.repository;
        let mut args = vec![
            "clone".to_owned(),
            self.root.to_string_lossy().into_owned(),
            self.generation.to_string(),
            directory.clone(),
            url.clone(),
        ];
        args.extend(branch.clone());
        args
    }

    fn parse(args: &[String]) -> Option<Self> {
        let (root, generation, directory, url, branch) = match args {
            [root, generation, directory, url] => (root, generation, directory, url, None),
            [root, generation, directory, url, branch] => {
                (root, generation, directory, url, Some(branch.clone()))
            }
            _ => return None,
        };
        let repository = RepositorySettings {
            url: url.clone(),
            branch,
            directory: directory.clone(),
        };
        // Whoever started us has checked it too; but it is we who hand it to Git.
        repository.validate().ok()?;
        Some(Self {
            root: root.into(),
            generation: generation.parse().ok()?,
            repository,
        })
    }

    fn target(&self) -> PathBuf {
        self.root.join(&self.repository.directory)
    }

    fn unfinished(&self) -> PathBuf {
        self.root.join(format!("{UNFINISHED}{}", self.generation))
    }

    fn git(&self) -> Command {
        let mut command = Command::new("git");
        command
            .args(GIT_OPTIONS)
            .envs(GIT_ENVIRONMENT.iter().copied())
            .stdin(Stdio::null());
        if let Some(branch) = &self.repository.branch {
            command.arg("--branch").arg(branch);
        }
        command
            .arg("--")
            .arg(&self.repository.url)
            .arg(self.unfinished());
        command
    }

    fn run(&self) -> std::io::Result<ExitCode> {
        if exists(&self.target())? {
            return Ok(ExitCode::from(ALREADY_THERE));
        }
        remove_unfinished(&self.root)?;
        let status = self.git().status()?;
        if !status.success() {
            remove_unfinished(&self.root)?;
            if let Some(signal) = status.signal() {
                log::say_to_init(&format!("fatal: git was ended by signal {signal}"));
            }
            return Ok(ExitCode::FAILURE);
        }
        rustix::fs::renameat_with(
            CWD,
            self.unfinished(),
            CWD,
            self.target(),
            RenameFlags::NOREPLACE,
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Does what [`Clone::to_args`] says. What it writes to standard error is for [`reason`].
pub fn run(args: &[String]) -> ExitCode {
    let Some(clone) = Clone::parse(args) else {
        log::say_to_init("fatal: usage: bridge clone ROOT GENERATION DIRECTORY URL [BRANCH]");
        return ExitCode::from(2);
    };
    clone.run().unwrap_or_else(|error| {
        log::say_to_init(&format!("fatal: {error}"));
        ExitCode::FAILURE
    })
}

fn exists(path: &Path) -> std::io::Result<bool> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes what earlier attempts left, of any generation. Links are removed, never followed.
fn remove_unfinished(root: &Path) -> std::io::Result<()> {
    for entry in root.read_dir()? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            continue;
        }
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
    use super::*;

    fn clone(root: &Path, url: &str) -> Clone {
        Clone {
            root: root.into(),
            generation: 3,
            repository: RepositorySettings {
                url: url.into(),
                branch: Some("main".into()),
                directory: "project".into(),
            },
        }
    }

    #[test]
    fn arguments_round_trip_and_are_checked_again() {
        let good = clone(Path::new("/workspace"), "https://git.example.com/project");
        let args = good.to_args();
        assert_eq!(args[0], "clone");
        assert_eq!(Clone::parse(&args[1..]), Some(good));
        let evil = clone(Path::new("/workspace"), "ext::sh -c id");
        assert_eq!(Clone::parse(&evil.to_args()[1..]), None);
    }

    #[test]
    fn url_comes_after_the_end_of_options() {
        let command = clone(Path::new("/w"), "https://git.example.com/project").git();
        let args: Vec<_> = command
            .get_args()
            .map(|arg| arg.to_string_lossy())
            .collect();
        assert_eq!(
            args[args.len() - 5..],
            [
                "--branch",
                "main",
                "--",
                "https://git.example.com/project",
                "/w/.kalpana-clone-3"
            ]
        );
    }

    #[test]
    fn only_leftovers_are_removed_and_links_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("kept"), "x").unwrap();
        std::fs::create_dir_all(root.path().join(".kalpana-clone-1/deep")).unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join(".kalpana-clone-2")).unwrap();
        std::fs::create_dir(root.path().join("mine")).unwrap();
        remove_unfinished(root.path()).unwrap();
        let left: Vec<_> = root
            .path()
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["mine"]);
        assert!(outside.path().join("kept").exists());
    }

    #[test]
    fn existing_directory_is_left_alone_even_if_it_is_a_dangling_link() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/nonexistent", root.path().join("project")).unwrap();
        // A port nobody can listen on: a clone would fail, and give another code.
        let code = clone(root.path(), "http://127.0.0.1:1/project")
            .run()
            .unwrap();
        assert_eq!(
            format!("{code:?}"),
            format!("{:?}", ExitCode::from(ALREADY_THERE))
        );
    }
}
