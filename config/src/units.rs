//! Durations and sizes as people write them: `"30m"`, `"2GiB"`.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text was not a number with a known unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got {text:?}")]
pub struct InvalidUnit {
    expected: &'static str,
    text: String,
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim()))
}

/// A length of time: a whole number and one of `ms`, `s`, `m`, `h`, `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// Makes a span of whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    const UNITS: [(&'static str, u64); 5] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
}

impl FromStr for Span {
    type Err = InvalidUnit;
    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let invalid = || InvalidUnit {
            expected: "a length of time such as \"30s\", \"15m\", \"12h\" or \"7d\"",
            text: text.chars().take(40).collect(),
        };
        let (number, unit) = split_number(text.trim()).ok_or_else(invalid)?;
        let (_, millis) = Self::UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(invalid)?;
        let millis = number.checked_mul(*millis).ok_or_else(invalid)?;
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (name, unit) = Self::UNITS
            .iter()
            .find(|(_, unit)| millis != 0 && millis.is_multiple_of(*unit))
            .unwrap_or(&("s", 1000));
        write!(formatter, "{}{name}", millis / unit)
    }
}

/// An amount of memory or disk: a whole number and one of `B`, `KiB`, `MiB`, `GiB`, `TiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    const UNITS: [(&'static str, u64); 5] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("B", 1),
    ];
}

impl FromStr for ByteSize {
    type Err = InvalidUnit;
    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let invalid = || InvalidUnit {
            expected: "a size such as \"64KiB\", \"512MiB\" or \"2GiB\"",
            text: text.chars().take(40).collect(),
        };
        let (number, unit) = split_number(text.trim()).ok_or_else(invalid)?;
        let (_, bytes) = Self::UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(invalid)?;
        number.checked_mul(*bytes).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit) = Self::UNITS
            .iter()
            .find(|(_, unit)| self.0 != 0 && self.0.is_multiple_of(*unit))
            .unwrap_or(&("B", 1));
        write!(formatter, "{}{name}", self.0 / unit)
    }
}

/// A network in CIDR notation; an address alone is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(ipnet::IpNet);

impl Network {
    /// Tells whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Returns it as an IPv4 network, if it is one.
    pub fn as_ipv4(&self) -> Option<ipnet::Ipv4Net> {
        match self.0 {
            ipnet::IpNet::V4(network) => Some(network),
            ipnet::IpNet::V6(_) => None,
        }
    }
}

impl FromStr for Network {
    type Err = InvalidUnit;
    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let address = text.parse::<IpAddr>().map(ipnet::IpNet::from);
        address
            .or_else(|_| text.parse())
            .map(|network| Self(network.trunc()))
            .map_err(|_| InvalidUnit {
                expected: "an address or a network such as \"10.0.0.0/8\" or \"2001:db8::/32\"",
                text: text.chars().take(60).collect(),
            })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

macro_rules! written_as_text {
    ($type:ident, $example:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "examples": [$example] })
            }
        }
    };
}

written_as_text!(Span, "15m");
written_as_text!(ByteSize, "2GiB");
written_as_text!(Network, "10.0.0.0/8");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["0s", "1ms", "90s", "15m", "36h", "7d"] {
            assert_eq!(text.parse::<Span>().expect(text).to_string(), text);
        }
        for text in ["0B", "1B", "64KiB", "512MiB", "2GiB", "3TiB"] {
            assert_eq!(text.parse::<ByteSize>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_network_is_an_address_or_in_cidr_notation() {
        for (text, shown) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(text.parse::<Network>().expect(text).to_string(), shown);
        }
        for text in ["", "10.0.0.0/33", "10.0.0", "example.com", "0.0.0.0/0/0"] {
            assert!(text.parse::<Network>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn numbers_without_a_unit_are_refused() {
        for text in [
            "",
            "30",
            "m",
            "-1s",
            "1.5h",
            "1 week",
            "99999999999999999999s",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text:?}");
        }
        for text in ["2", "2GB", "99999999999TiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text:?}");
        }
    }
}
