//! The session of one workspace host: made and checked by the gateway alone, with no I/O.
//!
//! Fixed binary, then base64url:
//!
//! ```text
//! version 1 | level 1 | session 16 | subject 16 | workspace 16 | host hash 16 | port 2 | generation 8 | issued 8 | expires 8 | mac 16
//! ```
//!
//! The version is 2; sessions of version 1, which had neither level nor port, are not read: whoever
//! has one is let in anew by their control session. The level is the right that it was granted by
//! (0 owner, 1 member, 2 organisation, 3 link) and the subject the person or the link who has it; the
//! port is 0 for the editor. Numbers are big-endian, times whole seconds since 1970. The MAC is HMAC-SHA256 cut to 128 bits
//! over everything before it. The host hash binds the session to the one host it was made for.
//! Whether the generation is the workspace's present one, whether the session has been revoked and
//! whether the port is still shared, only the gateway's tables know.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use kalpana_domain::Timestamp;
use kalpana_domain::address::{Surface, WorkspaceAddress};
use kalpana_domain::id::{Generation, SessionId, WorkspaceId};
use kalpana_domain::sharing::{Right, SharingLevel};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::key_file::{self, KeyFileError};
use crate::secret;

/// How long a workspace session lasts.
pub const LIFETIME: Duration = Duration::from_secs(12 * 3600);

const VERSION: u8 = 2;
const BODY: usize = 2 + 4 * 16 + 2 + 3 * 8;
const MAC: usize = 16;
const LENGTH: usize = BODY + MAC;
const TEXT_LENGTH: usize = LENGTH / 3 * 4;
const _: () = assert!(LENGTH.is_multiple_of(3), "the text has one spelling only");

/// What a workspace session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkspaceGrant {
    /// The control session it came from, whose end ends it.
    pub session: SessionId,
    /// Who, and by what right.
    pub right: Right,
    /// What of which workspace.
    pub address: WorkspaceAddress,
    /// The workspace's incarnation when it was made.
    pub generation: Generation,
}

/// A workspace session whose MAC, host and time are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkspaceSession {
    /// What it is for.
    pub grant: WorkspaceGrant,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Why a cookie is not a workspace session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WorkspaceSessionError {
    /// It does not have the form of one.
    #[error("malformed workspace session")]
    Malformed,
    /// It was not made with one of our keys.
    #[error("forged workspace session")]
    Forged,
    /// It was made for another host.
    #[error("workspace session of another host")]
    OtherHost,
    /// It is over.
    #[error("expired workspace session")]
    Expired,
}

/// The keys that sessions are made and checked with: the current one, and the one before, so that
/// a rotation signs nobody out.
pub struct KeyRing {
    current: Key,
    previous: Option<Key>,
}

/// One key, and what a MAC by it begins from, which is half the work of a short one.
struct Key {
    bytes: [u8; 32],
    begun: Hmac<Sha256>,
}

impl Key {
    fn new(bytes: [u8; 32]) -> Self {
        let begun = Hmac::new_from_slice(&bytes).expect("HMAC takes keys of any length");
        Self { bytes, begun }
    }

    fn mac(&self, body: &[u8]) -> [u8; MAC] {
        let mac = self.begun.clone().chain_update(body);
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        *full.first_chunk().expect("16 of 32 bytes")
    }
}

