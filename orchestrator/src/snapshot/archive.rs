//! The archive of a snapshot: a tar archive, compressed with Zstandard, and its SHA-256.
//!
//! Compressing and hashing hold a thread, so both work between a channel and a file on threads of
//! their own.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

/// Level of compression: what Zstandard itself takes unless asked otherwise. Higher ones take several
/// times as long for source code, and make it a few hundredths smaller.
const LEVEL: i32 = 3;

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

/// Bytes between two looks at the free space.
const LOOK_AFTER: u64 = 64 << 20;

/// What is known of an archive that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// Its length.
    pub(crate) bytes: u64,
    /// The SHA-256 of its bytes, in hexadecimal digits.
    pub(crate) sha256: String,
}

/// An archive could not be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// The disk is nearly full.
    #[error("less than {} MiB are left on the disk of {directory}", reserve >> 20)]
    DiskFull {
        /// The directory of snapshots.
        directory: String,
        /// What is to stay free, in bytes.
        reserve: u64,
    },
    /// It is not what was written.
    #[error("the archive is damaged: its SHA-256 is {found}, and was {expected}")]
    Damaged {
        /// What it was when it was written.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The system refused.
    #[error("cannot write or read {path}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn io(path: &Path) -> impl Fn(io::Error) -> ArchiveError {
    let path = path.display().to_string();
    move |source| ArchiveError::Io {
        path: path.clone(),
        source,
    }
}

/// Refuses to go on where less than `reserve` bytes are left on the disk of `directory`.
///
/// # Errors
/// [`ArchiveError`]: the disk is nearly full, or cannot be asked.
pub(crate) fn leave_free(directory: &Path, reserve: u64) -> Result<(), ArchiveError> {
    let disk = rustix::fs::statvfs(directory).map_err(|error| io(directory)(error.into()))?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < reserve {
        return Err(ArchiveError::DiskFull {
            directory: directory.display().to_string(),
            reserve,
        });
    }
    Ok(())
}

/// Compresses what comes into the new file `path`, until there is no more. `so_far` counts what was
/// written. The file is on the disk afterwards.
///
/// # Errors
/// [`ArchiveError`]; part of the file may be there.
pub(crate) fn write(
    path: &Path,
    mut from: mpsc::Receiver<Bytes>,
    so_far: &Arc<AtomicU64>,
    reserve: u64,
) -> Result<Written, ArchiveError> {
    let failed = io(path);
    let directory = path.parent().unwrap_or(path);
    leave_free(directory, reserve)?;
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(&failed)?;
    let counted = Counted {
        inner: file,
        hash: Sha256::new(),
        bytes: Arc::clone(so_far),
    };
    let mut encoder = zstd::Encoder::new(counted, LEVEL).map_err(&failed)?;
    encoder.include_checksum(true).map_err(&failed)?;
    let mut looked_at = 0;
    while let Some(bytes) = from.blocking_recv() {
        encoder.write_all(&bytes).map_err(&failed)?;
        let written = so_far.load(Ordering::Relaxed);
        if written.saturating_sub(looked_at) >= LOOK_AFTER {
            looked_at = written;
            leave_free(directory, reserve)?;
        }
    }
    let counted = encoder.finish().map_err(&failed)?;
    counted.inner.sync_all().map_err(&failed)?;
    Ok(Written {
        bytes: so_far.load(Ordering::Relaxed),
        sha256: hexadecimal(&counted.hash.finalize()),
    })
}

/// Sees that an archive is what was written.
///
/// # Errors
/// [`ArchiveError`]: it is not, or cannot be read.
pub(crate) fn check(path: &Path, expected: &str) -> Result<(), ArchiveError> {
    let failed = io(path);
    let mut file = File::open(path).map_err(&failed)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut buffer).map_err(&failed)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    let found = hexadecimal(&hash.finalize());
    if found == expected {
        Ok(())
    } else {
        Err(ArchiveError::Damaged {
            expected: expected.to_owned(),
            found,
        })
    }
}

/// Sends what an archive unpacks to, until its end or until nobody takes it any more.
///
/// # Errors
/// [`ArchiveError`] when it cannot be read; the receiver then has a part of it.
pub(crate) fn read(path: &Path, to: &mpsc::Sender<Bytes>) -> Result<(), ArchiveError> {
    let failed = io(path);
    let file = File::open(path).map_err(&failed)?;
    let mut decoder = zstd::Decoder::new(file).map_err(&failed)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = decoder.read(&mut buffer).map_err(&failed)?;
        if count == 0
            || to
                .blocking_send(Bytes::copy_from_slice(&buffer[..count]))
                .is_err()
        {
            return Ok(());
        }
    }
}

fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Counts and hashes what is written.
struct Counted {
    inner: File,
    hash: Sha256,
    bytes: Arc<AtomicU64>,
}

impl Write for Counted {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.hash.update(&buffer[..count]);
        let bytes = u64::try_from(count).unwrap_or(u64::MAX);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes `chunks` of a megabyte to an archive.
    fn written(path: &Path, chunks: u8, reserve: u64) -> Result<Written, ArchiveError> {
        let (sender, receiver) = mpsc::channel(1);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for number in 0..chunks {
                    // Nobody takes it once the archive has failed.
                    if sender
                        .blocking_send(Bytes::from(vec![number; 1 << 20]))
                        .is_err()
                    {
                        break;
                    }
                }
            });
            write(path, receiver, &Arc::default(), reserve)
        })
    }

    #[test]
    fn what_is_written_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let made = written(&path, 5, 0).unwrap();
        assert_eq!(made.bytes, std::fs::metadata(&path).unwrap().len());
        check(&path, &made.sha256).unwrap();
        let (sender, mut receiver) = mpsc::channel(1);
        let mut found = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(move || read(&path, &sender).unwrap());
            while let Some(bytes) = receiver.blocking_recv() {
                found.extend_from_slice(&bytes);
            }
        });
        let expected: Vec<u8> = (0..5).flat_map(|number| vec![number; 1 << 20]).collect();
        assert!(found == expected);
    }

    #[test]
    fn a_bit_that_turned_is_found_before_anything_is_unpacked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let made = written(&path, 2, 0).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for position in [0, whole.len() / 2, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[position] ^= 1;
            std::fs::write(&path, damaged).unwrap();
            let error = check(&path, &made.sha256).unwrap_err();
            assert!(matches!(error, ArchiveError::Damaged { .. }), "{error}");
        }
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(check(&path, &made.sha256).is_err());
    }

    #[test]
    fn a_disk_that_is_nearly_full_is_not_filled() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let error = written(&path, 1, u64::MAX).unwrap_err();
        assert!(matches!(error, ArchiveError::DiskFull { .. }), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn what_is_there_is_not_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        std::fs::write(&path, "kept").unwrap();
        assert!(written(&path, 1, 0).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"kept");
    }
}
