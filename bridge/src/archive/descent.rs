//! The way down into a tree: directories that were opened one from another, with few open at a time.
//!
//! A tree may be deeper than a path may be long and than files may be open. So only the deepest
//! directories stay open; one further up is opened again as `..` on the way back, and is the same one
//! or given up.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Dir, Mode, OFlags, Stat, fstat, openat};
use rustix::io::{Errno, Result};
use rustix::path::Arg;

/// How many directories are open at a time, besides the root.
const OPEN_LIMIT: usize = 64;

/// How a directory is opened: never through a link.
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Opens the directory `name` in `parent`, and says what it is.
///
/// # Errors
/// Whatever the kernel says; [`is_no_directory`] knows what it says to a link.
pub fn open_directory(parent: BorrowedFd<'_>, name: impl Arg) -> Result<(OwnedFd, Stat)> {
    let directory = openat(parent, name, DIRECTORY, Mode::empty())?;
    let stat = fstat(&directory)?;
    Ok((directory, stat))
}

/// Returns whether [`open_directory`] found something else than a directory.
pub fn is_no_directory(error: Errno) -> bool {
    matches!(error, Errno::NOTDIR | Errno::LOOP)
}

/// Returns the names in a directory in the order of their bytes, and what kept some from being read.
pub fn names(directory: BorrowedFd<'_>) -> (Vec<CString>, Option<Errno>) {
    let mut names = Vec::new();
    let entries = match Dir::read_from(directory) {
        Ok(entries) => entries,
        Err(error) => return (names, Some(error)),
    };
    let mut failure = None;
    for entry in entries {
        match entry {
            Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
            Ok(entry) => names.push(entry.file_name().to_owned()),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    names.sort_unstable();
    (names, failure)
}

/// The directories between a root and the deepest one, each with a `T` of its own.
#[derive(Debug)]
pub struct Descent<T> {
    root: Level<T>,
    below: Vec<Level<T>>,
}

#[derive(Debug)]
struct Level<T> {
    name: CString,
    /// Closed where there are [`OPEN_LIMIT`] deeper ones; never the deepest, and never the root.
    directory: Option<OwnedFd>,
    identity: (u64, u64),
    content: T,
}

/// A directory that was left again.
#[derive(Debug)]
pub struct Left<T> {
    /// Its name in the one above it.
    pub name: CString,
    /// Itself, still open.
    pub directory: OwnedFd,
    /// What was kept with it.
    pub content: T,
    /// How many directories above it are given up, because they are no longer where they were.
    pub lost: u64,
}

impl<T> Descent<T> {
    /// Begins at a root.
    pub fn new(root: OwnedFd, stat: &Stat, content: T) -> Self {
        Self {
            root: Level::new(CString::default(), root, stat, content),
            below: Vec::new(),
        }
    }

    /// Returns how many directories deep it goes, 0 at the root.
    pub fn depth(&self) -> usize {
        self.below.len()
    }

    /// Returns the name of the directory at a depth, counted from 1.
    pub fn name(&self, depth: usize) -> Option<&CStr> {
        let level = self.below.get(depth.checked_sub(1)?)?;
        Some(&level.name)
    }

    /// Returns the deepest directory.
    pub fn directory(&self) -> BorrowedFd<'_> {
        let deepest = self.below.last().unwrap_or(&self.root);
        let directory = deepest.directory.as_ref();
        directory.expect("the deepest is open").as_fd()
    }

    /// Returns the root.
    pub fn root(&self) -> BorrowedFd<'_> {
        let directory = self.root.directory.as_ref();
        directory.expect("the root is open").as_fd()
    }

    /// Returns the number of the device that the root is on.
    pub fn device(&self) -> u64 {
        self.root.identity.0
    }

    /// Returns what is kept with the deepest directory.
    pub fn content(&mut self) -> &mut T {
        &mut self.below.last_mut().unwrap_or(&mut self.root).content
    }

    /// Goes on into a directory that was opened from the deepest one.
    pub fn enter(&mut self, name: CString, directory: OwnedFd, stat: &Stat, content: T) {
        self.below.push(Level::new(name, directory, stat, content));
        if let Some(closed) = self.below.len().checked_sub(OPEN_LIMIT + 1) {
            self.below[closed].directory = None;
        }
    }

    /// Leaves the deepest directory; at the root there is none to leave.
    pub fn leave(&mut self) -> Option<Left<T>> {
        let level = self.below.pop()?;
        let directory = level.directory.expect("the deepest is open");
        let mut lost = 0;
        let mut from = Some(directory.as_fd());
        while let Some(above) = self.below.last_mut() {
            if above.directory.is_some() {
                break;
            }
            let parent = from.take().and_then(|child| again(child, above.identity));
            if let Some(parent) = parent.or_else(|| self.by_names()) {
                let above = self.below.last_mut().expect("it was there before");
                above.directory = Some(parent);
                break;
            }
            self.below.pop();
            lost += 1;
        }
        Some(Left {
            name: level.name,
            directory,
            content: level.content,
            lost,
        })
    }

    /// Leaves everything and returns what was kept with the root.
    pub fn into_root(self) -> (OwnedFd, T) {
        let directory = self.root.directory.expect("the root is open");
        (directory, self.root.content)
    }

    /// Opens the deepest directory by its names, for when `..` leads elsewhere.
    fn by_names(&self) -> Option<OwnedFd> {
        let mut reached = None;
        for level in &self.below {
            let parent = reached
                .as_ref()
                .map_or(self.root(), |(fd, _): &(OwnedFd, Stat)| fd.as_fd());
            let next = open_directory(parent, &*level.name).ok()?;
            if identity(&next.1) != level.identity {
                return None;
            }
            reached = Some(next);
        }
        reached.map(|(directory, _)| directory)
    }
}

