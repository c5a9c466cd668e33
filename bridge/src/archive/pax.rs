//! The records that say of an entry what a header has no field for. Source: POSIX pax, "Extended
//! Header"; `SCHILY.xattr` is star's, `GNU.sparse` is GNU tar's version 1.0.

use super::entry::Modified;

/// The key of the time to the nanosecond.
pub const MODIFIED: &str = "mtime";

/// What the name of an extended attribute follows.
pub const ATTRIBUTE: &str = "SCHILY.xattr.";

/// The keys of a sparse file: the version of its form, twice, and its size with the holes.
pub const SPARSE_MAJOR: &str = "GNU.sparse.major";
/// See [`SPARSE_MAJOR`].
pub const SPARSE_MINOR: &str = "GNU.sparse.minor";
/// See [`SPARSE_MAJOR`].
pub const SPARSE_SIZE: &str = "GNU.sparse.realsize";

/// Returns a moment as a record has it.
pub fn modified_text(modified: Modified) -> String {
    let Modified {
        seconds,
        nanoseconds,
    } = modified;
    if seconds >= 0 || nanoseconds == 0 {
        return format!("{seconds}.{nanoseconds:09}");
    }
    // The fraction goes away from zero there, and what we have goes up.
    let seconds = (seconds + 1).unsigned_abs();
    format!("-{seconds}.{:09}", 1_000_000_000 - nanoseconds)
}

/// Reads a moment; what is finer than a nanosecond is cut.
pub fn parse_modified(text: &str) -> Option<Modified> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let padded = format!("{fraction:0<9}");
    let nanoseconds: u32 = padded[..9].parse().ok()?;
    Some(match (is_negative, nanoseconds) {
        (false, _) => Modified {
            seconds,
            nanoseconds,
        },
        (true, 0) => Modified {
            seconds: -seconds,
            nanoseconds: 0,
        },
        (true, _) => Modified {
            seconds: -seconds - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

/// Adds a record, `length key=value` in a line of its own. A key holds no `=`.
pub fn push_record(data: &mut Vec<u8>, key: &str, value: &[u8]) {
    // The length counts its own digits.
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length < rest + length.to_string().len() {
        length += 1;
    }
    data.extend_from_slice(format!("{length} {key}=").as_bytes());
    data.extend_from_slice(value);
    data.push(b'\n');
}

/// Takes the first record off: its key and its value, which may hold any byte. `None` if there is
/// none that is well formed.
pub fn take_record<'data>(data: &mut &'data [u8]) -> Option<(&'data str, &'data [u8])> {
    let space = data.iter().take(20).position(|&byte| byte == b' ')?;
    let length: usize = std::str::from_utf8(&data[..space]).ok()?.parse().ok()?;
    let (record, rest) = data.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    let key = std::str::from_utf8(&record[..equals]).ok()?;
    *data = rest;
    Some((key, &record[equals + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments_before_1970_count_away_from_zero() {
        let text = |seconds, nanoseconds| {
            modified_text(Modified {
                seconds,
                nanoseconds,
            })
        };
        assert_eq!(text(12, 5), "12.000000005");
        assert_eq!(text(-1, 750_000_000), "-0.250000000");
        assert_eq!(text(-13, 500_000_000), "-12.500000000");
        assert_eq!(text(-13, 0), "-13.000000000");
    }

    #[test]
    fn records_hold_any_byte() {
        let mut data = &b"13 a.b=c\n=\0\xff\n6 k=v\n"[..];
        assert_eq!(take_record(&mut data), Some(("a.b", &b"c\n=\0\xff"[..])));
        assert_eq!(take_record(&mut data), Some(("k", &b"v"[..])));
        assert_eq!((take_record(&mut data), data), (None, &b""[..]));
    }

    proptest! {
        #[test]
        fn moments_round_trip(seconds: i64, nanoseconds in 0..1_000_000_000_u32) {
            prop_assume!(seconds > i64::MIN + 1);
            let modified = Modified { seconds, nanoseconds };
            prop_assert_eq!(parse_modified(&modified_text(modified)), Some(modified));
        }

        #[test]
        fn records_round_trip(key in "[^=\n]{1,120}", value: Vec<u8>) {
            let mut data = Vec::new();
            push_record(&mut data, &key, &value);
            push_record(&mut data, "next", b"");
            let mut rest = &data[..];
            prop_assert_eq!(take_record(&mut rest), Some((&key[..], &value[..])));
            prop_assert_eq!(take_record(&mut rest), Some(("next", &b""[..])));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn nonsense_is_no_reason_to_panic(data: Vec<u8>, text: String) {
            let mut rest = &data[..];
            while take_record(&mut rest).is_some() {}
            parse_modified(&text);
        }
    }
}
