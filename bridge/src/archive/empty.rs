//! Deletes everything below a directory, and nothing that a link there leads to.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat, chmodat, fchmod, openat, unlinkat};
use rustix::io::{Errno, Result};

use super::descent::{Descent, is_no_directory, names, open_directory};

/// How a directory is while it is emptied: the user may own it and yet not change it.
const WRITABLE: Mode = Mode::RWXU;

/// Deletes every entry below a root, and leaves the root.
///
/// # Errors
/// Whatever the kernel says to the first that cannot be deleted, another file system among them; some
/// may be deleted then.
pub fn empty(root: &OwnedFd, stat: &Stat) -> Result<()> {
    let listed = list(root.as_fd())?;
    let mut descent = Descent::new(
        root.try_clone().map_err(|error| errno(&error))?,
        stat,
        listed,
    );
    loop {
        if let Some(name) = descent.content().next() {
            delete(&mut descent, name)?;
        } else if let Some(left) = descent.leave() {
            if left.lost > 0 {
                return Err(Errno::STALE);
            }
            unlinkat(descent.directory(), &left.name, AtFlags::REMOVEDIR)?;
        } else {
            return Ok(());
        }
    }
}

/// Deletes an entry, or goes into it if it is a directory.
fn delete(descent: &mut Descent<std::vec::IntoIter<CString>>, name: CString) -> Result<()> {
    let parent = descent.directory();
    // Most entries are no directories, and the kernel says so.
    match unlinkat(parent, &name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    let (directory, stat) = match open_directory(parent, &name) {
        Err(Errno::ACCESS) => {
            make_readable(parent, &name)?;
            open_directory(parent, &name)?
        }
        // A file that may not be deleted.
        Err(error) if is_no_directory(error) => return Err(Errno::PERM),
        opened => opened?,
    };
    if stat.st_dev != descent.device() {
        return Err(Errno::XDEV);
    }
    let listed = list(directory.as_fd())?;
    descent.enter(name, directory, &stat, listed);
    Ok(())
}

fn list(directory: BorrowedFd<'_>) -> Result<std::vec::IntoIter<CString>> {
    // If that is not ours to do, deleting fails and says so.
    let _ = fchmod(directory, WRITABLE);
    match names(directory) {
        (names, None) => Ok(names.into_iter()),
        (_, Some(error)) => Err(error),
    }
}

/// Lets us into a directory of our own that lets nobody in. Only `/proc` changes a mode by a
/// descriptor that was opened for nothing else, and by name a link might be followed.
fn make_readable(parent: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(parent, name, flags, Mode::empty())?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&directory);
    let path = format!("/proc/self/fd/{number}");
    chmodat(CWD, path, WRITABLE, AtFlags::empty())
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