impl KeyRing {
    /// Reads the keys from `path`, or makes them there.
    ///
    /// # Errors
    /// [`KeyFileError`] when the file cannot be used.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        let fresh = || {
            Self {
                current: Key::new(rand::random()),
                previous: None,
            }
            .to_text()
        };
        let text = key_file::load_or_create(path, fresh)?;
        Self::from_text(&text).ok_or_else(|| KeyFileError::Malformed {
            path: path.to_owned(),
        })
    }

    /// Returns keys for another purpose of the gateway's: of the current key first, then of the one
    /// before.
    pub fn derive(&self, purpose: &str) -> Vec<[u8; 32]> {
        let keys = std::iter::once(&self.current).chain(&self.previous);
        let derive = |key: &Key| {
            let mac = key.begun.clone().chain_update(purpose);
            mac.finalize().into_bytes().into()
        };
        keys.map(derive).collect()
    }

    /// Draws a new current key and writes it to `path`. Sessions made with the key before the last
    /// are refused from now on.
    ///
    /// # Errors
    /// [`KeyFileError`] when the file cannot be replaced; the ring is then unchanged.
    pub fn rotate(&mut self, path: &Path) -> Result<(), KeyFileError> {
        let next = Self {
            current: Key::new(rand::random()),
            previous: Some(Key::new(self.current.bytes)),
        };
        key_file::replace(path, &next.to_text())?;
        *self = next;
        Ok(())
    }

    fn to_text(&self) -> String {
        let keys = std::iter::once(&self.current).chain(&self.previous);
        keys.map(|key| URL_SAFE_NO_PAD.encode(key.bytes) + "\n")
            .collect()
    }

    fn from_text(text: &str) -> Option<Self> {
        let key = |line: &str| -> Option<Key> {
            let bytes = URL_SAFE_NO_PAD.decode(line).ok()?;
            bytes.try_into().ok().map(Key::new)
        };
        let mut lines = text.lines();
        let current = key(lines.next()?)?;
        let previous = match lines.next() {
            Some(line) => Some(key(line)?),
            None => None,
        };
        lines.next().is_none().then_some(Self { current, previous })
    }

    /// Makes a session for `host`, which is the host as browsers write it, with its port.
    pub fn mint(&self, grant: &WorkspaceGrant, host: &str, now: Timestamp) -> String {
        let issued = now.as_second();
        let expires = issued + LIFETIME.as_secs().cast_signed();
        let mut bytes = [0; LENGTH];
        let mut writer = Writer {
            bytes: &mut bytes,
            at: 0,
        };
        writer.put([VERSION, level_byte(grant.right.level())]);
        writer.put(*grant.session.as_bytes());
        writer.put(grant.right.subject());
        writer.put(grant.address.workspace.to_u128().to_be_bytes());
        writer.put(host_hash(host));
        writer.put(port_of(grant.address.surface).to_be_bytes());
        writer.put(grant.generation.0.to_be_bytes());
        writer.put(issued.to_be_bytes());
        writer.put(expires.to_be_bytes());
        let mac = self.current.mac(&bytes[..BODY]);
        bytes[BODY..].copy_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Checks a cookie's value. Allocates nothing, and takes as long for a wrong MAC whatever is
    /// wrong with it.
    ///
    /// # Errors
    /// [`WorkspaceSessionError`] says why it is refused. Nothing in it is worth telling the client.
    pub fn verify(
        &self,
        cookie: &[u8],
        host: &str,
        now: Timestamp,
    ) -> Result<WorkspaceSession, WorkspaceSessionError> {
        if cookie.len() != TEXT_LENGTH {
            return Err(WorkspaceSessionError::Malformed);
        }
        let mut bytes = [0; LENGTH];
        match URL_SAFE_NO_PAD.decode_slice(cookie, &mut bytes) {
            Ok(LENGTH) if bytes[0] == VERSION => {}
            _ => return Err(WorkspaceSessionError::Malformed),
        }
        let (body, mac) = bytes.split_at(BODY);
        if !self.is_ours(body, mac) {
            return Err(WorkspaceSessionError::Forged);
        }
        let (hash, session) = read(body).ok_or(WorkspaceSessionError::Malformed)?;
        if !bool::from(hash.ct_eq(&host_hash(host))) {
            return Err(WorkspaceSessionError::OtherHost);
        }
        if now >= session.expires_at {
            return Err(WorkspaceSessionError::Expired);
        }
        Ok(session)
    }

    fn is_ours(&self, body: &[u8], claimed: &[u8]) -> bool {
        let by_current = self.current.mac(body).ct_eq(claimed);
        let by_previous = self
            .previous
            .as_ref()
            .map(|key| key.mac(body).ct_eq(claimed));
        (by_current | by_previous.unwrap_or(0.into())).into()
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("KeyRing(…)")
    }
}

struct Writer<'a> {
    bytes: &'a mut [u8; LENGTH],
    at: usize,
}

