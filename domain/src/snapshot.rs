//! Snapshots: copies of all files of a workspace, kept outside of it.

use serde::{Deserialize, Serialize};

use crate::id::{SnapshotId, WorkspaceId};

/// A snapshot, named so that it can be found: each is kept with the workspace it was taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SnapshotRef {
    /// The workspace it was taken of, which need not be there any more.
    pub workspace: WorkspaceId,
    /// Which of its snapshots.
    pub snapshot: SnapshotId,
}

/// Why a snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotKind {
    /// Somebody asked for it.
    Manual,
    /// Its time had come.
    Scheduled,
    /// The files were about to be replaced by those of another snapshot.
    BeforeRestore,
    /// The workspace was put away: its volumes are removed once it is whole.
    Archive,
}

impl SnapshotKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [
        Self::Manual,
        Self::Scheduled,
        Self::BeforeRestore,
        Self::Archive,
    ];

    /// Returns the name as it stands in JSON and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Scheduled => "scheduled",
            Self::BeforeRestore => "before_restore",
            Self::Archive => "archive",
        }
    }
}

/// What a person wrote about a snapshot: up to 200 characters, on one line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotNote(String);

/// A text was not a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a note has at most 200 characters, none of them a control character")]
pub struct InvalidSnapshotNote;

impl SnapshotNote {
    /// Longest note, in characters.
    pub const LIMIT: usize = 200;

    /// Reads a note; blanks around it are left out.
    ///
    /// # Errors
    /// [`InvalidSnapshotNote`] for any text outside the rule of the type.
    pub fn parse(text: &str) -> Result<Self, InvalidSnapshotNote> {
        let text = text.trim();
        if text.chars().count() <= Self::LIMIT && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSnapshotNote)
        }
    }

    /// Returns the note as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SnapshotNote {
    type Error = InvalidSnapshotNote;
    fn try_from(text: String) -> Result<Self, InvalidSnapshotNote> {
        Self::parse(&text)
    }
}

impl From<SnapshotNote> for String {
    fn from(note: SnapshotNote) -> Self {
        note.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_one_short_line() {
        assert_eq!(SnapshotNote::parse(" a b ").unwrap().as_str(), "a b");
        assert!(SnapshotNote::parse(&"ü".repeat(200)).is_ok());
        assert!(SnapshotNote::parse(&"ü".repeat(201)).is_err());
        assert!(SnapshotNote::parse("a\nb").is_err());
        assert!(serde_json::from_str::<SnapshotNote>("\"\\u0000\"").is_err());
    }
}
