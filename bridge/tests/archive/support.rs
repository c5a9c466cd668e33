//! Two volumes in a directory that has something beside them.

use std::io::Read;
use std::path::{Path, PathBuf};

use kalpana_bridge::archive::pack::{self, PackError};
use kalpana_bridge::archive::unpack::{self, UnpackError};
use kalpana_bridge::archive::{Complaints, Roots};
use kalpana_protocol::bridge::ArchiveEnd;
use tar::{Builder, EntryType, Header};

pub(crate) struct Volumes {
    place: tempfile::TempDir,
}

impl Volumes {
    pub(crate) fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        for directory in ["workspace", "home", "outside"] {
            std::fs::create_dir(place.path().join(directory)).unwrap();
        }
        std::fs::write(place.path().join("outside/secret"), "secret").unwrap();
        Self { place }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots([self.path("workspace"), self.path("home")])
    }

    pub(crate) fn pack(&self) -> (Vec<u8>, ArchiveEnd) {
        let mut archive = Vec::new();
        let end = self.pack_to(&mut archive).unwrap();
        (archive, end)
    }

    pub(crate) fn pack_to(&self, output: impl std::io::Write) -> Result<ArchiveEnd, PackError> {
        pack::write(&self.roots(), output, &mut Complaints::default())
    }

    pub(crate) fn unpack(&self, archive: impl Read) -> Result<ArchiveEnd, UnpackError> {
        unpack::restore(&self.roots(), archive, &mut Complaints::default())
    }

    /// Checks that nothing beside the volumes was touched.
    pub(crate) fn assert_outside_is_untouched(&self) {
        assert_eq!(names(self.place.path()), ["home", "outside", "workspace"]);
        assert_eq!(names(&self.path("outside")), ["secret"]);
        let secret = std::fs::read(self.path("outside/secret")).unwrap();
        assert_eq!(secret, b"secret");
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// An archive that is made entry by entry, as nobody's `pack` would.
pub(crate) struct Forged {
    builder: Builder<Vec<u8>>,
    end: ArchiveEnd,
}

impl Default for Forged {
    fn default() -> Self {
        Self {
            builder: Builder::new(Vec::new()),
            end: ArchiveEnd::default(),
        }
    }
}

impl Forged {
    /// Begins with both roots, as every archive does.
    pub(crate) fn new() -> Self {
        let mut forged = Self::default();
        forged.add("workspace/", EntryType::Directory, "", b"");
        forged.add("home/", EntryType::Directory, "", b"");
        forged
    }

    pub(crate) fn with(mut self, name: &str, kind: EntryType, target: &str, data: &[u8]) -> Self {
        self.add(name, kind, target, data);
        self
    }

    fn add(&mut self, name: &str, kind: EntryType, target: &str, data: &[u8]) {
        match kind {
            EntryType::Directory => self.end.directories += 1,
            EntryType::XHeader => {}
            _ => self.end.files += 1,
        }
        if kind == EntryType::Regular {
            self.end.bytes += data.len() as u64;
        }
        let header = header(name, kind, target, data);
        self.builder.append(&header, data).unwrap();
    }

    pub(crate) fn end(self) -> Vec<u8> {
        let end = self.end;
        self.end_with(&serde_json::to_vec(&end).unwrap())
    }

    pub(crate) fn end_with(mut self, end: &[u8]) -> Vec<u8> {
        let header = header("kalpana-end", EntryType::Regular, "", end);
        self.builder.append(&header, end).unwrap();
        self.builder.into_inner().unwrap()
    }
}

/// A header with a name that the crate's own functions would not take.
fn header(name: &str, kind: EntryType, target: &str, data: &[u8]) -> Header {
    let mut header = Header::new_gnu();
    let fields = header.as_gnu_mut().unwrap();
    fields.name[..name.len()].copy_from_slice(name.as_bytes());
    fields.linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_mode(0o755);
    header.set_uid(rustix::process::geteuid().as_raw().into());
    header.set_gid(rustix::process::getegid().as_raw().into());
    header.set_mtime(1);
    header.set_entry_type(kind);
    header.set_size(data.len() as u64);
    header.set_cksum();
    header
}
