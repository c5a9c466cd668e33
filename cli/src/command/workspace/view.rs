//! Workspaces as the API answers them, and as people read them.

use std::collections::HashSet;

use kalpana_domain::sleep::IdleTime;
use serde::{Deserialize, Serialize};

/// One page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) workspaces: Vec<Workspace>,
    pub(super) next_cursor: Option<String>,
}

/// A workspace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Workspace {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) repository: Option<String>,
    pub(super) branch: Option<String>,
    pub(super) size: String,
    pub(super) egress: String,
    pub(super) sleep: Sleep,
    pub(super) state: String,
    #[serde(default)]
    pub(super) is_archived: bool,
    pub(super) failure: Option<Failure>,
    pub(super) progress: Option<Phases>,
    pub(super) url: String,
    pub(super) created_at: String,
    pub(super) updated_at: String,
}

/// How a workspace sleeps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sleep {
    pub(super) pause_after_seconds: Option<u32>,
    pub(super) stop_after_seconds: Option<u32>,
    #[serde(default)]
    pub(super) archive_after_seconds: Option<u32>,
    pub(super) stays_asleep: bool,
}

impl Sleep {
    /// Returns all there is to say of it.
    pub(super) fn lines(&self) -> Vec<String> {
        let time = |seconds: Option<u32>, what: &str| match seconds.map(IdleTime::from_seconds) {
            None | Some(Err(_)) => format!("{what} as the site has it"),
            Some(Ok(IdleTime::NEVER)) => format!("never {what}"),
            Some(Ok(time)) => format!("{what} after {time}"),
        };
        let visit = if self.stays_asleep {
            "a visit leaves it asleep"
        } else {
            "a visit wakes it"
        };
        vec![
            format!(
                "idle        {}",
                time(self.pause_after_seconds, "put to sleep")
            ),
            format!("asleep      {}", time(self.stop_after_seconds, "stopped")),
            format!(
                "stopped     {}",
                time(self.archive_after_seconds, "archived")
            ),
            format!("visits      {visit}"),
        ]
    }
}

/// One page of a list of deleted workspaces.
#[derive(Debug, Deserialize)]
pub(super) struct DeletedPage {
    pub(super) workspaces: Vec<DeletedWorkspace>,
    pub(super) next_cursor: Option<String>,
}

/// A deleted workspace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DeletedWorkspace {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) repository: Option<String>,
    pub(super) branch: Option<String>,
    pub(super) size: String,
    pub(super) created_at: String,
    pub(super) deleted_at: String,
    pub(super) kept_until: String,
}

impl DeletedWorkspace {
    /// Returns its cells in the list.
    pub(super) fn row(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.name.clone(),
            self.repository.clone().unwrap_or_else(|| "-".to_owned()),
            self.deleted_at.clone(),
            self.kept_until.clone(),
        ]
    }
}

/// Why it failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// How far a start is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Phases {
    pub(super) phases: Vec<Phase>,
}

/// One phase of a start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Phase {
    pub(super) name: String,
    pub(super) status: String,
    pub(super) detail: Option<String>,
}

/// One line of a log.
#[derive(Debug, Deserialize)]
pub(super) struct LogLine {
    at: String,
    source: String,
    text: String,
}

impl LogLine {
    /// Returns the line with what could drive a terminal made visible instead.
    pub(super) fn for_terminal(&self) -> String {
        format!(
            "{} {:<8} {}",
            self.at,
            harmless(&self.source),
            harmless(&self.text)
        )
    }
}

/// Replaces control characters: what a container wrote must not move the reader's cursor.
pub(super) fn harmless(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\t' => ' ',
            control if control.is_control() => char::REPLACEMENT_CHARACTER,
            plain => plain,
        })
        .collect()
}

impl Workspace {
    /// Returns its cells in the list.
    pub(super) fn row(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.name.clone(),
            self.state_words().to_owned(),
            self.size.clone(),
            self.repository.clone().unwrap_or_else(|| "-".to_owned()),
            self.created_at.clone(),
        ]
    }

    /// Returns its state for people.
    fn state_words(&self) -> &str {
        if self.is_archived {
            "archived"
        } else {
            &self.state
        }
    }

    /// Returns all there is to say of it.
    pub(super) fn describe(&self) -> String {
        let repository = match (&self.repository, &self.branch) {
            (Some(url), Some(branch)) => format!("{url} ({branch})"),
            (Some(url), None) => url.clone(),
            (None, _) => "none".to_owned(),
        };
        let mut lines = vec![
            format!("id          {}", self.id),
            format!("name        {}", self.name),
            format!("state       {}", self.state_words()),
            format!("url         {}", self.url),
            format!("repository  {repository}"),
            format!("size        {}", self.size),
            format!("egress      {}", self.egress),
            format!("created     {}", self.created_at),
        ];
        if let Some(failure) = &self.failure {
            lines.push(format!(
                "failure     {} ({})",
                harmless(&failure.message),
                failure.code
            ));
            lines.extend(
                failure
                    .hint
                    .as_ref()
                    .map(|hint| format!("hint        {hint}")),
            );
        }
        lines.join("\n")
    }
}

/// Which phases a waiting person was told of.
#[derive(Debug, Default)]
pub(super) struct Progress {
    told: HashSet<(String, String)>,
}

impl Progress {
    /// Returns a line for each phase that has begun or ended since the last call.
    pub(super) fn news(&mut self, workspace: &Workspace) -> Vec<String> {
        let phases = workspace
            .progress
            .iter()
            .flat_map(|progress| &progress.phases);
        phases
            .filter(|phase| phase.status != "pending")
            .filter(|phase| self.told.insert((phase.name.clone(), phase.status.clone())))
            .filter(|phase| phase.status != "running" || phase.name == "clone")
            .map(|phase| {
                let detail = phase.detail.as_deref().map(harmless);
                let detail = detail
                    .map(|detail| format!(": {detail}"))
                    .unwrap_or_default();
                format!("{:<10} {}{detail}", phase.name, phase.status)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_cannot_drive_the_readers_terminal() {
        let line = LogLine {
            at: "2026-01-01T00:00:00Z".to_owned(),
            source: "git".to_owned(),
            text: "\u{1b}]0;owned\u{7}\u{1b}[2J\r\u{9b}31m".to_owned(),
        };
        assert!(!line.for_terminal().chars().any(char::is_control));
    }
}
