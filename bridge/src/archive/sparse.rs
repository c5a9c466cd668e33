//! Files with holes: which parts of one are data, and how an archive says so.
//!
//! An archive has a map ahead of the data, `count`, then `offset` and `length` of each part, a number
//! a line, in whole blocks. Source: GNU tar manual, "PAX Format, Version 1.0".

use std::io::Read;
use std::os::fd::BorrowedFd;

use rustix::fs::{SeekFrom, Stat, seek};
use rustix::io::Errno;

/// The unit of archives, in bytes.
pub const BLOCK: u64 = 512;

/// Most parts of one file. What comes after so many is one part, holes and all.
pub const PARTS_LIMIT: usize = 1 << 18;

/// A part of a file that is data, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// Returns the parts of a file that are data, or `None` if all of it is.
///
/// Every part but the last is whole blocks. A file that ends with a hole has an empty last part there,
/// as GNU tar wants it.
pub fn parts(file: BorrowedFd<'_>, stat: &Stat) -> Option<Vec<Part>> {
    let size = u64::try_from(stat.st_size).ok()?;
    let stored = u64::try_from(stat.st_blocks).ok()?.saturating_mul(512);
    if stored >= size {
        return None;
    }
    let mut parts: Vec<Part> = Vec::new();
    let mut position = 0;
    while position < size {
        let start = match seek(file, SeekFrom::Data(position)) {
            Ok(start) if parts.len() < PARTS_LIMIT => start,
            Ok(_) => position,
            // Nothing but a hole is left, or the file ends earlier by now.
            Err(Errno::NXIO) => break,
            // Not every file system knows.
            Err(_) => return None,
        };
        let end = match seek(file, SeekFrom::Hole(start)) {
            Ok(end) if parts.len() < PARTS_LIMIT => end,
            _ => size,
        };
        // A file system may think in smaller units than an archive. A file that is changed meanwhile
        // may answer anything; what does not lead on would never end.
        let start = (start / BLOCK * BLOCK).max(position);
        let end = end.max(start + 1).next_multiple_of(BLOCK).min(size);
        if start >= size {
            break;
        }
        match parts.last_mut() {
            Some(last) if last.offset + last.length == start => last.length = end - last.offset,
            _ => parts.push(Part {
                offset: start,
                length: end - start,
            }),
        }
        position = end;
    }
    let data_end = parts.last().map_or(0, |last| last.offset + last.length);
    if data_end < size {
        parts.push(Part {
            offset: size,
            length: 0,
        });
    }
    let is_whole = matches!(&parts[..], [only] if only.length == size);
    (!is_whole).then_some(parts)
}

/// Returns the map that is ahead of the data.
pub fn map(parts: &[Part]) -> Vec<u8> {
    let mut text = format!("{}\n", parts.len());
    for part in parts {
        text.push_str(&format!("{}\n{}\n", part.offset, part.length));
    }
    let mut map = text.into_bytes();
    map.resize(map.len().next_multiple_of(BLOCK as usize), 0);
    map
}

/// Reads a map, and checks it against the size of the file with its holes and the size of what is in
/// the archive: map and data. `None` if it makes no sense.
///
/// # Errors
/// If it cannot be read to its end.
pub fn read_map(
    input: &mut impl Read,
    size: u64,
    archived: u64,
) -> std::io::Result<Option<Vec<Part>>> {
    let mut numbers = Numbers {
        block: [0; BLOCK as usize],
        position: BLOCK as usize,
        taken: 0,
    };
    let Some(count) = numbers.next(input)? else {
        return Ok(None);
    };
    if count > PARTS_LIMIT as u64 + 2 {
        return Ok(None);
    }
    let mut parts = Vec::new();
    let mut position = 0;
    let mut data = 0_u64;
    for _ in 0..count {
        let (Some(offset), Some(length)) = (numbers.next(input)?, numbers.next(input)?) else {
            return Ok(None);
        };
        let end = offset.checked_add(length).filter(|&end| end <= size);
        let (Some(end), Some(sum)) = (end, data.checked_add(length)) else {
            return Ok(None);
        };
        if offset < position {
            return Ok(None);
        }
        (position, data) = (end, sum);
        parts.push(Part { offset, length });
    }
    let is_consistent = numbers.taken.checked_add(data) == Some(archived);
    Ok(is_consistent.then_some(parts))
}

struct Numbers {
    block: [u8; BLOCK as usize],
    position: usize,
    taken: u64,
}

impl Numbers {
    fn next(&mut self, input: &mut impl Read) -> std::io::Result<Option<u64>> {
        let mut number: Option<u64> = None;
        loop {
            let Some(&byte) = self.block.get(self.position) else {
                input.read_exact(&mut self.block)?;
                self.taken += BLOCK;
                self.position = 0;
                continue;
            };
            self.position += 1;
            match byte {
                b'\n' => return Ok(number),
                b'0'..=b'9' => {
                    let digit = u64::from(byte - b'0');
                    let longer = number.unwrap_or(0).checked_mul(10);
                    number = longer.and_then(|number| number.checked_add(digit));
                    if number.is_none() {
                        return Ok(None);
                    }
                }
                _ => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(offset: u64, length: u64) -> Part {
        Part { offset, length }
    }

    #[test]
    fn maps_that_make_no_sense_are_told_from_those_that_do() {
        let parts = vec![part(0, 512), part(4096, 100), part(5000, 0)];
        let map = map(&parts);
        assert_eq!(map.len(), 512);
        let read = |map: &[u8], size, archived| read_map(&mut &map[..], size, archived).unwrap();
        assert_eq!(read(&map, 5000, 512 + 612), Some(parts));
        assert_eq!(read(&map, 4999, 512 + 612), None);
        assert_eq!(read(&map, 5000, 512 + 613), None);
        for nonsense in [
            "x\n",
            "\n",
            "-1\n",
            "1\n5\nx\n",
            "2\n5\n5\n4\n1\n",
            "1\n18446744073709551615\n1\n",
            "99999999999999999999999\n",
            "999999999\n",
        ] {
            let mut block = nonsense.as_bytes().to_vec();
            block.resize(512, b'\n');
            assert_eq!(read(&block, u64::MAX, 512 + 6), None, "{nonsense:?}");
        }
        assert!(read_map(&mut &b"1\n"[..], 1, 1).is_err());
    }

    proptest! {
        #[test]
        fn nonsense_is_no_reason_to_panic(
            data in proptest::collection::vec(proptest::sample::select(&b"019\nx"[..]), 0..2048),
            size: u64,
            archived: u64,
        ) {
            let _ = read_map(&mut &data[..], size, archived);
        }
    }
}