impl Writer<'_> {
    fn put<const N: usize>(&mut self, field: [u8; N]) {
        self.bytes[self.at..self.at + N].copy_from_slice(&field);
        self.at += N;
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }
}

/// Reads a body whose MAC was right.
fn read(body: &[u8]) -> Option<([u8; 16], WorkspaceSession)> {
    let mut reader = Reader(body);
    let [_version, level] = reader.take()?;
    let session = SessionId::from_bytes(reader.take()?);
    let level = *SharingLevel::ALL.get(usize::from(level))?;
    let right = Right::from_parts(level, reader.take()?)?;
    let workspace: [u8; 16] = reader.take()?;
    let workspace = std::str::from_utf8(&workspace[..WorkspaceId::LENGTH]).ok()?;
    let workspace = WorkspaceId::parse(workspace).ok()?;
    let hash = reader.take()?;
    let port = u16::from_be_bytes(reader.take()?);
    let generation = Generation(u64::from_be_bytes(reader.take()?));
    let issued_at = Timestamp::from_second(i64::from_be_bytes(reader.take()?)).ok()?;
    let expires_at = Timestamp::from_second(i64::from_be_bytes(reader.take()?)).ok()?;
    let grant = WorkspaceGrant {
        session,
        right,
        address: WorkspaceAddress {
            workspace,
            surface: if port == 0 {
                Surface::Editor
            } else {
                Surface::Port(port)
            },
        },
        generation,
    };
    Some((
        hash,
        WorkspaceSession {
            grant,
            issued_at,
            expires_at,
        },
    ))
}

/// Returns the place of a level among all, which is how it stands in a session.
fn level_byte(level: SharingLevel) -> u8 {
    match level {
        SharingLevel::Owner => 0,
        SharingLevel::Members => 1,
        SharingLevel::Organization => 2,
        SharingLevel::Link => 3,
        SharingLevel::Public => 4,
    }
}

fn port_of(surface: Surface) -> u16 {
    match surface {
        Surface::Editor => 0,
        Surface::Port(port) => port,
    }
}

fn host_hash(host: &str) -> [u8; 16] {
    *secret::hash(host.as_bytes())
        .first_chunk()
        .expect("16 of 32 bytes")
}

#[cfg(test)]
mod tests {
    use kalpana_domain::id::{LinkId, UserId};
    use proptest::prelude::*;

    use super::*;

    const HOST: &str = "abcdefghij01.kalpana.localhost:8443";

