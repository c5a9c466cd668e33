//! Reads entries of an archive that nobody vouches for.
//!
//! Only what [`write`](super::write) writes is understood. Anything else is refused instead of guessed
//! at, and nothing takes more memory than its limit.

use std::cell::Cell;
use std::io::{Read, Result as IoResult};

use tar::{Entries, Entry, EntryType};

use super::entry::{MODE_BITS, Meta, Modified};
use super::sparse::{self, BLOCK, Part};
use super::{EXTENSION_LIMIT, pax};

/// Why an archive is not read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read, or is no archive.
    #[error("cannot read the archive")]
    Read(#[from] std::io::Error),
    /// It says something that `pack` never says.
    #[error("the archive is not one of ours: {0}")]
    Strange(&'static str),
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A directory.
    Directory,
    /// A fifo.
    Fifo,
    /// A symbolic link to somewhere.
    Symlink(Vec<u8>),
    /// A further name of the entry of that name.
    HardLink(Vec<u8>),
    /// A regular file.
    File {
        /// Its size in bytes, holes included.
        size: u64,
        /// The parts of it that can be read, one after the other.
        parts: Vec<Part>,
    },
}

/// An entry; what is in it is to be read from `data`.
pub struct Item<'a, R: Read> {
    /// Its name as it stands there, unchecked.
    pub name: Vec<u8>,
    /// What it is.
    pub content: Content,
    /// Its owner, mode, time and attributes.
    pub meta: Meta,
    /// Where the data of a regular file follows.
    pub data: Entry<'a, R>,
}

/// Remembers how far an input was read, and whether it ended.
pub struct Counted<'a, R> {
    /// The input.
    pub input: R,
    /// What is remembered.
    pub progress: &'a Progress,
}

/// See [`Counted`].
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes that were read.
    pub read: Cell<u64>,
    /// Whether there are no more.
    pub is_over: Cell<bool>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        let read = loop {
            match self.input.read(buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.progress
            .read
            .set(self.progress.read.get() + read as u64);
        if read == 0 && !buffer.is_empty() {
            self.progress.is_over.set(true);
        }
        Ok(read)
    }
}

/// Reads the next entry; `None` at the end.
///
/// # Errors
/// [`ReadError`].
pub fn next<'a, R: Read>(entries: &mut Entries<'a, R>) -> Result<Option<Item<'a, R>>, ReadError> {
    let mut ahead = Ahead::default();
    loop {
        let Some(entry) = entries.next() else {
            return if ahead == Ahead::default() {
                Ok(None)
            } else {
                Err(ReadError::Strange("its last entry has only a name"))
            };
        };
        let mut entry = entry?;
        let place = match entry.header().entry_type() {
            EntryType::GNULongName => &mut ahead.name,
            EntryType::GNULongLink => &mut ahead.target,
            EntryType::XHeader => &mut ahead.records,
            _ => return item(entry, ahead).map(Some),
        };
        if place.is_some() {
            return Err(ReadError::Strange("it says the same twice of one entry"));
        }
        *place = Some(extension(&mut entry)?);
    }
}

/// What is said ahead of an entry.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ahead {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    records: Option<Vec<u8>>,
}

