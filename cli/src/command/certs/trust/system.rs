//! The system's store: a directory of authorities, and the program that takes them in.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::authority::Authority;
use super::Done;

/// Directories of authorities that an administrator adds, each with what takes them in: Debian and
/// Alpine; Fedora and its kin; SUSE; Arch.
const KNOWN: [(&str, &[&str]); 4] = [
    (
        "/usr/local/share/ca-certificates",
        &["update-ca-certificates"],
    ),
    (
        "/etc/pki/ca-trust/source/anchors",
        &["update-ca-trust", "extract"],
    ),
    ("/etc/pki/trust/anchors", &["update-ca-certificates"]),
    (
        "/etc/ca-certificates/trust-source/anchors",
        &["update-ca-trust"],
    ),
];

/// The store of one kind of system.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    update: Vec<String>,
}

impl Store {
    /// Finds the store of this machine.
    pub(super) fn of_this_machine() -> Option<Self> {
        let found = KNOWN.into_iter();
        let (directory, update) = found
            .into_iter()
            .find(|(directory, _)| Path::new(directory).is_dir())?;
        Some(Self::new(directory, update))
    }

    fn new(directory: impl Into<PathBuf>, update: &[&str]) -> Self {
        Self {
            directory: directory.into(),
            update: update.iter().map(ToString::to_string).collect(),
        }
    }

    /// Returns the file that an authority of this name is kept in.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        let words: Vec<String> = name
            .to_ascii_lowercase()
            .split(|character: char| !character.is_ascii_alphanumeric() && character != '.')
            .filter(|word| word.chars().any(char::is_alphanumeric))
            .map(ToOwned::to_owned)
            .collect();
        self.directory.join(format!("{}.crt", words.join("-")))
    }

    /// Tells whether there is nothing to do.
    pub(super) fn is_as_wanted(&self, authority: &Authority, is_unwanted: bool) -> bool {
        match std::fs::read_to_string(self.path_of(&authority.name)) {
            Ok(there) => !is_unwanted && there == authority.pem,
            Err(_) => is_unwanted,
        }
    }

    /// Puts the authority in, or takes it out.
    pub(super) fn change(&self, authority: &Authority, is_unwanted: bool) -> Result<Done, String> {
        if self.is_as_wanted(authority, is_unwanted) {
            return Ok(if is_unwanted {
                Done::NotThere
            } else {
                Done::AlreadyTrusted
            });
        }
        let path = self.path_of(&authority.name);
        let before = std::fs::read(&path).ok();
        let changed = if is_unwanted {
            std::fs::remove_file(&path)
        } else {
            std::fs::write(&path, &authority.pem)
        };
        changed.map_err(|error| format!("cannot change it: {error}"))?;
        if let Err(why) = self.update() {
            // As it was, so that the next time does not find it done.
            let restored = match before {
                Some(contents) => std::fs::write(&path, contents),
                None => std::fs::remove_file(&path),
            };
            return Err(match restored {
                Ok(()) => why,
                Err(error) => format!("{why}; and it could not be put back: {error}"),
            });
        }
        Ok(if is_unwanted {
            Done::Removed
        } else {
            Done::Trusted
        })
    }

    fn update(&self) -> Result<(), String> {
        let program = &self.update[0];
        match Command::new(program).args(&self.update[1..]).output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                Err(format!("{program} failed: {words}"))
            }
            Err(error) => Err(format!(
                "cannot run {program}: {error}; install the package ca-certificates"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(folder: &Path) -> Authority {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
        let name = "Kalpana local authority (dev.example.com)";
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let path = folder.join("authority.pem");
        let pem = params.self_signed(&key).expect("signed").pem();
        std::fs::write(&path, pem).expect("written");
        Authority::read(&path).expect("an authority")
    }

    /// Tells of each run in a file, for which the store's directory would be no place.
    fn store(folder: &Path, script: &str) -> Store {
        let directory = folder.join("anchors");
        std::fs::create_dir_all(&directory).expect("made");
        let script = format!("echo ran >> {}/runs; {script}", folder.display());
        Store::new(directory, &["sh", "-c", &script])
    }

    fn runs(folder: &Path) -> usize {
        let text = std::fs::read_to_string(folder.join("runs")).unwrap_or_default();
        text.lines().count()
    }

    #[test]
    fn an_authority_is_put_in_once_and_taken_out_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let (store, authority) = (store(folder, "true"), authority(folder));
        let path = store.path_of(&authority.name);
        assert_eq!(
            path.file_name().and_then(|name| name.to_str()),
            Some("kalpana-local-authority-dev.example.com.crt")
        );
        assert_eq!(store.change(&authority, true), Ok(Done::NotThere));
        assert_eq!(store.change(&authority, false), Ok(Done::Trusted));
        assert_eq!(
            std::fs::read_to_string(&path).ok(),
            Some(authority.pem.clone())
        );
        assert_eq!(store.change(&authority, false), Ok(Done::AlreadyTrusted));
        assert_eq!(runs(folder), 1);
        assert_eq!(store.change(&authority, true), Ok(Done::Removed));
        assert!(!path.exists());
        assert_eq!(runs(folder), 2);
    }

    #[test]
    fn an_older_authority_of_the_same_name_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let (store, authority) = (store(folder, "true"), authority(folder));
        let path = store.path_of(&authority.name);
        std::fs::write(&path, "another").expect("written");
        assert_eq!(store.change(&authority, false), Ok(Done::Trusted));
        assert_eq!(std::fs::read_to_string(&path).ok(), Some(authority.pem));
    }

    #[test]
    fn what_the_system_did_not_take_in_is_not_left_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let (store, authority) = (store(folder, "echo no room >&2; false"), authority(folder));
        let why = store.change(&authority, false).expect_err("refused");
        assert_eq!(why, "sh failed: no room");
        assert!(!store.path_of(&authority.name).exists());
        let missing = Store::new(folder.join("anchors"), &["no-such-program"]);
        let why = missing.change(&authority, false).expect_err("refused");
        assert!(why.contains("install the package ca-certificates"), "{why}");
    }
}
