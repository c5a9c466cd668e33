//! How far a container has come from its start to a usable editor.

use serde::{Deserialize, Serialize};

/// A step inside the container, in the order of the variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    /// The bridge runs and its socket listens.
    Boot,
    /// The repository is in place. A workspace without one skips to done.
    Clone,
    /// The editor answers.
    Editor,
}

/// Where a phase stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseStatus {
    /// Under way.
    Running,
    /// Finished.
    Done,
    /// Given up; `code` and `message` say why. A failed editor is still being restarted and may
    /// become done later; a failed clone stays failed until the next start.
    Failed,
}

/// A phase at one moment: the parameters of a `phase` notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Which phase.
    pub name: PhaseName,
    /// Where it stands.
    pub status: PhaseStatus,
    /// When it came to stand there.
    pub at: jiff::Timestamp,
    /// What is going on, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Why it failed, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why it failed and what to do, one sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Phase {
    /// The code of a clone that failed.
    pub const CLONE_FAILED: &'static str = "clone_failed";
    /// The code of an editor that ends again and again, or that cannot be started.
    pub const EDITOR_FAILED: &'static str = "editor_failed";
    /// The code of an editor that runs but does not answer.
    pub const EDITOR_TIMEOUT: &'static str = "editor_timeout";

    /// Makes a phase that is under way.
    pub fn running(name: PhaseName, at: jiff::Timestamp) -> Self {
        Self {
            name,
            status: PhaseStatus::Running,
            at,
            detail: None,
            code: None,
            message: None,
        }
    }

    /// Makes a phase that is finished.
    pub fn done(name: PhaseName, at: jiff::Timestamp) -> Self {
        Self {
            status: PhaseStatus::Done,
            ..Self::running(name, at)
        }
    }

    /// Makes a phase that was given up.
    pub fn failed(name: PhaseName, at: jiff::Timestamp, code: &str, message: String) -> Self {
        Self {
            status: PhaseStatus::Failed,
            code: Some(code.to_owned()),
            message: Some(message),
            ..Self::running(name, at)
        }
    }
}
