//! A day of figures in a file that does not grow: 1,440 records of one size, a place for each minute of
//! a day, which the same minute of the next day writes over.
//!
//! Each record has a checksum, so that one that was torn, such as by a full disk or a host that lost its
//! power, is left out. A file that is not ours, or of another version, is replaced.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use kalpana_domain::Timestamp;
use kalpana_domain::id::WorkspaceId;
use kalpana_protocol::figures::{HISTORY, Limits, RESOLUTION, Sample};
use rustix::fs::OFlags;

/// What a file begins with: its kind, and its version.
const MAGIC: &[u8; 8] = b"KALFIG\x00\x01";
/// Bytes before the first record: the magic, the workspace's id, and nothing.
const HEADER: usize = 32;
/// Numbers in a record.
const FIELDS: usize = 12;
/// Bytes of a record: its numbers, and their checksum.
const RECORD: usize = (FIELDS + 1) * 8;
/// Bytes of a file.
const LENGTH: usize = HEADER + HISTORY * RECORD;
/// Stands for a number that is absent.
const ABSENT: u64 = u64::MAX;

/// What is kept of a minute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// The minute, in seconds since 1970.
    pub(crate) minute: u64,
    /// What could be used in it.
    pub(crate) limits: Limits,
    /// What was used.
    pub(crate) sample: Sample,
}

/// Returns the minute that a moment is in, in seconds since 1970.
pub(crate) fn minute_of(at: Timestamp) -> u64 {
    let seconds = u64::try_from(at.as_second()).unwrap_or(0);
    seconds - seconds % u64::from(RESOLUTION)
}

/// Writes a record into the file of a workspace, which is made if it is not there or not what it should
/// be.
///
/// # Errors
/// The system's.
pub(crate) fn append(path: &Path, workspace: WorkspaceId, record: &Record) -> io::Result<()> {
    let file = match open(path, workspace)? {
        Some(file) => file,
        None => make(path, workspace)?,
    };
    let place = HEADER + place_of(record.minute) * RECORD;
    file.write_all_at(&encode(record), place as u64)
}

/// Reads the records of the day that ends at `now`, oldest first. Of a file that is not there, or not
/// what it should be, there are none.
///
/// # Errors
/// The system's.
pub(crate) fn read(path: &Path, workspace: WorkspaceId, now: Timestamp) -> io::Result<Vec<Record>> {
    let Some(mut file) = open(path, workspace)? else {
        return Ok(Vec::new());
    };
    let mut bytes = Vec::with_capacity(LENGTH - HEADER);
    io::Seek::seek(&mut file, io::SeekFrom::Start(HEADER as u64))?;
    file.take((LENGTH - HEADER) as u64)
        .read_to_end(&mut bytes)?;
    let latest = minute_of(now);
    let oldest = latest.saturating_sub(HISTORY as u64 * u64::from(RESOLUTION));
    let mut found: Vec<Record> = bytes
        .chunks_exact(RECORD)
        .enumerate()
        .filter_map(|(place, bytes)| {
            let record = decode(bytes)?;
            let is_of_today = record.minute > oldest && record.minute <= latest;
            (place == place_of(record.minute) && is_of_today).then_some(record)
        })
        .collect();
    found.sort_by_key(|record| record.minute);
    Ok(found)
}

fn place_of(minute: u64) -> usize {
    // Below 1,440, so it fits.
    (minute / u64::from(RESOLUTION) % HISTORY as u64) as usize
}

/// Opens a file if it is what it should be.
fn open(path: &Path, workspace: WorkspaceId) -> io::Result<Option<File>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) => {
            let is_foreign = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
            return match error.kind() {
                io::ErrorKind::NotFound => Ok(None),
                _ if is_foreign => Ok(None),
                _ => Err(error),
            };
        }
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() != LENGTH as u64 {
        return Ok(None);
    }
    let mut found = [0; HEADER];
    file.read_exact(&mut found)?;
    Ok((found == header(workspace)).then_some(file))
}

/// How the name of a file ends that is being made.
pub(crate) const PART_EXTENSION: &str = "part";

