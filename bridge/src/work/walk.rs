//! Finds repositories by looking for `.git`, within limits. Symbolic links are not followed.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How many levels below the root are looked at.
pub const DEPTH_LIMIT: usize = 6;

/// Directory entries that are looked at.
pub const ENTRIES_LIMIT: usize = 20_000;

/// Repositories that are looked for.
pub const FOUND_LIMIT: usize = 200;

/// Directories that hold what can be made again or fetched again, and very much of it, unless they are
/// repositories themselves.
const SKIPPED: &[&str] = &["node_modules", "target", ".cache", "vendor"];

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walk {
    /// Directories with a `.git`, whether that is any good or not; sorted.
    pub found: Vec<PathBuf>,
    /// Whether a limit ended the walk.
    pub is_cut: bool,
}

/// Looks for repositories at `root` and below it, the nearest first, until `deadline` at the latest.
/// What cannot be read may hide some.
pub fn find(root: &Path, deadline: Instant) -> Walk {
    find_among(root, deadline, ENTRIES_LIMIT)
}

fn find_among(root: &Path, deadline: Instant, mut entries_left: usize) -> Walk {
    let mut walk = Walk::default();
    let mut directories = VecDeque::from([(root.to_owned(), 0)]);
    while let Some((directory, depth)) = directories.pop_front() {
        if Instant::now() >= deadline {
            walk.is_cut = true;
            break;
        }
        if is_repository(&directory) {
            if walk.found.len() == FOUND_LIMIT {
                walk.is_cut = true;
                break;
            }
            walk.found.push(directory.clone());
        }
        if depth == DEPTH_LIMIT {
            continue;
        }
        let Ok(entries) = directory.read_dir() else {
            walk.is_cut = true;
            continue;
        };
        for entry in entries.flatten() {
            if entries_left == 0 || Instant::now() >= deadline {
                walk.is_cut = true;
                break;
            }
            entries_left -= 1;
            // The type of a link is that of the link.
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let is_looked_at = is_directory
                && entry.file_name() != ".git"
                && (!is_skipped(&entry.file_name()) || is_repository(&entry.path()));
            if is_looked_at {
                directories.push_back((entry.path(), depth + 1));
            }
        }
    }
    walk.found.sort();
    walk
}

fn is_repository(directory: &Path) -> bool {
    let found = directory.join(".git").symlink_metadata();
    found.is_ok_and(|found| found.is_dir() || found.is_file())
}

fn is_skipped(name: &OsStr) -> bool {
    SKIPPED.iter().any(|skipped| name == *skipped)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::*;

    fn tree(directories: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for directory in directories {
            std::fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        root
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn found(root: &Path) -> Vec<String> {
        let walk = find(root, soon());
        assert!(!walk.is_cut);
        let relative = |path: &PathBuf| path.strip_prefix(root).unwrap().to_owned();
        let names = walk.found.iter().map(relative);
        names
            .map(|path| path.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn repositories_are_found_six_levels_deep_and_inside_each_other() {
        let root = tree(&[
            ".git",
            "a/.git",
            "a/nested/.git",
            "a/b/c/d/e/f/.git",
            "a/b/c/d/e/f/g/.git",
            "empty",
        ]);
        std::fs::create_dir(root.path().join("linked")).unwrap();
        std::fs::write(root.path().join("linked/.git"), "gitdir: elsewhere").unwrap();
        assert_eq!(
            found(root.path()),
            ["", "a", "a/b/c/d/e/f", "a/nested", "linked"]
        );
    }

    #[test]
    fn neither_links_nor_what_can_be_made_again_are_entered() {
        let root = tree(&[
            "node_modules/x/.git",
            "target/x/.git",
            ".cache/x/.git",
            "vendor/x/.git",
            "x/target/.git",
            "x/target/inner/target/.git",
            "a/.git/modules/x/.git",
            ".hidden/.git",
            "b",
        ]);
        symlink(".", root.path().join("loop")).unwrap();
        symlink("../a/.git", root.path().join("b/.git")).unwrap();
        // One that is a repository itself is somebody's work.
        assert_eq!(
            found(root.path()),
            [".hidden", "a", "x/target", "x/target/inner/target"]
        );
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_nothing() {
        let walk = find(Path::new("/nonexistent"), soon());
        assert_eq!((walk.found.len(), walk.is_cut), (0, true));
    }

    #[test]
    fn walk_ends_when_its_time_is_over() {
        let root = tree(&["a/.git"]);
        let walk = find(root.path(), Instant::now());
        assert_eq!((walk.found.len(), walk.is_cut), (0, true));
    }

    #[test]
    fn walk_ends_after_so_many_entries() {
        // Three directories, and the `.git` is an entry too.
        let root = tree(&["a/b/c/.git"]);
        let whole = find_among(root.path(), soon(), 4);
        assert_eq!((whole.found.len(), whole.is_cut), (1, false));
        // What was seen before is still looked into as far as it takes no entries.
        let cut = find_among(root.path(), soon(), 3);
        assert_eq!((cut.found.len(), cut.is_cut), (1, true));
        let cut = find_among(root.path(), soon(), 2);
        assert_eq!((cut.found.len(), cut.is_cut), (0, true));
    }

    #[test]
    fn walk_ends_after_so_many_repositories() {
        let names: Vec<_> = (0..=FOUND_LIMIT)
            .map(|number| format!("{number}/.git"))
            .collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let walk = find(tree(&names).path(), soon());
        assert_eq!((walk.found.len(), walk.is_cut), (FOUND_LIMIT, true));
    }
}
