//! What a deletion would take with it: work that is in the workspace and nowhere else.

use serde::Deserialize;

use super::view::harmless;
use crate::api::Api;

/// What is in the repositories of a workspace, and nowhere else.
#[derive(Debug, Deserialize)]
pub(super) struct Work {
    is_known: bool,
    is_cut: bool,
    repositories: Vec<Repository>,
}

/// What is in one of them.
#[derive(Debug, Deserialize)]
struct Repository {
    path: String,
    branch: Option<String>,
    uncommitted: u64,
    unpushed: u64,
    stashes: u64,
    has_remote: bool,
    problem: Option<String>,
}

impl Work {
    /// Asks. Where nothing can be learnt, that is what is told.
    pub(super) async fn of(api: &Api, workspace: &str) -> Vec<String> {
        match api
            .get::<Self>(&format!("/api/workspaces/{workspace}/work"))
            .await
        {
            Ok(work) => work.lines(),
            Err(_) => {
                vec!["what is uncommitted or unpushed in it could not be looked up".to_owned()]
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        if !self.is_known {
            let unknown = "whether there is uncommitted or unpushed work in it cannot be seen: it does \
                           not run, or does not answer";
            return vec![unknown.to_owned()];
        }
        let mut lines: Vec<String> = self
            .repositories
            .iter()
            .filter_map(Repository::line)
            .collect();
        if !lines.is_empty() {
            lines.insert(0, "only in this workspace:".to_owned());
        }
        if self.is_cut {
            lines.push("  there may be more".to_owned());
        }
        lines
    }
}

impl Repository {
    fn line(&self) -> Option<String> {
        let what = match &self.problem {
            Some(problem) => format!("could not be looked at: {}", harmless(problem)),
            None => {
                let counted = |count: u64, one: &str, many: &str| match count {
                    0 => None,
                    1 => Some(format!("1 {one}")),
                    count => Some(format!("{count} {many}")),
                };
                let (one, many) = match self.has_remote {
                    true => ("unpushed commit", "unpushed commits"),
                    false => (
                        "commit, and no remote to push it to",
                        "commits, and no remote to push them to",
                    ),
                };
                let parts = [
                    counted(self.uncommitted, "uncommitted file", "uncommitted files"),
                    counted(self.unpushed, one, many),
                    counted(self.stashes, "stash", "stashes"),
                ];
                let parts: Vec<String> = parts.into_iter().flatten().collect();
                if parts.is_empty() {
                    return None;
                }
                parts.join(", ")
            }
        };
        let branch = self.branch.as_deref().map(harmless);
        let branch = branch.map(|name| format!(" ({name})")).unwrap_or_default();
        Some(format!("  {}{branch}: {what}", harmless(&self.path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> Repository {
        Repository {
            path: "/workspace/demo".into(),
            branch: Some("main".into()),
            uncommitted: 3,
            unpushed: 1,
            stashes: 0,
            has_remote: true,
            problem: None,
        }
    }

    #[test]
    fn what_would_be_lost_is_told_before_it_is() {
        let clean = Repository {
            uncommitted: 0,
            unpushed: 0,
            ..repository()
        };
        let without_remote = Repository {
            path: "/workspace/\u{1b}[2Jlocal".into(),
            branch: None,
            uncommitted: 0,
            unpushed: 7,
            stashes: 1,
            has_remote: false,
            problem: None,
        };
        let work = Work {
            is_known: true,
            is_cut: true,
            repositories: vec![repository(), clean, without_remote],
        };
        assert_eq!(
            work.lines(),
            [
                "only in this workspace:",
                "  /workspace/demo (main): 3 uncommitted files, 1 unpushed commit",
                "  /workspace/\u{fffd}[2Jlocal: 7 commits, and no remote to push them to, 1 stash",
                "  there may be more",
            ]
        );
    }

    #[test]
    fn what_nobody_could_look_at_is_not_taken_for_nothing() {
        let work = Work {
            is_known: false,
            is_cut: false,
            repositories: Vec::new(),
        };
        assert_eq!(work.lines().len(), 1);
    }
}
