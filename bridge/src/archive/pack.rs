//! Writes both volumes as an archive, while nobody keeps them from being changed.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io::Write;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use kalpana_protocol::bridge::archive::{ArchiveEnd, END_NAME};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::{Errno, pread};

use super::descent::{self, Descent, open_directory};
use super::entry::{Meta, Modified};
use super::sparse::{self, Part};
use super::write::{Kind, Writer};
use super::{Complaints, EXTENSION_LIMIT, NAME_LIMIT, ROOT_NAMES, Roots, shown};

/// How much of a file is read at once, in bytes.
const READ_SIZE: usize = 256 << 10;

/// What every extended attribute begins with that its owner may set.
const USER_ATTRIBUTE: &str = "user.";

/// Longest list of the names of one file's attributes, and longest value of one, in bytes. Source:
/// `XATTR_LIST_MAX` and `XATTR_SIZE_MAX`, linux/limits.h.
const ATTRIBUTE_LIMIT: usize = 64 << 10;

/// Why entries are not packed.
const ELSEWHERE: &str = "it is on another file system";
/// See [`ELSEWHERE`].
const CHANGED: &str = "it became something else";

/// Why there is no whole archive.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A volume is not there.
    #[error("cannot read {}", path.display())]
    Root {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Errno,
    },
    /// Whoever reads the archive does so no more.
    #[error("cannot write the archive")]
    Write(#[source] std::io::Error),
}

/// Writes both volumes to `output`, unbuffered, and returns what the archive says at its end.
///
/// What cannot be read is left out, counted and told to `complaints`. What is gone when its turn has
/// come is left out, and so are sockets and devices, which mean nothing elsewhere.
///
/// # Errors
/// [`PackError`]; the archive is not whole then, and has no end.
pub fn write(
    roots: &Roots,
    output: impl Write,
    complaints: &mut Complaints,
) -> Result<ArchiveEnd, PackError> {
    let mut packer = Packer {
        writer: Writer::new(output),
        end: ArchiveEnd::default(),
        complaints,
        path: Vec::new(),
        links: HashMap::new(),
        buffer: vec![0; READ_SIZE],
        attributes: vec![0; ATTRIBUTE_LIMIT],
    };
    for (name, path) in ROOT_NAMES.iter().zip(&roots.0) {
        packer.root(name, path)?;
    }
    packer.finish().map_err(PackError::Write)
}

struct Packer<'a, W: Write> {
    writer: Writer<W>,
    end: ArchiveEnd,
    complaints: &'a mut Complaints,
    /// The name of the entry in hand.
    path: Vec<u8>,
    /// The files of this volume that have names which did not come yet, by inode.
    links: HashMap<u64, Linked>,
    buffer: Vec<u8>,
    attributes: Vec<u8>,
}

