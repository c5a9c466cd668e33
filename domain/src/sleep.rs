//! How a workspace sleeps, where its owner wants it otherwise than the site has it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long something may go on: for so long, or for ever.
///
/// From a minute to 30 days, in whole seconds. In JSON seconds, 0 for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct IdleTime(Option<u32>);

/// A number of seconds was none that a workspace may be idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an idle time is 0 (for ever) or from 60 to 2592000 seconds (30 days)")]
pub struct InvalidIdleTime;

impl IdleTime {
    /// For ever.
    pub const NEVER: Self = Self(None);

    /// Shortest time, in seconds.
    pub const SHORTEST: u32 = 60;

    /// Longest time, in seconds: 30 days.
    pub const LONGEST: u32 = 30 * 86_400;

    /// Reads a number of seconds, 0 for ever.
    ///
    /// # Errors
    /// [`InvalidIdleTime`] for any other below [`Self::SHORTEST`] or above [`Self::LONGEST`].
    pub fn from_seconds(seconds: u32) -> Result<Self, InvalidIdleTime> {
        match seconds {
            0 => Ok(Self::NEVER),
            Self::SHORTEST..=Self::LONGEST => Ok(Self(Some(seconds))),
            _ => Err(InvalidIdleTime),
        }
    }

    /// Returns the number of seconds, 0 for ever.
    pub fn seconds(self) -> u32 {
        self.0.unwrap_or(0)
    }

    /// Returns the time, `None` for ever.
    pub fn duration(self) -> Option<Duration> {
        self.0.map(|seconds| Duration::from_secs(seconds.into()))
    }
}

impl TryFrom<u32> for IdleTime {
    type Error = InvalidIdleTime;
    fn try_from(seconds: u32) -> Result<Self, InvalidIdleTime> {
        Self::from_seconds(seconds)
    }
}

impl From<IdleTime> for u32 {
    fn from(time: IdleTime) -> Self {
        time.seconds()
    }
}

/// How a workspace sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SleepPolicy {
    /// How long it may be idle until it is put to sleep; as the site has it when absent.
    pub pause_after: Option<IdleTime>,
    /// How long it may be asleep until it is stopped; as the site has it when absent.
    pub stop_after: Option<IdleTime>,
    /// How long it may be stopped until it is archived; as the site has it when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive_after: Option<IdleTime>,
    /// Whether a visit leaves it asleep, until somebody asks for it to be woken.
    pub stays_asleep: bool,
}

/// Shortens a time to what the site allows; `None` is for ever, and for any time.
pub fn at_most(wanted: Option<Duration>, limit: Option<Duration>) -> Option<Duration> {
    match (wanted, limit) {
        (Some(wanted), Some(limit)) => Some(wanted.min(limit)),
        (None, limit) => limit,
        (wanted, None) => wanted,
    }
}

impl fmt::Display for IdleTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(seconds) = self.0 else {
            return formatter.write_str("never");
        };
        let (unit, length) = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)]
            .into_iter()
            .find(|(_, length)| seconds.is_multiple_of(*length))
            .unwrap_or(("s", 1));
        write!(formatter, "{}{unit}", seconds / length)
    }
}

impl FromStr for IdleTime {
    type Err = InvalidIdleTime;
    fn from_str(text: &str) -> Result<Self, InvalidIdleTime> {
        if text == "never" {
            return Ok(Self::NEVER);
        }
        let end = text.len().checked_sub(1).ok_or(InvalidIdleTime)?;
        let (number, unit) = text.split_at_checked(end).ok_or(InvalidIdleTime)?;
        let length = match unit {
            "d" => 86_400,
            "h" => 3600,
            "m" => 60,
            "s" => 1,
            _ => return Err(InvalidIdleTime),
        };
        let seconds = number
            .parse::<u32>()
            .ok()
            .and_then(|n| n.checked_mul(length));
        match seconds {
            None | Some(0) => Err(InvalidIdleTime),
            Some(seconds) => Self::from_seconds(seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sensible_times_are_taken() {
        for seconds in [0, 60, 900, 2_592_000] {
            assert_eq!(IdleTime::from_seconds(seconds).map(u32::from), Ok(seconds));
        }
        for seconds in [1, 59, 2_592_001, u32::MAX] {
            assert_eq!(IdleTime::from_seconds(seconds), Err(InvalidIdleTime));
        }
    }

    #[test]
    fn times_are_written_as_people_write_them() {
        for text in ["never", "90s", "15m", "2h", "30d"] {
            assert_eq!(
                text.parse().map(|time: IdleTime| time.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in [
            "",
            "0m",
            "15",
            "1w",
            "-1h",
            "1.5h",
            "999999999d",
            "é",
            "31d",
        ] {
            assert_eq!(text.parse::<IdleTime>(), Err(InvalidIdleTime), "{text:?}");
        }
    }

    #[test]
    fn a_policy_of_which_nothing_is_known_is_the_sites() {
        let read: SleepPolicy = serde_json::from_str("{}").expect("legal");
        assert_eq!(read, SleepPolicy::default());
        let whole = SleepPolicy {
            pause_after: IdleTime::from_seconds(900).ok(),
            stop_after: Some(IdleTime::NEVER),
            archive_after: IdleTime::from_seconds(86_400).ok(),
            stays_asleep: true,
        };
        let written = serde_json::to_string(&whole).expect("plain");
        assert_eq!(
            written,
            r#"{"pause_after":900,"stop_after":0,"archive_after":86400,"stays_asleep":true}"#
        );
        assert_eq!(
            serde_json::from_str::<SleepPolicy>(&written).ok(),
            Some(whole)
        );
        assert!(serde_json::from_str::<SleepPolicy>(r#"{"pause_after":1}"#).is_err());
    }

    #[test]
    fn an_administrators_limit_holds_for_ever_too() {
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
        assert_eq!(at_most(None, Some(hour)), Some(hour));
        assert_eq!(at_most(Some(minute), Some(hour)), Some(minute));
        assert_eq!(at_most(Some(hour), None), Some(hour));
        assert_eq!(at_most(None, None), None);
    }
}