fn extension<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, ReadError> {
    let size = entry.size();
    if size > EXTENSION_LIMIT {
        return Err(ReadError::Strange("it says too much of one entry"));
    }
    let mut data = Vec::new();
    entry.take(size).read_to_end(&mut data)?;
    if data.len() as u64 != size {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    Ok(data)
}

fn item<R: Read>(mut entry: Entry<'_, R>, ahead: Ahead) -> Result<Item<'_, R>, ReadError> {
    let header = entry.header();
    if header.as_gnu().is_none() && header.as_ustar().is_none() {
        return Err(ReadError::Strange("it is in another form"));
    }
    let mut meta = Meta {
        mode: header.mode()? & MODE_BITS,
        uid: owner(header.uid()?)?,
        gid: owner(header.gid()?)?,
        modified: Modified {
            seconds: i64::try_from(header.mtime()?)
                .map_err(|_| ReadError::Strange("a time is out of all bounds"))?,
            nanoseconds: 0,
        },
        attributes: Vec::new(),
    };
    let entry_type = header.entry_type();
    let name = ahead.name.map(unterminated);
    let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
    let target = ahead.target.map(unterminated);
    let target = target.or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
    let target = target.unwrap_or_default();
    let sparse_size = records(&mut meta, &ahead.records.unwrap_or_default())?;
    let archived = entry.size();
    let content = match entry_type {
        EntryType::Regular => file(&mut entry, archived, sparse_size)?,
        EntryType::Directory => Content::Directory,
        EntryType::Fifo => Content::Fifo,
        EntryType::Symlink => Content::Symlink(target),
        EntryType::Link => Content::HardLink(target),
        _ => {
            return Err(ReadError::Strange(
                "an entry is of a kind that is never packed",
            ));
        }
    };
    let is_file = matches!(content, Content::File { .. });
    if !is_file && (archived > 0 || sparse_size.is_some()) {
        return Err(ReadError::Strange(
            "something is in an entry that is no file",
        ));
    }
    Ok(Item {
        name,
        content,
        meta,
        data: entry,
    })
}

/// A number that the kernel has for a user or group. The largest means nobody to it.
fn owner(number: u64) -> Result<u32, ReadError> {
    let number = u32::try_from(number).ok().filter(|&id| id != u32::MAX);
    number.ok_or(ReadError::Strange("an owner is out of all bounds"))
}

fn unterminated(mut name: Vec<u8>) -> Vec<u8> {
    name.pop_if(|last| *last == 0);
    name
}

/// Reads the records into `meta`, and returns the size of a sparse file if it is one.
fn records(meta: &mut Meta, mut data: &[u8]) -> Result<Option<u64>, ReadError> {
    let strange = || ReadError::Strange("a record of an entry makes no sense");
    let mut version = [false; 2];
    let mut size = None;
    while !data.is_empty() {
        let (key, value) = pax::take_record(&mut data).ok_or_else(strange)?;
        let text = std::str::from_utf8(value);
        match key {
            pax::MODIFIED => {
                let modified = text.ok().and_then(pax::parse_modified);
                meta.modified = modified.ok_or_else(strange)?;
            }
            pax::SPARSE_MAJOR => version[0] = value == b"1",
            pax::SPARSE_MINOR => version[1] = value == b"0",
            pax::SPARSE_SIZE => {
                let number = text.ok().and_then(|text| text.parse().ok());
                size = Some(number.ok_or_else(strange)?);
            }
            _ => {
                // Only those that the user may set: the others grant something.
                let name = key.strip_prefix(pax::ATTRIBUTE);
                let name = name.filter(|name| name.starts_with("user.") && !name.contains('\0'));
                let name = name.ok_or_else(strange)?;
                meta.attributes.push((name.to_owned(), value.to_vec()));
            }
        }
    }
    match (version, size) {
        ([true, true], Some(size)) => Ok(Some(size)),
        ([false, false], None) => Ok(None),
        _ => Err(strange()),
    }
}

fn file<R: Read>(
    entry: &mut Entry<'_, R>,
    archived: u64,
    sparse_size: Option<u64>,
) -> Result<Content, ReadError> {
    let Some(size) = sparse_size else {
        let part = Part {
            offset: 0,
            length: archived,
        };
        return Ok(Content::File {
            size: archived,
            parts: vec![part],
        });
    };
    // No map is shorter than a block.
    let parts = match archived >= BLOCK {
        true => sparse::read_map(entry, size, archived)?,
        false => None,
    };
    let parts = parts.ok_or(ReadError::Strange("the map of a file with holes is wrong"))?;
    Ok(Content::File { size, parts })
}