/// Returns where a file is made before it is put in its place.
pub(crate) fn part_of(path: &Path) -> PathBuf {
    path.with_extension(PART_EXTENSION)
}

/// Makes a file without records, in the place of whatever is there.
fn make(path: &Path, workspace: WorkspaceId) -> io::Result<File> {
    let part = part_of(path);
    match std::fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)?;
    file.write_all(&header(workspace))?;
    file.set_len(LENGTH as u64)?;
    std::fs::rename(&part, path)?;
    Ok(file)
}

fn header(workspace: WorkspaceId) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let begin = MAGIC.iter().chain(workspace.as_str().as_bytes());
    for (place, byte) in header.iter_mut().zip(begin) {
        *place = *byte;
    }
    header
}

fn encode(record: &Record) -> [u8; RECORD] {
    let Record {
        minute,
        limits,
        sample,
    } = record;
    let millis = |cores: Option<f64>| cores.map(|cores| (cores * 1000.0).round() as u64);
    let fields = [
        Some(*minute),
        millis(limits.cpu_cores),
        limits.memory_bytes,
        limits.processes,
        millis(sample.cpu_cores),
        Some(sample.memory_bytes),
        sample.processes,
        sample.received_per_second,
        sample.sent_per_second,
        sample.read_per_second,
        sample.written_per_second,
        Some(sample.oom_kills),
    ];
    let mut bytes = [0; RECORD];
    let (numbers, sum) = bytes.split_at_mut(FIELDS * 8);
    for (place, field) in numbers.chunks_exact_mut(8).zip(fields) {
        place.copy_from_slice(&field.unwrap_or(ABSENT).to_le_bytes());
    }
    sum.copy_from_slice(&checksum(numbers).to_le_bytes());
    bytes
}

/// Reads a record. `None` where there is none, or one that was torn.
fn decode(bytes: &[u8]) -> Option<Record> {
    let (numbers, sum) = bytes.split_at_checked(FIELDS * 8)?;
    if checksum(numbers).to_le_bytes() != *sum {
        return None;
    }
    let mut fields = [ABSENT; FIELDS];
    for (field, bytes) in fields.iter_mut().zip(numbers.chunks_exact(8)) {
        *field = u64::from_le_bytes(bytes.try_into().ok()?);
    }
    let field = |index: usize| Some(fields[index]).filter(|field| *field != ABSENT);
    let cores = |index: usize| field(index).map(|millis| millis as f64 / 1000.0);
    let minute = field(0)?;
    let at = Timestamp::from_second(i64::try_from(minute).ok()?).ok()?;
    Some(Record {
        minute,
        limits: Limits {
            cpu_cores: cores(1),
            memory_bytes: field(2),
            processes: field(3),
        },
        sample: Sample {
            at: at.to_string(),
            cpu_cores: cores(4),
            memory_bytes: field(5)?,
            processes: field(6),
            received_per_second: field(7),
            sent_per_second: field(8),
            read_per_second: field(9),
            written_per_second: field(10),
            oom_kills: field(11)?,
        },
    })
}

