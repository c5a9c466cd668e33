//! How things are named: parsed at the door, typed inside.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text was not the id it should have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind} id")]
pub struct InvalidId {
    kind: &'static str,
}

/// The name of a workspace in URLs, on the host and in the store.
///
/// Twelve ASCII characters, `[a-z][a-z0-9]{11}`: one DNS label that carries no user or project
/// name. It is generated, never chosen. 62 bits of choice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkspaceId([u8; WorkspaceId::LENGTH]);

impl WorkspaceId {
    /// Length in bytes, which are also characters.
    pub const LENGTH: usize = 12;

    /// Makes an id from randomness, of which each byte should be uniform.
    pub fn from_random(random: [u8; 16]) -> Self {
        const FIRST: &[u8; 26] = b"abcdefghijklmnopqrstuvwxyz";
        const REST: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let mut number = u128::from_be_bytes(random);
        let mut id = [0; Self::LENGTH];
        for (position, byte) in id.iter_mut().enumerate() {
            let alphabet: &[u8] = if position == 0 { FIRST } else { REST };
            let size = alphabet.len() as u128;
            *byte = alphabet[(number % size) as usize];
            number /= size;
        }
        Self(id)
    }

    /// Reads an id as it stands in a host name or a path.
    ///
    /// # Errors
    /// [`InvalidId`] unless the text is exactly `[a-z][a-z0-9]{11}`.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId { kind: "workspace" };
        let bytes: [u8; Self::LENGTH] = text.as_bytes().try_into().map_err(|_| invalid.clone())?;
        let is_legal = bytes[0].is_ascii_lowercase()
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if is_legal {
            Ok(Self(bytes))
        } else {
            Err(invalid)
        }
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an id is ASCII by construction")
    }

    /// Returns the id as the fixed 128-bit value that the gateway's route table is keyed by.
    pub fn to_u128(self) -> u128 {
        let mut wide = [0; 16];
        wide[..Self::LENGTH].copy_from_slice(&self.0);
        u128::from_be_bytes(wide)
    }
}

impl fmt::Display for WorkspaceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for WorkspaceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "WorkspaceId({self})")
    }
}

impl FromStr for WorkspaceId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}

impl Serialize for WorkspaceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for WorkspaceId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a new id that sorts by the time it was made (UUID version 7).
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            /// Reads an id from its hyphenated text.
            ///
            /// # Errors
            /// [`InvalidId`] unless the text is a UUID in its canonical lower-case form.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let id = Self(Uuid::try_parse(text).map_err(|_| InvalidId { kind: $kind })?);
                if id.to_string() == text { Ok(id) } else { Err(InvalidId { kind: $kind }) }
            }

            /// Returns the 16 bytes of the id, for fixed binary formats.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Rebuilds an id from a fixed binary format.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(formatter)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }
    };
}

uuid_id!(
    /// A person with an account.
    UserId,
    "user"
);
uuid_id!(
    /// One sign-in of one browser.
    SessionId,
    "session"
);
uuid_id!(
    /// One API token.
    TokenId,
    "token"
);
uuid_id!(
    /// A group of people who share workspaces and limits.
    OrganizationId,
    "organization"
);
uuid_id!(
    /// One link that shares a port.
    LinkId,
    "link"
);
uuid_id!(
    /// One copy of a workspace's files.
    SnapshotId,
    "snapshot"
);
uuid_id!(
    /// One entry of the audit log.
    AuditId,
    "audit"
);

/// Which incarnation of a workspace: raised each time a container is asked for, so that sessions,
/// sockets and capabilities made for an earlier container mean nothing to a later one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// Returns the generation that the next start will have.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn generated_ids_parse_back(random: [u8; 16]) {
            let id = WorkspaceId::from_random(random);
            prop_assert_eq!(WorkspaceId::parse(id.as_str()), Ok(id));
        }

        #[test]
        fn any_text_is_refused_or_kept_letter_for_letter(text in "\\PC{0,20}") {
            if let Ok(id) = WorkspaceId::parse(&text) {
                prop_assert_eq!(id.as_str(), text);
            }
        }
    }

    #[test]
    fn ids_that_differ_have_different_wide_values() {
        let one = WorkspaceId::parse("abcdefghij01").expect("legal");
        let two = WorkspaceId::parse("abcdefghij02").expect("legal");
        assert_ne!(one.to_u128(), two.to_u128());
    }

    #[test]
    fn wrong_shapes_are_refused() {
        for text in [
            "",
            "abc",
            "0bcdefghij01",
            "Abcdefghij01",
            "abcdefghij0-",
            "abcdefghij012",
        ] {
            assert!(WorkspaceId::parse(text).is_err(), "{text}");
        }
        assert!(
            UserId::parse("0191F3A0-0000-7000-8000-000000000000").is_err(),
            "upper case"
        );
        assert!(
            UserId::parse("0191f3a0000070008000000000000000").is_err(),
            "no hyphens"
        );
    }
}
