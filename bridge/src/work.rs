//! `bridge work`: looks, as the workspace's user, what of the repositories exists nowhere else.
//!
//! ```text
//! walk::find ──▶ directories ──▶ repository::look (git, git, git) ──▶ report::write ──▶ serve
//! ```
//!
//! All of it has an end: the walk, each Git, everything together. Reading order: [`walk`], [`git`],
//! [`status`], [`repository`], [`report`].

pub mod walk;

pub mod git;
pub mod repository;
pub mod status;

pub mod report;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use kalpana_protocol::bridge::work::{LONGEST_ANSWER, REPOSITORIES_LIMIT};
use kalpana_protocol::bridge::{RepositoryWork, WorkSummary};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::log;
use walk::Walk;

/// How long everything may take: a little less than an answer, which has to be brought too.
const TIME_LIMIT: Duration = Duration::from_secs(LONGEST_ANSWER.as_secs() - 2);

/// How much of that may go into finding the repositories.
const WALK_TIME_LIMIT: Duration = Duration::from_secs(5);

/// Repositories that are looked at together, so that one slow one does not keep all others waiting.
const TOGETHER: usize = 4;

/// Returns the arguments that [`run`] reads, `work` first.
pub fn to_args(root: &Path) -> Vec<String> {
    vec!["work".to_owned(), root.to_string_lossy().into_owned()]
}

/// Does what [`to_args`] says. What it writes to standard output is for [`report::Reader`].
pub fn run(args: &[String]) -> ExitCode {
    let [root] = args else {
        log::say_to_init("fatal: usage: bridge work ROOT");
        return ExitCode::from(2);
    };
    match summarize(Path::new(root)) {
        Ok(Some(summary)) => match report::write(&summary, std::io::stdout().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            // Without a reader there is nobody to tell.
            Err(_) => ExitCode::FAILURE,
        },
        Ok(None) => ExitCode::FAILURE,
        Err(error) => {
            log::say_to_init(&format!("fatal: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Returns the summary, or `None` when told to end before there is one.
fn summarize(root: &Path) -> std::io::Result<Option<WorkSummary>> {
    let start = Instant::now();
    let walk = walk::find(root, (start + WALK_TIME_LIMIT).into_std());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            summary = look_at_all(walk, start + TIME_LIMIT) => Ok(Some(summary)),
            // Every Git that runs is ended with its future.
            _ = terminate.recv() => Ok(None),
        }
    })
}

async fn look_at_all(walk: Walk, deadline: Instant) -> WorkSummary {
    let looks = walk
        .found
        .iter()
        .map(|directory| repository::look(directory, deadline));
    let repositories = stream::iter(looks)
        .buffer_unordered(TOGETHER)
        .collect()
        .await;
    let is_over = Instant::now() >= deadline;
    most_important(repositories, walk.is_cut || is_over)
}

/// Keeps as many as an answer holds, those with work first. `is_cut` says whether more were missed
/// before.
fn most_important(mut repositories: Vec<RepositoryWork>, is_cut: bool) -> WorkSummary {
    repositories.sort_by(|left, right| {
        // What could not be looked at must not take the places of what was.
        let key = |work: &RepositoryWork| match (&work.problem, work.has_work()) {
            (None, true) => 0,
            (Some(_), _) => 1,
            (None, false) => 2,
        };
        (key(left), &left.path).cmp(&(key(right), &right.path))
    });
    let is_cut = is_cut || repositories.len() > REPOSITORIES_LIMIT;
    repositories.truncate(REPOSITORIES_LIMIT);
    WorkSummary {
        repositories,
        is_cut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(path: &str, unpushed: u64) -> RepositoryWork {
        RepositoryWork {
            path: path.into(),
            unpushed,
            ..RepositoryWork::default()
        }
    }

    #[test]
    fn those_with_work_come_first_and_then_the_path_decides() {
        let all = vec![
            repository("/w/b", 0),
            repository("/w/d", 1),
            repository("/w/a", 0),
            repository("/w/c", 9),
        ];
        let summary = most_important(all, false);
        let paths: Vec<_> = summary
            .repositories
            .iter()
            .map(|work| work.path.as_str())
            .collect();
        assert_eq!(paths, ["/w/c", "/w/d", "/w/a", "/w/b"]);
        assert!(!summary.is_cut);
    }

    #[test]
    fn more_repositories_than_an_answer_holds_are_cut_and_said_to_be() {
        let many = |count: usize| (0..count).map(|number| repository(&number.to_string(), 0));
        let whole = most_important(many(REPOSITORIES_LIMIT).collect(), false);
        assert!(!whole.is_cut);
        let cut = most_important(many(REPOSITORIES_LIMIT + 1).collect(), false);
        assert_eq!(
            (cut.repositories.len(), cut.is_cut),
            (REPOSITORIES_LIMIT, true)
        );
    }

    #[tokio::test]
    async fn repository_that_there_is_no_time_for_is_named_all_the_same() {
        let walk = Walk {
            found: vec!["/nonexistent/project".into()],
            is_cut: false,
        };
        let summary = look_at_all(walk, Instant::now()).await;
        let expected = RepositoryWork {
            path: "/nonexistent/project".into(),
            problem: Some("there was no time left to look".into()),
            ..RepositoryWork::default()
        };
        assert_eq!(summary.repositories, [expected]);
        assert!(summary.is_cut);
    }
}