/// Why an entry is not in the archive.
enum Trouble {
    /// There is no archive any more.
    Output(std::io::Error),
    /// The kernel says so.
    System(Errno),
    /// It is not to be packed.
    Unfit(&'static str),
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<Errno> for Trouble {
    fn from(error: Errno) -> Self {
        Self::System(error)
    }
}

struct Linked {
    first_name: Vec<u8>,
    names_left: u64,
}

/// What is kept with a directory on the way down.
struct Listing {
    names: std::vec::IntoIter<CString>,
    /// How long its own name is.
    path_length: usize,
}

impl<W: Write> Packer<'_, W> {
    fn root(&mut self, name: &str, path: &Path) -> Result<(), PackError> {
        let cannot = |source| PackError::Root {
            path: path.to_owned(),
            source,
        };
        let file = CString::new(path.as_os_str().as_bytes()).map_err(|_| cannot(Errno::INVAL))?;
        let (directory, stat) = open_directory(CWD, &file).map_err(cannot)?;
        let (names, failure) = descent::names(directory.as_fd());
        if let Some(error) = failure {
            return Err(cannot(error));
        }
        // The same inode in another volume is another file.
        self.links.clear();
        self.path.clear();
        self.path.extend_from_slice(name.as_bytes());
        self.directory_entry(&stat, Some(directory.as_fd()))
            .map_err(PackError::Write)?;
        let listing = self.listing(names);
        self.walk(Descent::new(directory, &stat, listing))
            .map_err(PackError::Write)
    }

    /// Writes what is below a root. An error is one of writing.
    fn walk(&mut self, mut descent: Descent<Listing>) -> std::io::Result<()> {
        loop {
            let listing = descent.content();
            let next = listing.names.next();
            self.path.truncate(listing.path_length);
            if let Some(name) = next {
                self.path.push(b'/');
                self.path.extend_from_slice(name.to_bytes());
                match self.take(&mut descent, name) {
                    Ok(()) => {}
                    Err(Trouble::Output(error)) => return Err(error),
                    Err(Trouble::System(error)) => self.cannot(error),
                    Err(Trouble::Unfit(why)) => self.skip(why),
                }
            } else if let Some(left) = descent.leave() {
                if left.lost > 0 {
                    self.end.skipped += left.lost;
                    let path = shown(&self.path);
                    self.complaints
                        .say(&format!("skipped the rest above {path}: it was moved"));
                }
            } else {
                return Ok(());
            }
        }
    }

    /// Writes one entry, and goes into it if it is a directory.
    fn take(&mut self, descent: &mut Descent<Listing>, name: CString) -> Result<(), Trouble> {
        let parent = descent.directory();
        let stat = statat(parent, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        if self.path.len() > NAME_LIMIT {
            return Err(Trouble::Unfit("its name is too long"));
        }
        if stat.st_dev != descent.device() {
            return Err(Trouble::Unfit(ELSEWHERE));
        }
        let file_type = FileType::from_raw_mode(stat.st_mode);
        if file_type == FileType::Directory {
            return self.directory(descent, name, &stat);
        }
        if let Some(first_name) = self.first_name(&stat) {
            self.end.files += 1;
            let kind = Kind::HardLink(&first_name);
            return Ok(self.writer.entry(&self.path, kind, &Meta::of(&stat))?);
        }
        match file_type {
            FileType::RegularFile => self.file(parent, &name, stat.st_dev)?,
            FileType::Symlink => {
                let target = readlinkat(parent, &name, Vec::new())?;
                self.small_entry(Kind::Symlink(target.to_bytes()), &stat)?;
            }
            FileType::Fifo => self.small_entry(Kind::Fifo, &stat)?,
            _ => {}
        }
        Ok(())
    }

    fn directory(
        &mut self,
        descent: &mut Descent<Listing>,
        name: CString,
        stat: &Stat,
    ) -> Result<(), Trouble> {
        let (directory, stat) = match open_directory(descent.directory(), &name) {
            // That it is there is known, if not what is in it.
            Err(error @ (Errno::ACCESS | Errno::PERM)) => {
                self.cannot(error);
                return Ok(self.directory_entry(stat, None)?);
            }
            opened => opened?,
        };
        if stat.st_dev != descent.device() {
            return Err(Trouble::Unfit(ELSEWHERE));
        }
        let (names, failure) = descent::names(directory.as_fd());
        if let Some(error) = failure {
            self.cannot(error);
        }
        self.directory_entry(&stat, Some(directory.as_fd()))?;
        let listing = self.listing(names);
        descent.enter(name, directory, &stat, listing);
        Ok(())
    }

    fn directory_entry(
        &mut self,
        stat: &Stat,
        directory: Option<BorrowedFd<'_>>,
    ) -> std::io::Result<()> {
        let mut meta = Meta::of(stat);
        if let Some(directory) = directory {
            meta.attributes = self.attributes(directory);
        }
        self.end.directories += 1;
        let length = self.path.len();
        self.path.push(b'/');
        let written = self.writer.entry(&self.path, Kind::Directory, &meta);
        self.path.truncate(length);
        written
    }

    fn small_entry(&mut self, kind: Kind<'_>, stat: &Stat) -> std::io::Result<()> {
        self.end.files += 1;
        self.remember(stat);
        self.writer.entry(&self.path, kind, &Meta::of(stat))
    }

    fn file(&mut self, parent: BorrowedFd<'_>, name: &CStr, device: u64) -> Result<(), Trouble> {
        let (file, stat) = open_file(parent, name)?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !is_file || stat.st_dev != device {
            return Err(Trouble::Unfit(CHANGED));
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let mut meta = Meta::of(&stat);
        meta.attributes = self.attributes(file.as_fd());
        self.end.files += 1;
        self.end.bytes = self.end.bytes.saturating_add(size);
        self.remember(&stat);
        let Some(parts) = sparse::parts(file.as_fd(), &stat) else {
            self.writer.entry(&self.path, Kind::File { size }, &meta)?;
            let whole = Part {
                offset: 0,
                length: size,
            };
            self.part(file.as_fd(), whole)?;
            return Ok(self.writer.pad(size)?);
        };
        let map = sparse::map(&parts);
        let data: u64 = parts.iter().map(|part| part.length).sum();
        let archived = map.len() as u64 + data;
        let kind = Kind::Sparse { size, archived };
        self.writer.entry(&self.path, kind, &meta)?;
        self.writer.data(&map)?;
        for part in parts {
            self.part(file.as_fd(), part)?;
        }
        Ok(self.writer.pad(archived)?)
    }

    /// Writes as many bytes as were announced, whatever has become of the file.
    fn part(&mut self, file: BorrowedFd<'_>, part: Part) -> std::io::Result<()> {
        let mut position = part.offset;
        let mut left = part.length;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(READ_SIZE).min(READ_SIZE);
            match pread(file, &mut self.buffer[..wanted], position) {
                Ok(0) => break,
                Ok(read) => {
                    self.writer.data(&self.buffer[..read])?;
                    position += read as u64;
                    left -= read as u64;
                }
                Err(Errno::INTR) => {}
                Err(error) => {
                    self.cannot(error);
                    break;
                }
            }
        }
        if left > 0 {
            self.buffer.fill(0);
        }
        while left > 0 {
            let zeros = usize::try_from(left).unwrap_or(READ_SIZE).min(READ_SIZE);
            self.writer.data(&self.buffer[..zeros])?;
            left -= zeros as u64;
        }
        Ok(())
    }

    /// Returns the name under which a file is in the archive already.
    fn first_name(&mut self, stat: &Stat) -> Option<Vec<u8>> {
        let linked = self.links.get_mut(&stat.st_ino)?;
        linked.names_left = linked.names_left.saturating_sub(1);
        if linked.names_left > 0 {
            return Some(linked.first_name.clone());
        }
        // Most of the memory of a large tree of links goes back this way.
        let linked = self.links.remove(&stat.st_ino)?;
        Some(linked.first_name)
    }

    /// Remembers the name in hand if the file has others.
    fn remember(&mut self, stat: &Stat) {
        if stat.st_nlink > 1 {
            let linked = Linked {
                first_name: self.path.clone(),
                names_left: stat.st_nlink - 1,
            };
            self.links.insert(stat.st_ino, linked);
        }
    }

    fn listing(&self, names: Vec<CString>) -> Listing {
        Listing {
            names: names.into_iter(),
            path_length: self.path.len(),
        }
    }

    /// Returns the attributes that the user may set. Where a file system has none there are none; what
    /// an archive has no way to say is left out and counted.
    fn attributes(&mut self, file: BorrowedFd<'_>) -> Vec<(String, Vec<u8>)> {
        let mut attributes = Vec::new();
        let Ok(length) = rustix::fs::flistxattr(file, &mut self.attributes[..]) else {
            return attributes;
        };
        if length == 0 {
            return attributes;
        }
        let names = self.attributes[..length].to_vec();
        let mut size = 0;
        for name in names.split(|&byte| byte == 0) {
            if !name.starts_with(USER_ATTRIBUTE.as_bytes()) {
                continue;
            }
            let value = rustix::fs::fgetxattr(file, name, &mut self.attributes[..]);
            let name = std::str::from_utf8(name).ok();
            match (name.filter(|name| !name.contains('=')), value) {
                (Some(name), Ok(length)) if size + length < EXTENSION_LIMIT as usize / 2 => {
                    size += name.len() + length;
                    attributes.push((name.to_owned(), self.attributes[..length].to_vec()));
                }
                // It was taken off meanwhile.
                (_, Err(Errno::NODATA)) => {}
                _ => self.skip("an attribute of it is too long or has a strange name"),
            }
        }
        attributes.sort();
        attributes
    }

    /// Leaves the entry in hand out because of an error; one that is gone is not missed.
    fn cannot(&mut self, error: Errno) {
        match error {
            Errno::NOENT => {}
            Errno::LOOP | Errno::NOTDIR => self.skip(CHANGED),
            error => self.skip(&std::io::Error::from(error).to_string()),
        }
    }

    fn skip(&mut self, why: &str) {
        self.end.skipped += 1;
        let path = shown(&self.path);
        self.complaints.say(&format!("skipped {path}: {why}"));
    }

    fn finish(mut self) -> std::io::Result<ArchiveEnd> {
        let text = serde_json::to_vec(&self.end).expect("it has numbers only");
        let size = text.len() as u64;
        let meta = Meta {
            mode: 0o600,
            uid: 0,
            gid: 0,
            modified: Modified::default(),
            attributes: Vec::new(),
        };
        let kind = Kind::File { size };
        self.writer.entry(END_NAME.as_bytes(), kind, &meta)?;
        self.writer.data(&text)?;
        self.writer.pad(size)?;
        self.writer.finish()?;
        Ok(self.end)
    }
}

/// Opens what was a regular file a moment ago. If it is a fifo by now nobody is waited for.
fn open_file(parent: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<(OwnedFd, Stat)> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(parent, name, flags, Mode::empty())?;
    let stat = fstat(&file)?;
    Ok((file, stat))
}