    fn ring() -> KeyRing {
        KeyRing {
            current: Key::new([7; 32]),
            previous: None,
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("in range")
    }

    fn grant() -> WorkspaceGrant {
        WorkspaceGrant {
            session: SessionId::from_bytes([1; 16]),
            right: Right::Owner(UserId::from_bytes([2; 16])),
            address: WorkspaceAddress::parse_label("abcdefghij01").expect("legal"),
            generation: Generation(3),
        }
    }

    fn later(seconds: u64) -> Timestamp {
        now() + Duration::from_secs(seconds)
    }

    #[test]
    fn a_session_is_read_back_until_it_expires() {
        let text = ring().mint(&grant(), HOST, now());
        assert_eq!(text.len(), 144);
        let session = ring()
            .verify(text.as_bytes(), HOST, later(43_199))
            .expect("valid");
        assert_eq!(
            session,
            WorkspaceSession {
                grant: grant(),
                issued_at: now(),
                expires_at: later(43_200)
            }
        );
        assert_eq!(
            ring().verify(text.as_bytes(), HOST, later(43_200)),
            Err(WorkspaceSessionError::Expired)
        );
    }

    #[test]
    fn every_right_and_surface_is_read_back() {
        let user = UserId::from_bytes([2; 16]);
        for right in [
            Right::Owner(user),
            Right::Member(user),
            Right::Organization(user),
            Right::Link(LinkId::from_bytes([3; 16])),
        ] {
            for label in ["abcdefghij01", "1024-abcdefghij01", "65535-abcdefghij01"] {
                let grant = WorkspaceGrant {
                    right,
                    address: WorkspaceAddress::parse_label(label).expect("legal"),
                    ..grant()
                };
                let text = ring().mint(&grant, HOST, now());
                let session = ring().verify(text.as_bytes(), HOST, now()).expect("valid");
                assert_eq!(session.grant, grant);
            }
        }
        assert_eq!(
            SharingLevel::ALL.map(level_byte),
            [0, 1, 2, 3, 4],
            "a level is read back by its place"
        );
    }

    #[test]
    fn what_no_right_can_be_and_earlier_versions_are_malformed() {
        let text = ring().mint(&grant(), HOST, now());
        let changed = |place: usize, value: u8| {
            let mut bytes = URL_SAFE_NO_PAD.decode(&text).expect("own text");
            bytes[place] = value;
            let mac = ring().current.mac(&bytes[..BODY]);
            bytes[BODY..].copy_from_slice(&mac);
            let text = URL_SAFE_NO_PAD.encode(&bytes);
            ring().verify(text.as_bytes(), HOST, now())
        };
        for (place, value) in [(0, 1), (0, 3), (1, 4), (1, 255)] {
            assert_eq!(
                changed(place, value),
                Err(WorkspaceSessionError::Malformed),
                "{place} {value}"
            );
        }
    }

    #[test]
    fn another_host_is_refused() {
        let text = ring().mint(&grant(), HOST, now());
        for host in [
            "3000-abcdefghij01.kalpana.localhost:8443",
            "abcdefghij01.kalpana.localhost",
            "",
        ] {
            assert_eq!(
                ring().verify(text.as_bytes(), host, now()),
                Err(WorkspaceSessionError::OtherHost)
            );
        }
    }

    #[test]
    fn other_keys_are_refused_and_the_previous_one_is_not() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("session.key");
        let mut ring = KeyRing::load_or_create(&path).expect("made");
        let text = ring.mint(&grant(), HOST, now());
        let mut verdicts = Vec::new();
        for _ in 0..3 {
            let reopened = KeyRing::load_or_create(&path).expect("read");
            verdicts.push(reopened.verify(text.as_bytes(), HOST, now()).is_ok());
            assert_eq!(
                ring.verify(text.as_bytes(), HOST, now()).is_ok(),
                verdicts[verdicts.len() - 1]
            );
            ring.rotate(&path).expect("rotated");
        }
        assert_eq!(verdicts, [true, true, false]);
        assert_eq!(
            super::tests::ring().verify(text.as_bytes(), HOST, now()),
            Err(WorkspaceSessionError::Forged)
        );
    }

    #[test]
    fn a_key_file_with_something_else_is_refused() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("session.key");
        for text in [
            "",
            "short\n",
            "\n\n",
            "not base64 not base64 not base64 not base64",
        ] {
            key_file::replace(&path, text).expect("written");
            let error = KeyRing::load_or_create(&path).expect_err("refused");
            assert!(
                matches!(error, KeyFileError::Malformed { .. }),
                "{text:?}: {error:?}"
            );
        }
    }

    #[test]
    fn other_lengths_are_malformed() {
        let text = ring().mint(&grant(), HOST, now());
        let long = "A".repeat(4096);
        for cookie in [
            "",
            "A",
            &text[..143],
            &format!("{text}A"),
            &format!("{text}="),
            &long,
        ] {
            assert_eq!(
                ring().verify(cookie.as_bytes(), HOST, now()),
                Err(WorkspaceSessionError::Malformed)
            );
        }
    }

    proptest! {
        #[test]
        fn every_flipped_bit_is_refused(bit in 0..LENGTH * 8) {
            let text = ring().mint(&grant(), HOST, now());
            let mut bytes = URL_SAFE_NO_PAD.decode(&text).expect("own text");
            bytes[bit / 8] ^= 1 << (bit % 8);
            let flipped = URL_SAFE_NO_PAD.encode(&bytes);
            let expected = if bit < 8 {
                WorkspaceSessionError::Malformed
            } else {
                WorkspaceSessionError::Forged
            };
            prop_assert_eq!(ring().verify(flipped.as_bytes(), HOST, now()), Err(expected));
        }

        #[test]
        fn any_bytes_are_refused_without_panic(cookie in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(ring().verify(&cookie, HOST, now()).is_err());
        }
    }
}
