//! Replaces what is in both volumes by what an archive has.

use std::ffi::{CStr, CString};
use std::io::Read;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use kalpana_protocol::bridge::archive::{ArchiveEnd, END_NAME};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid, XattrFlags, chownat, fchmod, fchown,
    fsetxattr, fstat, ftruncate, futimens, linkat, mkdirat, mknodat, openat, statat, symlinkat,
    syncfs, utimensat,
};
use rustix::io::{Errno, pwrite};
use tar::Entry;

use super::descent::{Descent, Left, is_no_directory, open_directory};
use super::empty;
use super::entry::Meta;
use super::read::{self, Content, Counted, Item, Progress, ReadError};
use super::sparse::{BLOCK, Part};
use super::{Complaints, NAME_LIMIT, ROOT_NAMES, Roots, shown};

/// How much of a file is written at once, in bytes.
const WRITE_SIZE: usize = 256 << 10;

/// Longest end of an archive, in bytes.
const END_LIMIT: u64 = 4096;

/// The mode of a file or directory that is not complete: nobody else's.
const UNFINISHED: Mode = Mode::RWXU;

/// The mode of a directory that no entry tells of.
const UNTOLD: Mode = Mode::from_raw_mode(0o755);

/// The bit of a mode that the kernel takes away unless the group is one's own.
const SETGID: u32 = 0o2000;

/// Why the volumes are not what was packed. They have been emptied, unless it is said otherwise, and
/// have some of it.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// A volume is not there; nothing was done.
    #[error("cannot open {}", path.display())]
    Root {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Errno,
    },
    /// Something was there before and cannot be deleted.
    #[error("cannot empty {}", path.display())]
    Empty {
        /// The volume.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Errno,
    },
    /// It was cut off, or lost something on its way.
    #[error("the archive is not whole")]
    NotWhole,
    /// It is no archive of ours.
    #[error(transparent)]
    Read(ReadError),
    /// An entry would do something that no packed one does.
    #[error("refused {name}: {why}")]
    Refused {
        /// Its name, printable.
        name: String,
        /// What it would do.
        why: &'static str,
    },
    /// An entry cannot be made.
    #[error("cannot restore {name}")]
    Restore {
        /// Its name, printable.
        name: String,
        /// Why not.
        #[source]
        source: Errno,
    },
    /// It is all there, but may not be on the disk.
    #[error("cannot write the volumes to the disk")]
    Sync(#[source] Errno),
}

/// Why one entry is not restored.
enum Failure {
    Read(std::io::Error),
    Refused(&'static str),
    System(Errno),
}

impl From<Errno> for Failure {
    fn from(error: Errno) -> Self {
        Self::System(error)
    }
}

/// Empties both volumes, restores what `input` has, and waits until that is on the disk.
///
/// Nothing is emptied before the first entry was read, so that an input which is nothing at all
/// costs nothing.
///
/// # Errors
/// [`UnpackError`].
pub fn restore(
    roots: &Roots,
    input: impl Read,
    complaints: &mut Complaints,
) -> Result<ArchiveEnd, UnpackError> {
    let progress = Progress::default();
    let outcome = restore_from(roots, input, &progress, complaints);
    match outcome {
        // Whatever was missed then was missed for this reason.
        Err(UnpackError::Read(_)) if progress.is_over.get() => Err(UnpackError::NotWhole),
        other => other,
    }
}

fn restore_from(
    roots: &Roots,
    input: impl Read,
    progress: &Progress,
    complaints: &mut Complaints,
) -> Result<ArchiveEnd, UnpackError> {
    let opened = [open_root(&roots.0[0])?, open_root(&roots.0[1])?];
    let mut archive = tar::Archive::new(Counted { input, progress });
    let mut entries = archive.entries().map_err(ReadError::from)?.raw(true);
    let first = read::next(&mut entries)?.ok_or(UnpackError::NotWhole)?;
    for ((root, stat), path) in opened.iter().zip(&roots.0) {
        empty::empty(root, stat).map_err(|source| UnpackError::Empty {
            path: path.clone(),
            source,
        })?;
    }
    let mut restorer = Restorer {
        volumes: opened.map(|(root, stat)| Descent::new(root, &stat, None)),
        found: ArchiveEnd::default(),
        complaints,
        buffer: vec![0; WRITE_SIZE],
    };
    let mut item = first;
    let end = loop {
        if item.name == END_NAME.as_bytes() {
            break read_end(&mut item)?;
        }
        restorer.take(&mut item)?;
        item = read::next(&mut entries)?.ok_or(UnpackError::NotWhole)?;
    };
    let is_last = read::next(&mut entries)?.is_none();
    if !is_last {
        return Err(ReadError::Strange("something comes after its end").into());
    }
    drain(archive.into_inner(), progress)?;
    restorer.found.skipped = end.skipped;
    if restorer.found != end {
        return Err(UnpackError::NotWhole);
    }
    restorer.finish()?;
    Ok(end)
}

impl From<ReadError> for UnpackError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

fn open_root(path: &Path) -> Result<(OwnedFd, Stat), UnpackError> {
    let cannot = |source| UnpackError::Root {
        path: path.to_owned(),
        source,
    };
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| cannot(Errno::INVAL))?;
    open_directory(CWD, &name).map_err(cannot)
}

