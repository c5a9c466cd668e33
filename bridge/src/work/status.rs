//! Reads `git status --porcelain=v2 --branch -z`.
//!
//! Source: git-status(1), "Porcelain Format Version 2" and "Pathname Format Notes and -z".

use kalpana_protocol::bridge::work::{EXAMPLES_LIMIT, TEXT_LIMIT};

use crate::printable;

/// What asks for it: the arguments after the options that hold for every Git.
pub const ARGUMENTS: &[&str] = &[
    "status",
    "--porcelain=v2",
    "--branch",
    "--no-ahead-behind",
    "-z",
    "--untracked-files=normal",
];

/// The state of a work tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The branch that is checked out; `None` when the head is detached.
    pub branch: Option<String>,
    /// Whether the head is a commit; without one the branch is yet unborn.
    pub has_commit: bool,
    /// Files that were changed, added, deleted, or are untracked.
    pub uncommitted: u64,
    /// The first of them, fit to be shown.
    pub examples: Vec<String>,
}

impl Status {
    /// Reads what Git wrote; a last entry that was cut is left out. `None` if it does not begin as
    /// this format does.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut status = Self::default();
        // Every entry ends with a zero byte, and what is behind the last one is no entry.
        let (whole, _) = bytes.split_at(bytes.iter().rposition(|&byte| byte == 0)?);
        let mut entries = whole.split(|&byte| byte == 0);
        let commit = entries.next()?.strip_prefix(b"# branch.oid ")?;
        status.has_commit = commit != b"(initial)";
        while let Some(entry) = entries.next() {
            match entry.first() {
                Some(b'#') => {
                    if let Some(branch) = entry.strip_prefix(b"# branch.head ") {
                        status.branch = (branch != b"(detached)").then(|| shown(branch));
                    }
                }
                Some(b'1') => status.add(field(entry, 8)),
                Some(b'2') => {
                    status.add(field(entry, 9));
                    // What it was called before is an entry of its own.
                    entries.next();
                }
                Some(b'u') => status.add(field(entry, 10)),
                Some(b'?') => status.add(field(entry, 1)),
                // Ignored files, and whatever a newer Git says.
                _ => {}
            }
        }
        Some(status)
    }

    fn add(&mut self, path: Option<&[u8]>) {
        self.uncommitted += 1;
        if self.examples.len() < EXAMPLES_LIMIT {
            self.examples.extend(path.map(shown));
        }
    }
}

/// Returns everything behind so many spaces: the last field, which may hold spaces itself.
fn field(entry: &[u8], number: usize) -> Option<&[u8]> {
    entry.splitn(number + 1, |&byte| byte == b' ').nth(number)
}

fn shown(bytes: &[u8]) -> String {
    printable::line(&String::from_utf8_lossy(bytes), TEXT_LIMIT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "# branch.oid 1234\0# branch.head main\0";
    const ONE: &str = "N... 100644 100644 100644 1234 5678";

    fn parse(text: &str) -> Status {
        Status::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn every_kind_of_entry_is_counted_once_and_named() {
        let status = parse(&format!(
            "{HEAD}# branch.upstream origin/main\0# branch.ab +1 -0\0\
             1 .M {ONE} a file\0\
             2 R. {ONE} R100 new name\0? old name\0\
             2 C. {ONE} C75 copy\01 .M not an entry\0\
             u UU N... 100644 100644 100644 100644 1 2 3 both\0\
             ? notes/\0\
             ! ignored\0"
        ));
        let examples = ["a file", "new name", "copy", "both", "notes/"];
        let expected = Status {
            branch: Some("main".into()),
            has_commit: true,
            uncommitted: 5,
            examples: examples.map(str::to_owned).to_vec(),
        };
        assert_eq!(status, expected);
    }

    #[test]
    fn odd_names_are_names() {
        let status = parse(&format!(
            "{HEAD}? a\nb\0? # branch.head evil\0?  two\0? \u{1b}[2J\u{202e}\0"
        ));
        assert_eq!(status.branch.as_deref(), Some("main"));
        assert_eq!(
            status.examples,
            ["a b", "# branch.head evil", " two", " [2J "]
        );
        let status = Status::parse(&[HEAD.as_bytes(), b"? \xff\0"].concat()).unwrap();
        assert_eq!(status.examples, ["\u{fffd}"]);
    }

    #[test]
    fn heads_are_born_unborn_or_detached() {
        let unborn = parse("# branch.oid (initial)\0# branch.head main\0");
        assert_eq!(
            (unborn.branch.as_deref(), unborn.has_commit),
            (Some("main"), false)
        );
        let detached = parse("# branch.oid 1234\0# branch.head (detached)\0");
        assert_eq!((detached.branch, detached.has_commit), (None, true));
    }

    #[test]
    fn only_some_files_are_named_and_only_whole_entries_counted() {
        let many: String = (0..30).map(|number| format!("? {number}\0")).collect();
        let status = parse(&format!("{HEAD}{many}? cut"));
        assert_eq!(
            (status.uncommitted, status.examples.len()),
            (30, EXAMPLES_LIMIT)
        );
        // The second name of a renamed file is behind the cut.
        let status = parse(&format!("{HEAD}2 R. {ONE} R100 new\0ol"));
        assert_eq!((status.uncommitted, status.examples.len()), (1, 1));
    }

    #[test]
    fn other_words_are_no_status() {
        for text in ["", "\0", "fatal: no", "On branch main\n\0", "? file\0"] {
            assert_eq!(Status::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn nothing_in_it_breaks_the_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let status = Status::parse(&[HEAD.as_bytes(), &bytes].concat()).unwrap();
            prop_assert!(status.examples.len() <= EXAMPLES_LIMIT);
            for example in &status.examples {
                prop_assert!(example.len() <= TEXT_LIMIT);
                prop_assert!(!example.contains(char::is_control));
            }
        }
    }
}
