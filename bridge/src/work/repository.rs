//! Asks Git about one repository.

use std::path::Path;

use kalpana_protocol::bridge::RepositoryWork;
use kalpana_protocol::bridge::work::TEXT_LIMIT;
use tokio::time::Instant;

use super::git::{Git, GitError};
use super::status::{self, Status};
use crate::printable;

/// Where counting ends: the protocol's `COMMITS_LIMIT`.
const MAX_COUNT: &str = "--max-count=10000";

/// The reference that is there while there is a stash.
const STASH: &str = "refs/stash";

/// Returns what of a repository exists nowhere else, or why that cannot be told.
pub async fn look(directory: &Path, deadline: Instant) -> RepositoryWork {
    let git = Git {
        directory,
        deadline,
    };
    let shown = |text: &str| printable::line(text, TEXT_LIMIT);
    let work = tell(git).await.unwrap_or_else(|error| RepositoryWork {
        problem: Some(shown(&error.to_string())),
        ..RepositoryWork::default()
    });
    RepositoryWork {
        path: shown(&directory.to_string_lossy()),
        ..work
    }
}

async fn tell(git: Git<'_>) -> Result<RepositoryWork, GitError> {
    let has_remote = !git.run(&["remote"]).await?.bytes.is_empty();
    let output = git.run(status::ARGUMENTS).await?;
    let status = Status::parse(&output.bytes).ok_or(GitError::Unexpected)?;
    let unpushed = git.count(&unpushed(status.has_commit, has_remote)).await?;
    // Without the reference Git would not count to 0 but fail.
    let has_stash = !git.run(&["for-each-ref", STASH]).await?.bytes.is_empty();
    let stashes = if has_stash {
        let counted = git.count(&["rev-list", "--count", MAX_COUNT, "--walk-reflogs", STASH]);
        // The newest one needs no history of the reference.
        counted.await?.max(1)
    } else {
        0
    };
    Ok(RepositoryWork {
        branch: status.branch,
        uncommitted: status.uncommitted,
        examples: status.examples,
        unpushed,
        stashes,
        has_remote,
        ..RepositoryWork::default()
    })
}

/// Returns what counts the commits that no remote has.
fn unpushed(has_commit: bool, has_remote: bool) -> Vec<&'static str> {
    let mut args = vec!["rev-list", "--count", MAX_COUNT, "--branches"];
    if has_commit {
        args.push("HEAD");
    }
    // What is left of a remote that was removed proves nothing.
    if has_remote {
        args.extend(["--not", "--remotes"]);
    }
    args
}

#[cfg(test)]
mod tests {
    use kalpana_protocol::bridge::work::COMMITS_LIMIT;

    use super::*;

    #[test]
    fn counting_ends_where_the_protocol_says() {
        assert_eq!(MAX_COUNT, format!("--max-count={COMMITS_LIMIT}"));
    }

    #[test]
    fn commits_are_counted_from_what_there_is() {
        assert_eq!(
            unpushed(true, true)[3..],
            ["--branches", "HEAD", "--not", "--remotes"]
        );
        assert_eq!(unpushed(true, false)[3..], ["--branches", "HEAD"]);
        assert_eq!(
            unpushed(false, true)[3..],
            ["--branches", "--not", "--remotes"]
        );
    }
}