fn read_end<R: Read>(item: &mut Item<'_, R>) -> Result<ArchiveEnd, UnpackError> {
    let strange = ReadError::Strange("its end says nothing");
    match item.content {
        Content::File { size, .. } if size <= END_LIMIT => {}
        _ => return Err(strange.into()),
    }
    let mut text = Vec::new();
    item.data
        .read_to_end(&mut text)
        .map_err(|error| UnpackError::Read(error.into()))?;
    serde_json::from_slice(&text).map_err(|_| strange.into())
}

/// Reads to the end of the input, so that its writer is not cut off, and checks that nothing but
/// zeros is left, at least as many as an archive ends with: two blocks, of which one was read.
fn drain(mut input: impl Read, progress: &Progress) -> Result<(), UnpackError> {
    let read_before = progress.read.get();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = input
            .read(&mut buffer)
            .map_err(|error| UnpackError::Read(error.into()))?;
        if read == 0 {
            break;
        }
        if buffer[..read].iter().any(|&byte| byte != 0) {
            return Err(ReadError::Strange("something comes after its end").into());
        }
    }
    if progress.read.get() - read_before < BLOCK {
        return Err(UnpackError::NotWhole);
    }
    Ok(())
}

/// A name in the archive, which is one inside of a volume.
struct Place<'a> {
    volume: usize,
    components: Vec<&'a [u8]>,
}

impl<'a> Place<'a> {
    /// Reads a name. A directory's may end with a slash.
    fn parse(name: &'a [u8]) -> Result<Self, Failure> {
        if name.len() > NAME_LIMIT + 1 {
            return Err(Failure::Refused("its name is too long"));
        }
        if name.contains(&0) {
            return Err(Failure::Refused("its name has a zero in it"));
        }
        let name = name.strip_suffix(b"/").unwrap_or(name);
        let mut components = name.split(|&byte| byte == b'/');
        let first = components.next().unwrap_or_default();
        let volume = ROOT_NAMES.iter().position(|root| root.as_bytes() == first);
        let volume = volume.ok_or(Failure::Refused("it is outside of the volumes"))?;
        let components: Vec<_> = components.collect();
        if components
            .iter()
            .any(|&name| matches!(name, b"" | b"." | b".."))
        {
            return Err(Failure::Refused("its name leads elsewhere"));
        }
        Ok(Self { volume, components })
    }
}

struct Restorer<'a> {
    /// Each with what its directory shall become once nothing more comes into it.
    volumes: [Descent<Option<Meta>>; 2],
    found: ArchiveEnd,
    complaints: &'a mut Complaints,
    buffer: Vec<u8>,
}