/// Returns the FNV-1a hash of some bytes. It finds what was torn, not what somebody forged: whoever may
/// write to the file may write what they like.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A minute in the middle of a day.
    const MINUTE: u64 = 1_800_000_000;

    fn workspace() -> WorkspaceId {
        WorkspaceId::parse("abcdefghij01").unwrap()
    }

    fn at(minute: u64) -> Timestamp {
        Timestamp::from_second(i64::try_from(minute).unwrap()).unwrap()
    }

    pub(crate) fn record(minute: u64, memory_bytes: u64) -> Record {
        Record {
            minute,
            limits: Limits {
                cpu_cores: Some(1.5),
                memory_bytes: None,
                processes: Some(1024),
            },
            sample: Sample {
                at: at(minute).to_string(),
                cpu_cores: Some(0.123),
                memory_bytes,
                processes: Some(7),
                received_per_second: Some(1),
                sent_per_second: None,
                read_per_second: Some(3),
                written_per_second: Some(4),
                oom_kills: 5,
            },
        }
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("abcdefghij01.ring");
        (directory, path)
    }

    #[test]
    fn what_was_written_is_read_oldest_first() {
        let (_directory, path) = place();
        assert_eq!(read(&path, workspace(), at(MINUTE)).unwrap(), []);
        let records = [60, 120, 180].map(|after| record(MINUTE + after, after));
        for index in [2, 0, 1] {
            append(&path, workspace(), &records[index]).unwrap();
        }
        let found = read(&path, workspace(), at(MINUTE + 200)).unwrap();
        assert_eq!(found, records);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), LENGTH as u64);
    }

    #[test]
    fn the_next_day_writes_over_the_last_and_the_file_does_not_grow() {
        let (_directory, path) = place();
        let minutes = 3 * HISTORY as u64 + 5;
        for count in 0..minutes {
            append(&path, workspace(), &record(MINUTE + count * 60, count)).unwrap();
        }
        let now = at(MINUTE + (minutes - 1) * 60 + 59);
        let found = read(&path, workspace(), now).unwrap();
        assert_eq!(found.len(), HISTORY);
        assert_eq!(found[0].sample.memory_bytes, minutes - HISTORY as u64);
        assert_eq!(found[HISTORY - 1].sample.memory_bytes, minutes - 1);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), LENGTH as u64);
        let a_day_later = at(MINUTE + (minutes - 1 + HISTORY as u64) * 60);
        assert_eq!(read(&path, workspace(), a_day_later).unwrap(), []);
    }

    #[test]
    fn a_torn_record_is_left_out_and_the_rest_is_read() {
        let (_directory, path) = place();
        for after in [0, 60, 120] {
            append(&path, workspace(), &record(MINUTE + after, after)).unwrap();
        }
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let torn = HEADER + place_of(MINUTE + 60) * RECORD + 40;
        file.write_all_at(&[0; 30], torn as u64).unwrap();
        let found = read(&path, workspace(), at(MINUTE + 120)).unwrap();
        let expected = [record(MINUTE, 0), record(MINUTE + 120, 120)];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_foreign_file_is_replaced() {
        let (directory, path) = place();
        let foreign = directory.path().join("foreign");
        std::fs::write(&foreign, "keep me").unwrap();
        let other = WorkspaceId::parse("zzzzzzzzzz01").unwrap();
        let makings: [&dyn Fn(); 5] = [
            &|| std::fs::write(&path, "short").unwrap(),
            &|| std::fs::write(&path, vec![7; LENGTH]).unwrap(),
            &|| std::fs::write(&path, vec![0; LENGTH + 1]).unwrap(),
            &|| std::os::unix::fs::symlink(&foreign, &path).unwrap(),
            &|| append(&path, other, &record(MINUTE, 1)).unwrap(),
        ];
        for making in makings {
            let _ = std::fs::remove_file(&path);
            making();
            assert_eq!(read(&path, workspace(), at(MINUTE)).unwrap(), []);
            append(&path, workspace(), &record(MINUTE, 2)).unwrap();
            let found = read(&path, workspace(), at(MINUTE)).unwrap();
            assert_eq!(found, [record(MINUTE, 2)]);
        }
        assert_eq!(std::fs::read_to_string(&foreign).unwrap(), "keep me");
    }

    #[test]
    fn what_is_of_the_future_is_not_shown() {
        let (_directory, path) = place();
        append(&path, workspace(), &record(MINUTE + 600, 1)).unwrap();
        assert_eq!(read(&path, workspace(), at(MINUTE)).unwrap(), []);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), RECORD)) {
            prop_assert_eq!(decode(&bytes), None);
        }

        #[test]
        fn any_numbers_are_read_without_a_panic_and_written_as_they_were(
            numbers in proptest::collection::vec(prop_oneof![any::<u64>(), 0..4u64, Just(ABSENT)], FIELDS)
        ) {
            let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            bytes.extend(checksum(&bytes).to_le_bytes());
            if let Some(record) = decode(&bytes) {
                prop_assert_eq!(record.minute, numbers[0]);
                prop_assert_eq!(record.sample.memory_bytes, numbers[5]);
                prop_assert_eq!(decode(&encode(&record)).map(|again| again.sample.at), Some(record.sample.at));
            }
        }
    }
}