impl<T> Level<T> {
    fn new(name: CString, directory: OwnedFd, stat: &Stat, content: T) -> Self {
        Self {
            name,
            directory: Some(directory),
            identity: identity(stat),
            content,
        }
    }
}

/// Opens the directory above `child` if it is still the one that it was entered from.
fn again(child: BorrowedFd<'_>, expected: (u64, u64)) -> Option<OwnedFd> {
    let (directory, stat) = open_directory(child, c"..").ok()?;
    (identity(&stat) == expected).then_some(directory)
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn root(path: &Path) -> Descent<()> {
        let directory = OwnedFd::from(std::fs::File::open(path).unwrap());
        let stat = fstat(&directory).unwrap();
        Descent::new(directory, &stat, ())
    }

    fn enter(descent: &mut Descent<()>, name: &CStr) {
        let (directory, stat) = open_directory(descent.directory(), name).unwrap();
        descent.enter(name.to_owned(), directory, &stat, ());
    }

    fn inode(descent: &Descent<()>) -> u64 {
        fstat(descent.directory()).unwrap().st_ino
    }

    #[test]
    fn links_are_no_directories() {
        let place = tempfile::tempdir().unwrap();
        symlink("/", place.path().join("link")).unwrap();
        let descent = root(place.path());
        let error = open_directory(descent.directory(), c"link").unwrap_err();
        assert!(is_no_directory(error), "{error}");
    }

    #[test]
    fn directories_that_were_closed_are_found_again() {
        let place = tempfile::tempdir().unwrap();
        let depth = 3 * OPEN_LIMIT;
        std::fs::create_dir_all(place.path().join("d/".repeat(depth))).unwrap();
        let mut descent = root(place.path());
        let mut inodes = vec![inode(&descent)];
        for _ in 0..depth {
            enter(&mut descent, c"d");
            inodes.push(inode(&descent));
        }
        while descent.depth() > 0 {
            inodes.pop();
            assert_eq!(descent.leave().unwrap().lost, 0);
            assert_eq!(inode(&descent), *inodes.last().unwrap());
        }
        assert!(descent.leave().is_none());
    }

    #[test]
    fn directories_that_were_moved_away_are_given_up() {
        let place = tempfile::tempdir().unwrap();
        let inside = place.path().join("inside");
        std::fs::create_dir_all(inside.join("d/".repeat(OPEN_LIMIT + 10))).unwrap();
        let mut descent = root(&inside);
        for _ in 0..OPEN_LIMIT + 10 {
            enter(&mut descent, c"d");
        }
        // The one at depth 5 leaves the tree, with all that is below it; 5 above it are closed.
        let moved = inside.join("d/d/d/d/d");
        std::fs::rename(&moved, place.path().join("moved")).unwrap();
        let lost: Vec<_> = std::iter::from_fn(|| descent.leave())
            .map(|left| left.lost)
            .collect();
        // Those below it are found by `..`. The one above it is not, and is found by its name.
        assert_eq!(lost, vec![0; OPEN_LIMIT + 10]);

        std::fs::rename(place.path().join("moved"), &moved).unwrap();
        for _ in 0..OPEN_LIMIT + 10 {
            enter(&mut descent, c"d");
        }
        std::fs::rename(&moved, place.path().join("moved")).unwrap();
        std::fs::rename(inside.join("d"), place.path().join("all")).unwrap();
        let lost: u64 = std::iter::from_fn(|| descent.leave())
            .map(|left| left.lost)
            .sum();
        assert_eq!(lost, 4);
        assert_eq!(
            inode(&descent),
            fstat(std::fs::File::open(&inside).unwrap()).unwrap().st_ino
        );
    }
}