impl Restorer<'_> {
    fn take<R: Read>(&mut self, item: &mut Item<'_, R>) -> Result<(), UnpackError> {
        let restored = self.entry(item);
        restored.map_err(|failure| match failure {
            Failure::Read(error) => UnpackError::Read(error.into()),
            Failure::Refused(why) => UnpackError::Refused {
                name: shown(&item.name),
                why,
            },
            Failure::System(source) => UnpackError::Restore {
                name: shown(&item.name),
                source,
            },
        })
    }

    fn entry<R: Read>(&mut self, item: &mut Item<'_, R>) -> Result<(), Failure> {
        let mut place = Place::parse(&item.name)?;
        let name = place.components.pop();
        match item.content {
            Content::Directory => self.found.directories += 1,
            Content::File { size, .. } => {
                self.found.files += 1;
                self.found.bytes = self.found.bytes.saturating_add(size);
            }
            _ => self.found.files += 1,
        }
        self.go_to(place.volume, &place.components)?;
        let volume = &mut self.volumes[place.volume];
        let Some(name) = name else {
            if item.content != Content::Directory {
                return Err(Failure::Refused("a volume is a directory"));
            }
            *volume.content() = Some(item.meta.clone());
            return Ok(());
        };
        let name = c_string(name)?;
        let parent = volume.directory();
        match &item.content {
            Content::Directory => {
                let (directory, stat) = make_directory(parent, &name, UNFINISHED)?;
                volume.enter(name, directory, &stat, Some(item.meta.clone()));
            }
            Content::File { size, parts } => {
                let file = make(
                    parent,
                    &name,
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL,
                )?;
                fill(&file, &mut item.data, *size, parts, &mut self.buffer)?;
                self.finish_file(&file, &item.meta, &item.name)?;
            }
            Content::Fifo => {
                mknodat(parent, &name, FileType::Fifo, UNFINISHED, 0).map_err(made_once)?;
                // A reader of a fifo does not wait for a writer if it says so.
                let fifo = make(parent, &name, OFlags::RDONLY | OFlags::NONBLOCK)?;
                self.finish_file(&fifo, &item.meta, &item.name)?;
            }
            Content::Symlink(target) => {
                symlinkat(&c_string(target)?, parent, &name).map_err(made_once)?;
                finish_link(parent, &name, &item.meta)?;
            }
            Content::HardLink(target) => {
                let target = Place::parse(target).map_err(|_| Failure::Refused(OUTSIDE))?;
                if target.volume != place.volume {
                    return Err(Failure::Refused(OUTSIDE));
                }
                link(volume, &target.components, parent, &name)?;
            }
        }
        Ok(())
    }

    /// Goes to a directory of a volume. Those that are left are completed; those that no entry told of
    /// are made.
    fn go_to(&mut self, volume: usize, components: &[&[u8]]) -> Result<(), Failure> {
        let descent = &mut self.volumes[volume];
        let common = (0..descent.depth().min(components.len()))
            .take_while(|&index| {
                let name = descent.name(index + 1).map(CStr::to_bytes);
                name == Some(components[index])
            })
            .count();
        while descent.depth() > common {
            leave(descent)?;
        }
        for name in &components[common..] {
            let name = c_string(name)?;
            let (directory, stat) = make_directory(descent.directory(), &name, UNTOLD)?;
            descent.enter(name, directory, &stat, None);
        }
        Ok(())
    }

    fn finish_file(&mut self, file: &OwnedFd, meta: &Meta, name: &[u8]) -> Result<(), Failure> {
        set_attributes(file.as_fd(), meta)?;
        // A change of the owner takes setuid and setgid away, so the mode comes after it.
        set_owner(file.as_fd(), meta)?;
        fchmod(file, Mode::from_raw_mode(meta.mode))?;
        futimens(file, &meta.modified.timestamps())?;
        if meta.mode & SETGID != 0 && fstat(file)?.st_mode & SETGID == 0 {
            let name = shown(name);
            self.complaints.say(&format!(
                "{name} is no longer setgid: that takes CAP_FSETID"
            ));
        }
        Ok(())
    }

    /// Completes the directories that nothing more comes into, and writes everything to the disk.
    fn finish(self) -> Result<(), UnpackError> {
        for (mut descent, name) in self.volumes.into_iter().zip(ROOT_NAMES) {
            let cannot = |source| UnpackError::Restore {
                name: name.to_owned(),
                source,
            };
            while descent.depth() > 0 {
                leave(&mut descent).map_err(cannot)?;
            }
            let (root, meta) = descent.into_root();
            // Emptying has changed its mode, and every archive tells of both.
            let meta = meta.ok_or(UnpackError::NotWhole)?;
            finish_directory(root.as_fd(), &meta).map_err(cannot)?;
            syncfs(&root).map_err(UnpackError::Sync)?;
        }
        Ok(())
    }
}

/// What is wrong with a link to what is not in its volume.
const OUTSIDE: &str = "it links to something outside of its volume";

/// What is wrong with an entry that is below something else than a directory.
const THROUGH: &str = "its name leads through something that is no directory";

fn c_string(text: &[u8]) -> Result<CString, Failure> {
    CString::new(text).map_err(|_| Failure::Refused("it has a zero in its name or its target"))
}

fn made_once(error: Errno) -> Failure {
    match error {
        Errno::EXIST => Failure::Refused("there is another of that name"),
        error => Failure::System(error),
    }
}

/// Opens an entry that is made by opening it, or was made just now.
fn make(parent: BorrowedFd<'_>, name: &CStr, how: OFlags) -> Result<OwnedFd, Failure> {
    let flags = how | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, UNFINISHED).map_err(made_once)
}

