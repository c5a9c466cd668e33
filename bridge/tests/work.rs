//! What exists nowhere else, with real repositories and the real Git.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "support/host.rs"]
mod process;
#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "support/support.rs"]
mod support;

use std::os::unix::fs::{lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use kalpana_bridge::work::report::Reader;
use kalpana_protocol::bridge::{RepositoryWork, WorkSummary};

use process::{Host, is_root};
use support::{LIMIT, rpc};

/// Directories of one test.
struct Site(tempfile::TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        for name in ["home", "root", "remotes"] {
            std::fs::create_dir(site.0.path().join(name)).unwrap();
        }
        site
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("root").canonicalize().unwrap()
    }

    /// Makes a repository without a commit.
    fn init(&self, name: &str) -> PathBuf {
        let path = self.root().join(name);
        std::fs::create_dir_all(&path).unwrap();
        git(&path, &["init", "--quiet"]);
        path
    }

    /// Makes a repository with one commit that is on a remote too.
    fn pushed(&self, name: &str) -> PathBuf {
        let path = self.init(name);
        commit(&path, "first");
        let remote = self.0.path().join("remotes").join(name);
        let remote = remote.to_str().unwrap();
        git(&path, &["init", "--quiet", "--bare", remote]);
        git(&path, &["remote", "add", "origin", remote]);
        git(
            &path,
            &["push", "--quiet", "--set-upstream", "origin", "main"],
        );
        path
    }

    /// Runs `bridge work` and reads what it writes.
    fn summary(&self) -> WorkSummary {
        let output = Command::new(env!("CARGO_BIN_EXE_bridge"))
            .arg("work")
            .arg(self.root())
            .env("HOME", self.0.path().join("home"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut reader = Reader::default();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split('\r').for_each(|line| reader.take(line));
        reader.finish().unwrap()
    }

    /// Returns what is said of the only repository.
    fn only(&self) -> RepositoryWork {
        let summary = self.summary();
        assert!(!summary.is_cut);
        let [work] = &summary.repositories[..] else {
            panic!("{summary:?}");
        };
        work.clone()
    }
}

fn git(directory: &Path, args: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
        .args([
            "-c",
            "init.defaultBranch=main",
            "-c",
            "protocol.file.allow=always",
        ])
        .args(args)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {errors}");
}

fn commit(directory: &Path, name: &str) {
    std::fs::write(directory.join(name), name).unwrap();
    git(directory, &["add", name]);
    git(directory, &["commit", "--quiet", "--message", name]);
}

/// A repository with everything pushed.
fn clean(path: &Path) -> RepositoryWork {
    RepositoryWork {
        path: path.to_str().unwrap().into(),
        branch: Some("main".into()),
        has_remote: true,
        ..RepositoryWork::default()
    }
}

#[test]
fn without_a_remote_every_commit_is_work() {
    let site = Site::new();
    let project = site.init("project");
    commit(&project, "first");
    commit(&project, "second");
    // What is left of a remote that was removed by hand.
    git(
        &project,
        &["update-ref", "refs/remotes/origin/main", "HEAD"],
    );
    let expected = RepositoryWork {
        unpushed: 2,
        has_remote: false,
        ..clean(&project)
    };
    assert_eq!(site.only(), expected);
}

#[test]
fn what_is_pushed_and_committed_is_no_work() {
    let site = Site::new();
    let project = site.pushed("project");
    std::fs::write(project.join(".git/info/exclude"), "ignored\n").unwrap();
    std::fs::write(project.join("ignored"), "x").unwrap();
    assert_eq!(site.only(), clean(&project));
    assert!(!site.only().has_work());
}

#[test]
fn commits_of_every_branch_count() {
    let site = Site::new();
    let project = site.pushed("project");
    git(&project, &["checkout", "--quiet", "-b", "other"]);
    commit(&project, "second");
    commit(&project, "third");
    git(&project, &["checkout", "--quiet", "main"]);
    let expected = RepositoryWork {
        unpushed: 2,
        ..clean(&project)
    };
    assert_eq!(site.only(), expected);
}

#[test]
fn stashes_count() {
    let site = Site::new();
    let project = site.pushed("project");
    for text in ["one", "two"] {
        std::fs::write(project.join("first"), text).unwrap();
        git(&project, &["stash", "--quiet"]);
    }
    let expected = RepositoryWork {
        stashes: 2,
        ..clean(&project)
    };
    assert_eq!(site.only(), expected);
}

#[test]
fn commits_of_a_detached_head_count() {
    let site = Site::new();
    let project = site.pushed("project");
    git(&project, &["checkout", "--quiet", "--detach"]);
    commit(&project, "second");
    let expected = RepositoryWork {
        branch: None,
        unpushed: 1,
        ..clean(&project)
    };
    assert_eq!(site.only(), expected);
}

#[test]
fn files_of_an_unborn_branch_count() {
    let site = Site::new();
    let project = site.init("project");
    std::fs::write(project.join("new"), "x").unwrap();
    std::fs::create_dir(project.join("more")).unwrap();
    std::fs::write(project.join("more/one"), "x").unwrap();
    std::fs::write(project.join("more/two"), "x").unwrap();
    let expected = RepositoryWork {
        uncommitted: 2,
        examples: vec!["more/".into(), "new".into()],
        has_remote: false,
        ..clean(&project)
    };
    assert_eq!(site.only(), expected);
}

#[test]
fn files_that_were_changed_deleted_or_renamed_count_once_each() {
    let site = Site::new();
    let project = site.pushed("project");
    for name in ["changed", "deleted", "renamed"] {
        commit(&project, name);
    }
    git(&project, &["push", "--quiet"]);
    std::fs::write(project.join("changed"), "otherwise").unwrap();
    std::fs::remove_file(project.join("deleted")).unwrap();
    git(&project, &["mv", "renamed", "with a\nnew name"]);
    let expected = RepositoryWork {
        uncommitted: 3,
        examples: vec!["changed".into(), "deleted".into(), "with a new name".into()],
        ..clean(&project)
    };
    assert_eq!(site.only(), expected);
}

#[test]
fn files_that_two_branches_disagree_on_count() {
    let site = Site::new();
    let project = site.pushed("project");
    for (branch, text) in [("one", "1"), ("two", "2")] {
        git(&project, &["checkout", "--quiet", "-B", branch, "main"]);
        std::fs::write(project.join("first"), text).unwrap();
        git(&project, &["commit", "--quiet", "--all", "--message", text]);
    }
    let merge = Command::new("git")
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
        .args(["merge", "--quiet", "one"])
        .current_dir(&project)
        .output()
        .unwrap();
    assert_eq!(merge.status.code(), Some(1), "{merge:?}");
    let expected = RepositoryWork {
        branch: Some("two".into()),
        uncommitted: 1,
        examples: vec!["first".into()],
        unpushed: 2,
        ..clean(&project)
    };
    assert_eq!(site.only(), expected);
}

#[test]
fn broken_repository_has_a_problem_and_hides_nothing_of_the_others() {
    let site = Site::new();
    let outer = site.pushed("outer");
    let site_root = site.root();
    for (name, head) in [("outer/empty", None), ("outer/garbage", Some("garbage"))] {
        let directory = site_root.join(name).join(".git");
        std::fs::create_dir_all(&directory).unwrap();
        if let Some(head) = head {
            std::fs::write(directory.join("HEAD"), head).unwrap();
        }
    }
    std::fs::create_dir(site_root.join("pointer")).unwrap();
    std::fs::write(site_root.join("pointer/.git"), "gitdir: /nonexistent\n").unwrap();
    let lost = site.init("lost");
    commit(&lost, "first");
    std::fs::remove_dir_all(lost.join(".git/objects")).unwrap();
    std::fs::create_dir(lost.join(".git/objects")).unwrap();
    let summary = site.summary();
    let told: Vec<_> = summary
        .repositories
        .iter()
        .map(|work| (Path::new(&work.path), work.problem.as_deref()))
        .collect();
    let no_repository = "git failed: fatal: not a git repository";
    for (name, expected) in [
        ("lost", Some("git failed: ")),
        ("outer/empty", Some(no_repository)),
        ("outer/garbage", Some(no_repository)),
        ("pointer", Some(no_repository)),
        ("outer", None),
    ] {
        let path = site_root.join(name);
        let (_, problem) = told.iter().find(|(found, _)| *found == path).unwrap();
        match expected {
            Some(expected) => assert!(problem.unwrap().starts_with(expected), "{told:?}"),
            None => assert_eq!(*problem, None, "{told:?}"),
        }
    }
    // Those that may have work come first.
    assert_eq!(told.last().unwrap().0, outer);
}

#[test]
fn nested_and_linked_repositories_are_told_each_for_itself() {
    let site = Site::new();
    let outer = site.pushed("outer");
    let inner = outer.join("inner");
    std::fs::create_dir(&inner).unwrap();
    git(&inner, &["init", "--quiet"]);
    commit(&inner, "first");
    git(
        &outer,
        &["worktree", "add", "--quiet", "-b", "side", "../side"],
    );
    let side = site.root().join("side");
    std::fs::write(side.join("new"), "x").unwrap();
    symlink("..", outer.join("loop")).unwrap();
    let expected = [
        RepositoryWork {
            uncommitted: 2,
            examples: vec!["inner/".into(), "loop".into()],
            ..clean(&outer)
        },
        RepositoryWork {
            unpushed: 1,
            has_remote: false,
            ..clean(&inner)
        },
        RepositoryWork {
            branch: Some("side".into()),
            uncommitted: 1,
            examples: vec!["new".into()],
            ..clean(&side)
        },
    ];
    assert_eq!(site.summary().repositories, expected);
}

#[test]
fn root_may_be_a_repository_and_names_may_be_odd() {
    let site = Site::new();
    git(&site.root(), &["init", "--quiet"]);
    std::fs::write(site.root().join("\u{1b}[31m\u{202e}\nfile"), "x").unwrap();
    site.init("odd\nname: \u{7}");
    let [root, odd] = &site.summary().repositories[..] else {
        panic!("there are two");
    };
    assert_eq!(root.path, site.root().to_str().unwrap());
    assert_eq!(root.examples, [" [31m  file", "odd name:  /"]);
    let expected = RepositoryWork {
        has_remote: false,
        ..clean(&site.root().join("odd name:  "))
    };
    assert_eq!(*odd, expected);
}

#[test]
fn looking_changes_nothing() {
    let site = Site::new();
    let project = site.pushed("project");
    let index = || std::fs::read(project.join(".git/index")).unwrap();
    // Makes Git want to refresh what it remembers of the file.
    std::fs::write(project.join("first"), "first").unwrap();
    let before = index();
    assert_eq!(site.only(), clean(&project));
    assert!(index() == before);
}

#[tokio::test]
async fn client_is_told_over_the_socket_and_many_share_one_answer() {
    let mut host = Host::new();
    let project = host.path("workspace/project");
    std::fs::create_dir(&project).unwrap();
    git(&project, &["init", "--quiet"]);
    commit(&project, "first");
    std::fs::write(project.join("notes"), "mine").unwrap();
    if is_root() {
        give(&host.path("workspace"), host.launch.uid);
    }
    host.start();
    let (client, _notifications) = rpc(&host.orchestrator()).await;
    let asks = (0..8).map(|_| client.work_summary(LIMIT));
    let answers = futures_util::future::join_all(asks).await;
    let expected = WorkSummary {
        repositories: vec![RepositoryWork {
            uncommitted: 1,
            examples: vec!["notes".into()],
            unpushed: 1,
            has_remote: false,
            ..clean(&project)
        }],
        is_cut: false,
    };
    for answer in answers {
        assert_eq!(answer.unwrap(), expected);
    }
    // And again.
    std::fs::remove_file(project.join("notes")).unwrap();
    let summary = client.work_summary(LIMIT).await.unwrap();
    assert_eq!(summary.repositories[0].uncommitted, 0);
}

/// Gives a directory and everything in it to a user.
fn give(path: &Path, uid: u32) {
    lchown(path, Some(uid), Some(uid)).unwrap();
    if path.symlink_metadata().unwrap().is_dir() {
        for entry in path.read_dir().unwrap() {
            give(&entry.unwrap().path(), uid);
        }
    }
}
