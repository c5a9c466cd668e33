//! What `bridge work` writes and `serve` reads: JSON, one line for each repository and one for the
//! end.
//!
//! Each line ends in a carriage return, as those of a progress bar do: they reach `serve` and stay out
//! of the container's log, which is no place for the names of files. The child runs as the
//! workspace's user, who can make it write anything. So everything read is bounded and made printable
//! here once more.

use std::io::Write;

use kalpana_protocol::bridge::work::{
    COMMITS_LIMIT, EXAMPLES_LIMIT, REPOSITORIES_LIMIT, TEXT_LIMIT,
};
use kalpana_protocol::bridge::{RepositoryWork, WorkSummary};
use serde::{Deserialize, Serialize};

use super::git;
use crate::printable;

/// Most files that are counted: as many as fit into what is read of Git, at two bytes each and more.
const FILES_LIMIT: u64 = git::OUTPUT_LIMIT as u64 / 2;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Repository(RepositoryWork),
    /// The last one. It says how many there were, because lines may be lost on their way.
    End {
        repositories: usize,
        is_cut: bool,
    },
}

/// Writes a summary.
///
/// # Errors
/// If nobody reads it.
pub fn write(summary: &WorkSummary, mut output: impl Write) -> std::io::Result<()> {
    let repositories = summary.repositories.iter().cloned().map(Line::Repository);
    let end = Line::End {
        repositories: summary.repositories.len(),
        is_cut: summary.is_cut,
    };
    for line in repositories.chain([end]) {
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\r');
        output.write_all(&text)?;
    }
    output.flush()
}

/// Puts a summary together again.
#[derive(Debug, Default)]
pub struct Reader {
    repositories: Vec<RepositoryWork>,
    end: Option<(usize, bool)>,
}

impl Reader {
    /// Takes a line; one that is none of ours is left out.
    pub fn take(&mut self, text: &str) {
        match serde_json::from_str(text) {
            Ok(Line::Repository(work)) if self.repositories.len() < REPOSITORIES_LIMIT => {
                self.repositories.push(bounded(work));
            }
            Ok(Line::Repository(_)) | Err(_) => {}
            Ok(Line::End {
                repositories,
                is_cut,
            }) => self.end = Some((repositories, is_cut)),
        }
    }

    /// Returns the summary, or `None` if something of it is missing.
    pub fn finish(self) -> Option<WorkSummary> {
        let (count, is_cut) = self.end?;
        (count == self.repositories.len()).then_some(WorkSummary {
            repositories: self.repositories,
            is_cut,
        })
    }
}

fn bounded(work: RepositoryWork) -> RepositoryWork {
    let shown = |text: String| printable::line(&text, TEXT_LIMIT);
    let path = shown(work.path);
    if let Some(problem) = work.problem {
        return RepositoryWork {
            path,
            problem: Some(shown(problem)),
            ..RepositoryWork::default()
        };
    }
    let examples = work.examples.into_iter().take(EXAMPLES_LIMIT);
    RepositoryWork {
        path,
        branch: work.branch.map(shown),
        uncommitted: work.uncommitted.min(FILES_LIMIT),
        examples: examples.map(shown).collect(),
        unpushed: work.unpushed.min(COMMITS_LIMIT),
        stashes: work.stashes.min(COMMITS_LIMIT),
        has_remote: work.has_remote,
        problem: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::Lines;

    /// Reads as `init` and `serve` do.
    fn read(bytes: &[u8]) -> Option<WorkSummary> {
        let (mut reader, mut lines) = (Reader::default(), Lines::default());
        lines.push(bytes, |line| {
            assert!(line.is_transient, "{line:?}");
            reader.take(&line.text);
        });
        reader.finish()
    }

    fn written(summary: &WorkSummary) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(summary, &mut bytes).unwrap();
        bytes
    }

    /// The longest that a repository can be: every character is written as two.
    fn longest() -> RepositoryWork {
        let text = "\\".repeat(TEXT_LIMIT);
        RepositoryWork {
            path: text.clone(),
            branch: Some(text.clone()),
            uncommitted: FILES_LIMIT,
            examples: vec![text; EXAMPLES_LIMIT],
            unpushed: COMMITS_LIMIT,
            stashes: COMMITS_LIMIT,
            has_remote: false,
            problem: None,
        }
    }

    #[test]
    fn longest_summary_arrives_whole() {
        let summary = WorkSummary {
            repositories: vec![longest(); REPOSITORIES_LIMIT],
            is_cut: true,
        };
        assert_eq!(read(&written(&summary)), Some(summary));
        let nothing = WorkSummary::default();
        assert_eq!(read(&written(&nothing)), Some(nothing));
    }

    #[test]
    fn summary_with_something_missing_is_none() {
        let summary = WorkSummary {
            repositories: vec![longest(); 2],
            is_cut: false,
        };
        let whole = written(&summary);
        let first = whole.iter().position(|&byte| byte == b'\r').unwrap();
        assert_eq!(read(&whole[first + 1..]), None);
        assert_eq!(read(&whole[..whole.len() - 1]), None);
        assert_eq!(read(b"nonsense\r"), None);
        assert_eq!(read(b""), None);
    }

    #[test]
    fn whatever_is_written_is_bounded() {
        let evil = RepositoryWork {
            path: "p".repeat(999),
            branch: Some("\u{1b}[2J\u{202e}".into()),
            uncommitted: u64::MAX,
            examples: vec!["a\nb".into(); 99],
            unpushed: u64::MAX,
            stashes: u64::MAX,
            has_remote: true,
            problem: None,
        };
        let problem = RepositoryWork {
            problem: Some("\n".repeat(999)),
            ..evil.clone()
        };
        let summary = WorkSummary {
            repositories: vec![evil, problem],
            is_cut: false,
        };
        let expected = [
            RepositoryWork {
                path: "p".repeat(TEXT_LIMIT),
                branch: Some(" [2J ".into()),
                uncommitted: FILES_LIMIT,
                examples: vec!["a b".into(); EXAMPLES_LIMIT],
                unpushed: COMMITS_LIMIT,
                stashes: COMMITS_LIMIT,
                has_remote: true,
                problem: None,
            },
            RepositoryWork {
                path: "p".repeat(TEXT_LIMIT),
                problem: Some(" ".repeat(TEXT_LIMIT)),
                ..RepositoryWork::default()
            },
        ];
        assert_eq!(read(&written(&summary)).unwrap().repositories, expected);
    }

    #[test]
    fn more_repositories_than_there_may_be_are_not_kept() {
        let mut reader = Reader::default();
        let line = serde_json::to_string(&Line::Repository(longest())).unwrap();
        for _ in 0..3 * REPOSITORIES_LIMIT {
            reader.take(&line);
        }
        assert_eq!(reader.repositories.len(), REPOSITORIES_LIMIT);
    }
}
