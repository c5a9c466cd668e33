//! What of a workspace's repositories exists nowhere else.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Most repositories in an answer.
pub const REPOSITORIES_LIMIT: usize = 20;

/// Most files that [`RepositoryWork::examples`] names.
pub const EXAMPLES_LIMIT: usize = 10;

/// Longest text in an answer, in bytes.
pub const TEXT_LIMIT: usize = 200;

/// Where the counting of commits and of stashes ends.
pub const COMMITS_LIMIT: u64 = 10_000;

/// Longest time that an answer takes. Whoever asks should wait a little longer.
pub const LONGEST_ANSWER: Duration = Duration::from_secs(20);

/// The answer to `work/summary`: what would be lost with the workspace, as far as Git knows it.
///
/// Git tells it with the rights of the workspace's user, who decides what Git is and does there.
/// Not to be trusted: it is a help for an honest person, and no proof of anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkSummary {
    /// The repositories, at most [`REPOSITORIES_LIMIT`]: those [with work](RepositoryWork::has_work)
    /// first, then by path.
    pub repositories: Vec<RepositoryWork>,
    /// Whether there may be more: there were more repositories, or too many files to look through, or
    /// the time was over.
    pub is_cut: bool,
}

/// What one repository has that exists nowhere else.
///
/// Every text is printable, in one line and at most [`TEXT_LIMIT`] bytes. Files that are ignored, and
/// commits that only a tag or another work tree's detached head leads to, are not among it. The
/// work trees of one repository each count its commits and stashes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryWork {
    /// Its directory, absolute.
    pub path: String,
    /// The branch that is checked out, with or without a commit; `None` when the head is detached.
    pub branch: Option<String>,
    /// Files that were changed, added or deleted, or are untracked; a directory with nothing but
    /// untracked files counts once. At least so many, where they are very many: what the first MiB of
    /// Git's answer names is counted.
    pub uncommitted: u64,
    /// Some of them, relative to [`path`](Self::path); at most [`EXAMPLES_LIMIT`].
    pub examples: Vec<String>,
    /// Commits on a local branch, or the head, that no remote-tracking branch has; all of them where
    /// there is no remote. Counted up to [`COMMITS_LIMIT`].
    pub unpushed: u64,
    /// Stashes, counted up to [`COMMITS_LIMIT`].
    pub stashes: u64,
    /// Whether a remote is configured.
    pub has_remote: bool,
    /// Why nothing can be told of this repository; everything but the path is empty then.
    pub problem: Option<String>,
}

impl RepositoryWork {
    /// Returns whether something of it exists nowhere else, as far as is known: a repository of which
    /// nothing can be told may have work too.
    pub fn has_work(&self) -> bool {
        self.uncommitted > 0 || self.unpushed > 0 || self.stashes > 0 || self.problem.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_has_the_documented_form() {
        let summary = WorkSummary {
            repositories: vec![
                RepositoryWork {
                    path: "/workspace/project".into(),
                    branch: Some("main".into()),
                    uncommitted: 2,
                    examples: vec!["src/lib.rs".into(), "notes/".into()],
                    unpushed: 3,
                    stashes: 1,
                    has_remote: true,
                    problem: None,
                },
                RepositoryWork {
                    path: "/workspace/broken".into(),
                    problem: Some("git failed: fatal: not a git repository: '.git'".into()),
                    ..RepositoryWork::default()
                },
            ],
            is_cut: true,
        };
        insta::assert_json_snapshot!(summary, @r#"
        {
          "repositories": [
            {
              "path": "/workspace/project",
              "branch": "main",
              "uncommitted": 2,
              "examples": [
                "src/lib.rs",
                "notes/"
              ],
              "unpushed": 3,
              "stashes": 1,
              "has_remote": true,
              "problem": null
            },
            {
              "path": "/workspace/broken",
              "branch": null,
              "uncommitted": 0,
              "examples": [],
              "unpushed": 0,
              "stashes": 0,
              "has_remote": false,
              "problem": "git failed: fatal: not a git repository: '.git'"
            }
          ],
          "is_cut": true
        }
        "#);
    }

    #[test]
    fn repository_of_which_nothing_can_be_told_may_have_work() {
        let clean = RepositoryWork {
            has_remote: true,
            ..RepositoryWork::default()
        };
        assert!(!clean.has_work());
        for work in [
            RepositoryWork {
                uncommitted: 1,
                ..clean.clone()
            },
            RepositoryWork {
                unpushed: 1,
                ..clean.clone()
            },
            RepositoryWork {
                stashes: 1,
                ..clean.clone()
            },
            RepositoryWork {
                problem: Some(String::new()),
                ..clean
            },
        ] {
            assert!(work.has_work(), "{work:?}");
        }
    }
}
