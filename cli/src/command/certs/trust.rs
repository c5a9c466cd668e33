//! `kalpana certs trust`: the local authority into the stores of this machine.
//!
//! Programs look in the system's store (`system`), browsers in databases of their own (`nss`). Each
//! store is changed by itself, and what came of it is said for each; to do it again changes nothing.

mod nss;
mod system;

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use nix::unistd::User;
use serde::Serialize;

use super::authority::Authority;
use crate::command::Settings;
use crate::output::{self, Format};
use crate::privilege;

#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// Take it out again
    #[arg(long)]
    remove: bool,
    /// Only the system's store, for curl, git and the like; needs root
    #[arg(long)]
    system: bool,
    /// Only the stores of your own browsers
    #[arg(long)]
    user: bool,
    /// The certificate, as another machine's `export-ca` printed it [default: this site's]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    settings: Settings,
}

/// What came of one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Outcome {
    /// What people call it.
    store: String,
    /// Where it is.
    place: String,
    result: Done,
    /// Why, where it was skipped or failed.
    reason: Option<String>,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Done {
    /// It is trusted from now on.
    Trusted,
    /// It was trusted before.
    AlreadyTrusted,
    /// It is trusted no more.
    Removed,
    /// It was not there.
    NotThere,
    /// It is for somebody else to do.
    Skipped,
    /// It could not be done.
    Failed,
}

impl Done {
    fn in_words(self) -> &'static str {
        match self {
            Self::Trusted => "trusted now",
            Self::AlreadyTrusted => "trusted already",
            Self::Removed => "removed",
            Self::NotThere => "was not there",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// Whose browsers they are.
#[derive(Debug)]
struct Person {
    home: PathBuf,
    /// Set where this process is root's and acts for somebody else, so that nothing in their home
    /// becomes root's.
    user: Option<User>,
}

impl Person {
    /// Returns who typed the command, also behind `sudo`.
    fn at_the_keyboard() -> anyhow::Result<Self> {
        let behind_sudo = std::env::var("SUDO_USER").ok();
        if let Some(name) = behind_sudo.filter(|name| name != "root" && privilege::is_root()) {
            let user = User::from_name(&name)?;
            let user = user.with_context(|| format!("there is no user {name}"))?;
            return Ok(Self {
                home: user.dir.clone(),
                user: Some(user),
            });
        }
        let home = std::env::var_os("HOME").context("HOME is not set, so no browsers are found")?;
        Ok(Self {
            home: home.into(),
            user: None,
        })
    }
}

impl Trust {
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        let authority = match &self.file {
            Some(path) => Authority::read(path)?,
            None => Authority::of(&privilege::site(&self.settings.load()?)?)?,
        };
        let is_everywhere = self.system == self.user;
        let mut outcomes = Vec::new();
        if self.system || is_everywhere {
            outcomes.push(self.in_system(&authority));
        }
        if self.user || is_everywhere {
            let person = Person::at_the_keyboard()?;
            outcomes.extend(nss::change_all(&person, &authority, self.remove).await);
        }
        output::answer(self.format, &outcomes, |outcomes| told(outcomes))?;
        let results: Vec<Done> = outcomes.iter().map(|outcome| outcome.result).collect();
        if results.contains(&Done::Failed) {
            bail!("not every store could be changed\nhint: each line above says why");
        }
        if results.iter().all(|result| *result == Done::Skipped) {
            bail!("no store was changed\nhint: each line above says why");
        }
        let is_changed = |result: &Done| matches!(result, Done::Trusted | Done::Removed);
        if self.format == Format::Text && results.iter().any(is_changed) {
            output::note("Programs that run already have to be started again, browsers too.");
        }
        Ok(())
    }

    fn in_system(&self, authority: &Authority) -> Outcome {
        let Some(store) = system::Store::of_this_machine() else {
            return Outcome {
                store: "the system's store".to_owned(),
                place: "none".to_owned(),
                result: Done::Skipped,
                reason: Some(
                    "none that is known is here; install the package ca-certificates".to_owned(),
                ),
            };
        };
        let path = store.path_of(&authority.name);
        let (result, reason) =
            if !privilege::is_root() && !store.is_as_wanted(authority, self.remove) {
                let remove = if self.remove { " --remove" } else { "" };
                let command = format!(
                    "it needs root: sudo kalpana certs trust --system{remove} --file {}",
                    authority.path.display()
                );
                (Done::Skipped, Some(command))
            } else {
                match store.change(authority, self.remove) {
                    Ok(result) => (result, None),
                    Err(why) => (Done::Failed, Some(why)),
                }
            };
        Outcome {
            store: "the system's store".to_owned(),
            place: path.display().to_string(),
            result,
            reason,
        }
    }
}

fn told(outcomes: &[Outcome]) -> String {
    let lines = outcomes.iter().map(|outcome| {
        let words = outcome.result.in_words();
        let (store, place) = (&outcome.store, &outcome.place);
        match &outcome.reason {
            None => format!("{words:<15}  {store} ({place})"),
            Some(reason) => format!("{words:<15}  {store} ({place}): {reason}"),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}
