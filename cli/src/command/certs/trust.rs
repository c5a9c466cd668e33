//! `kalpana certs trust`: the local authority into the stores of this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;

use super::read_authority;
use crate::command::Settings;
use crate::{output, privilege};

/// What to do when `certutil` is missing.
const NO_CERTUTIL: &str = "certutil is not installed; it is in the package libnss3-tools (Debian, \
    Ubuntu) or nss-tools (Fedora)";

/// Stores of the system: where certificates go, and what takes them in.
const SYSTEM: [(&str, &[&str]); 2] = [
    (
        "/usr/local/share/ca-certificates",
        &["update-ca-certificates"],
    ),
    (
        "/etc/pki/ca-trust/source/anchors",
        &["update-ca-trust", "extract"],
    ),
];

/// Where Firefox keeps profiles, below a home.
const FIREFOX: [&str; 3] = [
    ".mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/.mozilla/firefox",
];

#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// Take it out again
    #[arg(long)]
    remove: bool,
    /// Only the system's store, for curl, git and the like; needs root
    #[arg(long, conflicts_with = "user")]
    system: bool,
    /// Only the stores of your own browsers
    #[arg(long)]
    user: bool,
    #[command(flatten)]
    settings: Settings,
}

/// What came of one store.
enum Outcome {
    Done(String),
    Skipped(String),
    Failed(String),
}

impl Trust {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let site = privilege::site(&self.settings.load()?)?;
        let pem = read_authority(&site)?;
        let name = format!("Kalpana local authority ({})", site.domain);
        let mut outcomes = Vec::new();
        if !self.user {
            outcomes.push(self.in_system(&site.domain, &pem));
        }
        if !self.system {
            let home = std::env::var_os("HOME").context("HOME is not set")?;
            let file = site.authority_certificate();
            outcomes.extend(self.in_browsers(Path::new(&home), &name, &file));
        }
        let mut has_done = false;
        let mut has_failed = false;
        for outcome in outcomes {
            match outcome {
                Outcome::Done(text) => {
                    has_done = true;
                    output::print_line(&format!("done     {text}"))?;
                }
                Outcome::Skipped(text) => output::print_line(&format!("skipped  {text}"))?,
                Outcome::Failed(text) => {
                    has_failed = true;
                    output::print_line(&format!("failed   {text}"))?;
                }
            }
        }
        if has_failed {
            bail!("not every store could be changed");
        }
        if !has_done {
            bail!("no store was changed\nhint: each line above says why");
        }
        output::note("Browsers that are open must be restarted.");
        Ok(())
    }

    fn in_system(&self, domain: &str, pem: &str) -> Outcome {
        let Some((directory, update)) = SYSTEM
            .into_iter()
            .find(|(directory, _)| Path::new(directory).is_dir())
        else {
            return Outcome::Skipped(
                "the system's store: neither Debian's nor Fedora's is here".to_owned(),
            );
        };
        if !privilege::is_root() {
            return Outcome::Skipped(format!(
                "the system's store ({directory}): needs root; run `sudo kalpana certs trust --system`"
            ));
        }
        let path = Path::new(directory).join(format!("kalpana-{domain}.crt"));
        let changed = if self.remove {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        } else {
            std::fs::write(&path, pem)
        };
        if let Err(error) = changed {
            return Outcome::Failed(format!("{}: {error}", path.display()));
        }
        match run(update) {
            Ok(()) => Outcome::Done(format!("the system's store ({})", path.display())),
            Err(why) => Outcome::Failed(format!("the system's store: {why}")),
        }
    }

    fn in_browsers(&self, home: &Path, name: &str, file: &Path) -> Vec<Outcome> {
        let chromium = home.join(".pki/nssdb");
        if !self.remove && !chromium.join("cert9.db").exists() {
            // Chromium makes it when it first runs; it takes one that is there already.
            if let Err(error) = std::fs::create_dir_all(&chromium) {
                return vec![Outcome::Failed(format!("{}: {error}", chromium.display()))];
            }
            let database = format!("sql:{}", chromium.display());
            if let Err(why) = run(&["certutil", "-d", &database, "-N", "--empty-password"]) {
                return vec![Outcome::Failed(format!("Chromium: {why}"))];
            }
        }
        let mut stores = vec![("Chromium".to_owned(), chromium)];
        stores.extend(firefox_profiles(home).into_iter().map(|profile| {
            let name = profile.file_name().unwrap_or_default().to_string_lossy();
            (format!("Firefox ({name})"), profile.clone())
        }));
        stores
            .into_iter()
            .filter(|(_, store)| store.join("cert9.db").exists())
            .map(|(browser, store)| self.in_store(&browser, &store, name, file))
            .collect()
    }

    fn in_store(&self, browser: &str, store: &Path, name: &str, file: &Path) -> Outcome {
        let database = format!("sql:{}", store.display());
        // An older authority of the same name would stand in the way.
        let is_there = run(&["certutil", "-d", &database, "-L", "-n", name]).is_ok();
        if is_there && let Err(why) = run(&["certutil", "-d", &database, "-D", "-n", name]) {
            return Outcome::Failed(format!("{browser}: {why}"));
        }
        if self.remove {
            return if is_there {
                Outcome::Done(format!("{browser} ({})", store.display()))
            } else {
                Outcome::Skipped(format!("{browser}: it was not there"))
            };
        }
        let file = file.display().to_string();
        let add = [
            "certutil", "-d", &database, "-A", "-t", "C,,", "-n", name, "-i", &file,
        ];
        match run(&add) {
            Ok(()) => Outcome::Done(format!("{browser} ({})", store.display())),
            Err(why) => Outcome::Failed(format!("{browser}: {why}")),
        }
    }
}

fn firefox_profiles(home: &Path) -> Vec<PathBuf> {
    let mut profiles: Vec<PathBuf> = FIREFOX
        .iter()
        .filter_map(|place| std::fs::read_dir(home.join(place)).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("cert9.db").exists())
        .collect();
    profiles.sort();
    profiles
}

/// Runs a program; says why it failed.
fn run(command: &[&str]) -> Result<(), String> {
    let output = Command::new(command[0]).args(&command[1..]).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr);
            Err(format!("{}: {}", command[0], words.trim()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && command[0] == "certutil" => {
            Err(NO_CERTUTIL.to_owned())
        }
        Err(error) => Err(format!("{}: {error}", command[0])),
    }
}
