//! What is in the repositories of a workspace, and nowhere else.

use kalpana_protocol::bridge::work::RepositoryWork;
use kalpana_protocol::orchestrator::Work;
use serde::Serialize;
use utoipa::ToSchema;

/// Most repositories shown.
const REPOSITORIES: usize = 20;

/// Most files named of one of them.
const EXAMPLES: usize = 10;

/// Longest text of a container that is shown, in characters.
const TEXT_LIMIT: usize = 200;

/// What is in the repositories of a workspace, and nowhere else.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkspaceWork)]
pub(crate) struct WorkView {
    /// Whether anybody could look: a workspace that does not run cannot be looked into.
    is_known: bool,
    /// Whether there may be more than is told.
    is_cut: bool,
    /// Its repositories, those with work first.
    repositories: Vec<RepositoryWorkView>,
}

/// What is in one repository, and nowhere else. Text comes from the workspace: to be shown as text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RepositoryWork)]
struct RepositoryWorkView {
    /// Where it is; to others than the owner its last part.
    #[schema(example = "/workspace/demo")]
    path: String,
    /// The branch that is checked out.
    branch: Option<String>,
    /// Files that were changed, added or deleted since the last commit, or are in none.
    uncommitted: u64,
    /// Some of them, for the owner.
    examples: Vec<String>,
    /// Commits that are on no remote.
    unpushed: u64,
    /// Changes that were stashed.
    stashes: u64,
    /// Whether there is a remote to push to.
    has_remote: bool,
    /// Why nothing of it could be told: there may be work in it.
    problem: Option<String>,
}

impl WorkView {
    /// Shows what was told: to the owner in full, to others in numbers.
    pub(crate) fn new(told: Work, is_owner: bool) -> Self {
        let is_known = told.summary.is_some();
        let summary = told.summary.unwrap_or_default();
        let repositories = summary.repositories.into_iter().take(REPOSITORIES);
        Self {
            is_known,
            is_cut: summary.is_cut,
            repositories: repositories
                .map(|repository| RepositoryWorkView::new(repository, is_owner))
                .collect(),
        }
    }
}

impl RepositoryWorkView {
    fn new(told: RepositoryWork, is_owner: bool) -> Self {
        let path = match is_owner {
            true => told.path,
            false => told.path.rsplit('/').next().unwrap_or_default().to_owned(),
        };
        let examples = told.examples.into_iter().take(EXAMPLES);
        Self {
            path: bounded(&path),
            branch: told.branch.filter(|_| is_owner).map(|text| bounded(&text)),
            uncommitted: told.uncommitted,
            examples: examples
                .filter(|_| is_owner)
                .map(|text| bounded(&text))
                .collect(),
            unpushed: told.unpushed,
            stashes: told.stashes,
            has_remote: told.has_remote,
            problem: told.problem.map(|text| match is_owner {
                true => bounded(&text),
                false => "it could not be read".to_owned(),
            }),
        }
    }
}

fn bounded(text: &str) -> String {
    let printable = text.chars().filter(|character| !character.is_control());
    printable.take(TEXT_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use kalpana_protocol::bridge::work::WorkSummary;

    use super::*;

    fn told() -> Work {
        let repository = RepositoryWork {
            path: "/workspace/secret-plans".to_owned(),
            branch: Some("buy-them".to_owned()),
            uncommitted: 3,
            examples: vec!["salaries.ods\u{1b}[2J".to_owned(); 50],
            unpushed: 2,
            stashes: 1,
            has_remote: true,
            problem: None,
        };
        Work {
            summary: Some(WorkSummary {
                repositories: vec![repository; 50],
                is_cut: false,
            }),
        }
    }

    #[test]
    fn the_owner_is_told_which_files_within_bounds_and_harmless() {
        let view = WorkView::new(told(), true);
        assert!(view.is_known);
        assert_eq!(view.repositories.len(), REPOSITORIES);
        let first = &view.repositories[0];
        assert_eq!(first.examples.len(), EXAMPLES);
        assert_eq!(first.examples[0], "salaries.ods[2J");
    }

    #[test]
    fn others_are_told_how_much() {
        let view = WorkView::new(told(), false);
        let text = serde_json::to_string(&view).unwrap();
        assert!(
            !text.contains("salaries") && !text.contains("buy-them"),
            "{text}"
        );
        assert_eq!(view.repositories[0].uncommitted, 3);
    }

    #[test]
    fn a_repository_that_could_not_be_read_is_clean_for_nobody() {
        let mut told = told();
        let summary = told.summary.as_mut().unwrap();
        summary.repositories[0].problem = Some("fatal: secret-plans".to_owned());
        let problem = |is_owner| {
            let mut view = WorkView::new(told.clone(), is_owner);
            view.repositories.remove(0).problem
        };
        assert_eq!(problem(true).as_deref(), Some("fatal: secret-plans"));
        assert_eq!(problem(false).as_deref(), Some("it could not be read"));
    }

    #[test]
    fn what_nobody_could_look_at_is_not_taken_for_nothing() {
        assert!(!WorkView::new(Work::default(), true).is_known);
    }
}
