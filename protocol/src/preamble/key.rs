//! Who may dial a bridge, and with what.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroize as _;

use super::{Malformed, Target, decode};

/// Who dials. Each has a key of its own, which opens only its own targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// The gateway: editor and ports.
    Gateway,
    /// The orchestrator: JSON-RPC.
    Orchestrator,
}

impl Audience {
    /// Returns the word in the preamble and in the key's derivation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Orchestrator => "orchestrator",
        }
    }

    /// Tells whether this audience may open `target`.
    pub const fn may_open(self, target: Target) -> bool {
        match self {
            Self::Gateway => matches!(target, Target::Editor | Target::Port(_)),
            Self::Orchestrator => matches!(target, Target::Rpc),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        match text {
            "gateway" => Ok(Self::Gateway),
            "orchestrator" => Ok(Self::Orchestrator),
            _ => Err(Malformed),
        }
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Returns the HKDF info from which the key of one workspace, generation and audience comes.
pub fn key_info(workspace: &str, generation: u64, audience: Audience) -> String {
    format!("kalpana bridge v1|{workspace}|{generation}|{audience}")
}

/// The secret that lets one audience dial one generation of one workspace.
///
/// In JSON it is 43 characters of base64url. It is wiped when dropped and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectKey([u8; 32]);

/// A text was not 32 bytes in base64url.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key of 32 bytes in base64url")]
pub struct InvalidKey;

impl ConnectKey {
    /// Wraps key bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads a key from 43 characters of base64url.
    ///
    /// # Errors
    /// [`InvalidKey`] unless the text is the canonical encoding of 32 bytes.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        decode(text).map(Self).map_err(|Malformed| InvalidKey)
    }

    /// Returns the key as base64url, to be written where only its audience can read.
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    pub(super) fn mac(&self, signed: &[u8]) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.chain_update(signed)
    }
}

impl Drop for ConnectKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for ConnectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ConnectKey(…)")
    }
}

impl Serialize for ConnectKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.expose())
    }
}

impl<'de> Deserialize<'de> for ConnectKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_round_trip_and_are_not_printed() {
        let key = ConnectKey::from_bytes([7; 32]);
        let text = key.expose();
        assert_eq!(text.len(), 43);
        assert_eq!(ConnectKey::parse(&text), Ok(key.clone()));
        assert_eq!(ConnectKey::parse(&text[1..]), Err(InvalidKey));
        assert_eq!(format!("{key:?}"), "ConnectKey(…)");
    }

    #[test]
    fn key_info_names_workspace_generation_and_audience() {
        assert_eq!(
            key_info("abcdefghijk1", 4, Audience::Gateway),
            "kalpana bridge v1|abcdefghijk1|4|gateway"
        );
    }
}
