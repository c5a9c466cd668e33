//! Durations as people type them: `90s`, `30m`, `2h`, `1h30m`.

use std::time::Duration;

/// The longest that a workspace can be kept awake by one request.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The units, the longest first, in seconds.
const UNITS: [(char, u64); 3] = [('h', 3600), ('m', 60), ('s', 1)];

/// A text is no duration that can be asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DurationError {
    /// It is not written like one.
    #[error("{text:?} is no duration: write it like 90s, 30m, 2h or 1h30m")]
    Form {
        /// The text.
        text: String,
    },
    /// It is nothing.
    #[error("{text:?} is no time at all: a second is the shortest")]
    Zero {
        /// The text.
        text: String,
    },
    /// It is more than [`LONGEST`].
    #[error("{text:?} is too long: a workspace can be kept awake for 24h at most")]
    TooLong {
        /// The text.
        text: String,
    },
}

/// Reads a duration: numbers with a unit each, longer units first, none twice.
///
/// # Errors
/// [`DurationError`] if it is none, or not between one second and [`LONGEST`].
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let seconds = seconds(text).ok_or_else(|| DurationError::Form { text: text.into() })?;
    match Duration::from_secs(seconds) {
        Duration::ZERO => Err(DurationError::Zero { text: text.into() }),
        duration if duration > LONGEST => Err(DurationError::TooLong { text: text.into() }),
        duration => Ok(duration),
    }
}

/// Adds the parts up. A sum beyond all bounds is the greatest there is.
fn seconds(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut sum = 0u64;
    while !rest.is_empty() {
        let end = rest.find(|character: char| !character.is_ascii_digit())?;
        let (digits, after) = rest.split_at(end);
        let mut after = after.chars();
        let unit = after.next()?;
        let (_, length) = units.find(|(name, _)| *name == unit)?;
        if digits.is_empty() {
            return None;
        }
        // Digits alone fail to be a number only when they are too many.
        let number = digits.parse().unwrap_or(u64::MAX);
        sum = sum.saturating_add(length.saturating_mul(number));
        rest = after.as_str();
    }
    Some(sum)
}

/// Returns a duration as [`parse`] reads it; parts of a second are left out.
pub fn text(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    let mut text = String::new();
    for (unit, length) in UNITS {
        if rest >= length {
            text.push_str(&format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, seconds, written) in [
            ("90s", 90, "1m30s"),
            ("30m", 1800, "30m"),
            ("2h", 7200, "2h"),
            ("1h30m", 5400, "1h30m"),
            ("1h0m5s", 3605, "1h5s"),
            ("1440m", 86400, "24h"),
            ("24h", 86400, "24h"),
            ("007m", 420, "7m"),
        ] {
            let duration = parse(text).unwrap();
            assert_eq!(duration, Duration::from_secs(seconds), "{text}");
            assert_eq!(super::text(duration), written);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "", "90", "h", "1h30", "m30", "30m1h", "1h1h", "1d", "1.5h", "-1h", "+1h", "1 h", "1H",
            "١h",
        ] {
            let text = text.to_owned();
            assert_eq!(parse(&text), Err(DurationError::Form { text }));
        }
        for text in ["0s", "0h0m0s"] {
            let text = text.to_owned();
            assert_eq!(parse(&text), Err(DurationError::Zero { text }));
        }
        for text in ["24h1s", "1441m", "99999999999999999999999h1m"] {
            let text = text.to_owned();
            assert_eq!(parse(&text), Err(DurationError::TooLong { text }));
        }
    }

    proptest::proptest! {
        #[test]
        fn every_duration_survives_writing(seconds in 1u64..=86400) {
            let duration = Duration::from_secs(seconds);
            proptest::prop_assert_eq!(parse(&text(duration)), Ok(duration));
        }

        #[test]
        fn no_text_is_too_much(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