/// Makes a directory and opens it; one that is there already will do, a link to one will not.
fn make_directory(
    parent: BorrowedFd<'_>,
    name: &CStr,
    mode: Mode,
) -> Result<(OwnedFd, Stat), Failure> {
    match mkdirat(parent, name, mode) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    open_directory(parent, name).map_err(no_directory)
}

fn no_directory(error: Errno) -> Failure {
    if is_no_directory(error) {
        Failure::Refused(THROUGH)
    } else {
        Failure::System(error)
    }
}

/// Gives a file of a volume a further name. Both its names are looked up without any link.
fn link(
    volume: &Descent<Option<Meta>>,
    target: &[&[u8]],
    parent: BorrowedFd<'_>,
    name: &CStr,
) -> Result<(), Failure> {
    let Some((file, directories)) = target.split_last() else {
        return Err(Failure::Refused("it links to a volume itself"));
    };
    let mut reached: Option<OwnedFd> = None;
    for directory in directories {
        let from = reached.as_ref().map_or(volume.root(), |fd| fd.as_fd());
        let (next, _) = open_directory(from, *directory).map_err(no_directory)?;
        reached = Some(next);
    }
    let from = reached.as_ref().map_or(volume.root(), |fd| fd.as_fd());
    let stat = statat(from, *file, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Failure::Refused("it links to a directory"));
    }
    linkat(from, *file, parent, name, AtFlags::empty()).map_err(made_once)
}

/// Writes what is in a file, and nothing where it has holes.
fn fill<R: Read>(
    file: &OwnedFd,
    data: &mut Entry<'_, R>,
    size: u64,
    parts: &[Part],
    buffer: &mut [u8],
) -> Result<(), Failure> {
    for part in parts {
        let end = part.offset + part.length;
        let mut position = part.offset;
        while position < end {
            let left = usize::try_from(end - position).unwrap_or(usize::MAX);
            let wanted = left.min(buffer.len());
            let read = data.read(&mut buffer[..wanted]).map_err(Failure::Read)?;
            if read == 0 {
                let error = std::io::ErrorKind::UnexpectedEof;
                return Err(Failure::Read(error.into()));
            }
            let mut written = 0;
            while written < read {
                let at = position + written as u64;
                match pwrite(file, &buffer[written..read], at) {
                    Ok(0) => return Err(Errno::IO.into()),
                    Ok(more) => written += more,
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            position += read as u64;
        }
    }
    let filled = parts.last().map_or(0, |last| last.offset + last.length);
    let ends_with_hole = parts.last().is_none_or(|last| last.length == 0);
    if size > 0 && (filled < size || ends_with_hole) {
        ftruncate(file, size)?;
    }
    Ok(())
}

fn finish_link(parent: BorrowedFd<'_>, name: &CStr, meta: &Meta) -> rustix::io::Result<()> {
    let (user, group) = owner(meta);
    chownat(parent, name, user, group, AtFlags::SYMLINK_NOFOLLOW)?;
    let times = meta.modified.timestamps();
    utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}

/// Leaves a directory and completes it.
fn leave(descent: &mut Descent<Option<Meta>>) -> rustix::io::Result<()> {
    match descent.leave() {
        // Somebody else works here, who should not.
        Some(Left { lost: 1.., .. }) => Err(Errno::STALE),
        Some(Left {
            directory,
            content: Some(meta),
            ..
        }) => finish_directory(directory.as_fd(), &meta),
        _ => Ok(()),
    }
}

fn finish_directory(directory: BorrowedFd<'_>, meta: &Meta) -> rustix::io::Result<()> {
    set_attributes(directory, meta)?;
    if meta.mode & SETGID != 0 {
        // Only in a group of one's own it can be had, and a directory keeps it when it gets another.
        let group = rustix::process::getegid();
        fchown(directory, None, Some(group))?;
    }
    fchmod(directory, Mode::from_raw_mode(meta.mode))?;
    set_owner(directory, meta)?;
    futimens(directory, &meta.modified.timestamps())
}

fn set_attributes(file: BorrowedFd<'_>, meta: &Meta) -> rustix::io::Result<()> {
    for (name, value) in &meta.attributes {
        fsetxattr(file, name.as_str(), value, XattrFlags::empty())?;
    }
    Ok(())
}

fn set_owner(file: BorrowedFd<'_>, meta: &Meta) -> rustix::io::Result<()> {
    let (user, group) = owner(meta);
    fchown(file, user, group)
}

fn owner(meta: &Meta) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)))
}
