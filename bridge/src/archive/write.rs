//! Writes entries as an archive has them: headers, and what does not fit into one ahead of it.

use std::io::{Result, Write};

use tar::{Builder, EntryType, Header};

use super::entry::Meta;
use super::pax;
use super::sparse::BLOCK;

/// The name of what is said ahead of an entry, as GNU tar has it.
const EXTENSION_NAME: &[u8] = b"././@LongLink";

/// What an entry is.
#[derive(Debug, Clone, Copy)]
pub enum Kind<'a> {
    /// A directory.
    Directory,
    /// A fifo.
    Fifo,
    /// A symbolic link to somewhere.
    Symlink(&'a [u8]),
    /// A further name of the entry of that name.
    HardLink(&'a [u8]),
    /// A regular file of that size in bytes, which follows.
    File {
        /// How much follows.
        size: u64,
    },
    /// A regular file with holes; its map and its data follow.
    Sparse {
        /// Its size with the holes.
        size: u64,
        /// How much follows.
        archived: u64,
    },
}

/// An archive that is being written.
pub struct Writer<W: Write> {
    builder: Builder<W>,
}

impl<W: Write> Writer<W> {
    /// Begins an archive.
    pub fn new(output: W) -> Self {
        Self {
            builder: Builder::new(output),
        }
    }

    /// Writes everything of an entry but what is in it, which has to follow by [`Self::data`] and
    /// [`Self::pad`].
    ///
    /// # Errors
    /// If the output takes no more.
    pub fn entry(&mut self, name: &[u8], kind: Kind<'_>, meta: &Meta) -> Result<()> {
        // GNU tar looks for a map like ours only behind a header of POSIX's.
        let mut header = match kind {
            Kind::Sparse { .. } => Header::new_ustar(),
            _ => Header::new_gnu(),
        };
        header.set_mode(meta.mode);
        header.set_uid(meta.uid.into());
        header.set_gid(meta.gid.into());
        // A time before 1970 has no place here, but one in a record.
        header.set_mtime(u64::try_from(meta.modified.seconds).unwrap_or(0));
        let (entry_type, target, size) = match kind {
            Kind::Directory => (EntryType::Directory, None, 0),
            Kind::Fifo => (EntryType::Fifo, None, 0),
            Kind::Symlink(target) => (EntryType::Symlink, Some(target), 0),
            Kind::HardLink(target) => (EntryType::Link, Some(target), 0),
            Kind::File { size } => (EntryType::Regular, None, size),
            Kind::Sparse { archived, .. } => (EntryType::Regular, None, archived),
        };
        header.set_entry_type(entry_type);
        header.set_size(size);
        let records = records(kind, meta);
        if !records.is_empty() {
            self.extension(EntryType::XHeader, &records)?;
        }
        if let Some(target) = target {
            self.name(&mut header, EntryType::GNULongLink, target)?;
        }
        self.name(&mut header, EntryType::GNULongName, name)?;
        header.set_cksum();
        self.builder.get_mut().write_all(header.as_bytes())
    }

    /// Writes a part of what is in an entry.
    ///
    /// # Errors
    /// If the output takes no more.
    pub fn data(&mut self, data: &[u8]) -> Result<()> {
        self.builder.get_mut().write_all(data)
    }

    /// Ends an entry with so many bytes in it.
    ///
    /// # Errors
    /// If the output takes no more.
    pub fn pad(&mut self, size: u64) -> Result<()> {
        let missing = size.next_multiple_of(BLOCK) - size;
        self.data(&[0; BLOCK as usize][..missing as usize])
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// If the output takes no more.
    pub fn finish(self) -> Result<W> {
        self.builder.into_inner()
    }

    /// Puts a name or a target into its field, and ahead of the header too if it is longer than that.
    fn name(&mut self, header: &mut Header, long: EntryType, name: &[u8]) -> Result<()> {
        let fields = header.as_old_mut();
        let is_name = long == EntryType::GNULongName;
        let field = if is_name {
            &mut fields.name
        } else {
            &mut fields.linkname
        };
        let fitting = name.len().min(field.len());
        field[..fitting].copy_from_slice(&name[..fitting]);
        if name.len() > field.len() {
            let terminated = [name, b"\0"].concat();
            self.extension(long, &terminated)?;
        }
        Ok(())
    }

    fn extension(&mut self, entry_type: EntryType, data: &[u8]) -> Result<()> {
        let mut header = Header::new_gnu();
        let fields = header.as_old_mut();
        fields.name[..EXTENSION_NAME.len()].copy_from_slice(EXTENSION_NAME);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_entry_type(entry_type);
        header.set_size(data.len() as u64);
        header.set_cksum();
        self.builder.append(&header, data)
    }
}

fn records(kind: Kind<'_>, meta: &Meta) -> Vec<u8> {
    let mut records = Vec::new();
    // The further names of a file are the file, which has said it all.
    if matches!(kind, Kind::HardLink(_)) {
        return records;
    }
    if meta.modified.nanoseconds != 0 || meta.modified.seconds < 0 {
        let text = pax::modified_text(meta.modified);
        pax::push_record(&mut records, pax::MODIFIED, text.as_bytes());
    }
    for (name, value) in &meta.attributes {
        let key = format!("{}{name}", pax::ATTRIBUTE);
        pax::push_record(&mut records, &key, value);
    }
    if let Kind::Sparse { size, .. } = kind {
        pax::push_record(&mut records, pax::SPARSE_MAJOR, b"1");
        pax::push_record(&mut records, pax::SPARSE_MINOR, b"0");
        let size = size.to_string();
        pax::push_record(&mut records, pax::SPARSE_SIZE, size.as_bytes());
    }
    records
}
