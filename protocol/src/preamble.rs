//! How a connection to a bridge begins: one signed line, one line back, then raw bytes.
//!
//! `kalpana/1 <target> <workspace> <generation> <expires> <audience> <nonce> <mac>\n`
//!
//! The mac is HMAC-SHA256 over everything before the last space, with a key that exists per
//! workspace, generation and audience. Dialler and bridge share this file, so the form that is
//! signed and the form that is verified cannot drift apart.

mod key;
mod listening;

use std::fmt;
use std::num::NonZeroU16;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;

pub use key::{Audience, ConnectKey, InvalidKey, key_info};
pub use listening::Listening;

/// Longest preamble in bytes, its newline included.
pub const LINE_LIMIT: usize = 512;

/// Longest answer in bytes, its newline included.
pub const ANSWER_LIMIT: usize = 128;

/// How far two clocks may disagree. Unit: seconds.
pub const CLOCK_SKEW_SECONDS: u64 = 30;

/// How far ahead a preamble may expire. Unit: seconds.
///
/// It bounds how long a bridge must remember a nonce to refuse its replay.
pub const LIFETIME_LIMIT_SECONDS: u64 = 300;

const VERSION: &str = "kalpana/1";
const WORKSPACE_LENGTH: usize = 12;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// The editor's HTTP server.
    Editor,
    /// Whatever listens on this TCP port of the container's loopback.
    Port(NonZeroU16),
    /// The bridge's own JSON-RPC over WebSocket.
    Rpc,
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Editor => formatter.write_str("editor"),
            Self::Port(port) => write!(formatter, "port:{port}"),
            Self::Rpc => formatter.write_str("rpc"),
        }
    }
}

impl Target {
    fn parse(text: &str) -> Result<Self, Malformed> {
        match text {
            "editor" => Ok(Self::Editor),
            "rpc" => Ok(Self::Rpc),
            _ => {
                let digits = text.strip_prefix("port:").ok_or(Malformed)?;
                let port = u16::try_from(canonical_decimal(digits)?).map_err(|_| Malformed)?;
                Ok(Self::Port(NonZeroU16::new(port).ok_or(Malformed)?))
            }
        }
    }
}

/// What a dialler asks for. Signed, it is the preamble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preamble {
    /// What the connection is for.
    pub target: Target,
    /// The workspace's id, `[a-z][a-z0-9]{11}`.
    pub workspace: String,
    /// Which start of the workspace is meant.
    pub generation: u64,
    /// When the preamble stops being good. Unit: seconds since 1970.
    pub expires: u64,
    /// Who dials.
    pub audience: Audience,
    /// Fresh randomness; a bridge accepts it once.
    pub nonce: [u8; 16],
}

impl Preamble {
    /// Returns the signed line, newline included.
    pub fn sign(&self, key: &ConnectKey) -> String {
        let Self {
            target,
            workspace,
            generation,
            expires,
            audience,
            nonce,
        } = self;
        let nonce = URL_SAFE_NO_PAD.encode(nonce);
        let mut line =
            format!("{VERSION} {target} {workspace} {generation} {expires} {audience} {nonce}");
        let mac = key.mac(line.as_bytes()).finalize().into_bytes();
        line.push(' ');
        line.push_str(&URL_SAFE_NO_PAD.encode(mac));
        line.push('\n');
        line
    }
}

/// A line was not a preamble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a preamble")]
pub struct Malformed;

/// A preamble that was read but not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified {
    claims: Preamble,
    signed: Vec<u8>,
    mac: [u8; 32],
}

impl Unverified {
    /// Reads one line, its newline included.
    ///
    /// # Errors
    /// [`Malformed`] unless the line is exactly what [`Preamble::sign`] could have written.
    pub fn parse(line: &[u8]) -> Result<Self, Malformed> {
        if line.len() > LINE_LIMIT || !line.is_ascii() {
            return Err(Malformed);
        }
        let text = std::str::from_utf8(line).map_err(|_| Malformed)?;
        let text = text.strip_suffix('\n').ok_or(Malformed)?;
        let (signed, mac) = text.rsplit_once(' ').ok_or(Malformed)?;
        let mut fields = signed.split(' ');
        let mut field = || fields.next().ok_or(Malformed);
        if field()? != VERSION {
            return Err(Malformed);
        }
        let claims = Preamble {
            target: Target::parse(field()?)?,
            workspace: workspace(field()?)?,
            generation: canonical_decimal(field()?)?,
            expires: canonical_decimal(field()?)?,
            audience: Audience::parse(field()?)?,
            nonce: decode(field()?)?,
        };
        if fields.next().is_some() {
            return Err(Malformed);
        }
        Ok(Self {
            claims,
            signed: signed.as_bytes().to_vec(),
            mac: decode(mac)?,
        })
    }

    /// Returns who claims to dial, which names the key to verify with. Nothing else may be read
    /// before that.
    pub fn audience(&self) -> Audience {
        self.claims.audience
    }

    /// Returns the claims if `key` signed them, they name this workspace and generation, have not
    /// expired at `now` (seconds since 1970), and the audience may open the target.
    ///
    /// A replayed nonce is the caller's to find.
    ///
    /// # Errors
    /// The [`Denial`] to answer with. A wrong mac is found first, so that who holds no key learns
    /// nothing.
    pub fn verify(
        self,
        key: &ConnectKey,
        workspace: &str,
        generation: u64,
        now: u64,
    ) -> Result<Preamble, Denial> {
        // `verify_slice` compares in constant time.
        key.mac(&self.signed)
            .verify_slice(&self.mac)
            .map_err(|_| Denial::Denied)?;
        let claims = self.claims;
        if claims.workspace != workspace || !claims.audience.may_open(claims.target) {
            return Err(Denial::Denied);
        }
        if claims.generation != generation {
            return Err(Denial::WrongGeneration);
        }
        if claims.expires.saturating_add(CLOCK_SKEW_SECONDS) < now {
            return Err(Denial::Expired);
        }
        if claims.expires > now.saturating_add(LIFETIME_LIMIT_SECONDS + CLOCK_SKEW_SECONDS) {
            return Err(Denial::Denied);
        }
        Ok(claims)
    }
}

/// Why a bridge did not open what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Denial {
    /// Unknown key, another workspace, a target of another audience, or a replay.
    Denied,
    /// Past its expiry.
    Expired,
    /// The key is good, but for another start of this workspace.
    WrongGeneration,
    /// Not a preamble.
    Malformed,
    /// The editor does not answer yet.
    NotReady,
    /// Nobody listens on the port, but on these.
    Refused(Listening),
}

impl Denial {
    /// Every denial.
    pub const ALL: [Self; 6] = [
        Self::Denied,
        Self::Expired,
        Self::WrongGeneration,
        Self::Malformed,
        Self::NotReady,
        Self::Refused(Listening::NONE),
    ];

    /// Returns the code on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::WrongGeneration => "wrong_generation",
            Self::Malformed => "malformed",
            Self::NotReady => "not_ready",
            Self::Refused(_) => "refused",
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Returns the line a bridge answers with, newline included.
pub fn answer(outcome: Result<(), Denial>) -> String {
    match outcome {
        Ok(()) => "ok\n".to_owned(),
        Err(Denial::Refused(ports)) if !ports.is_empty() => {
            format!("error {} {ports}\n", Denial::Refused(ports))
        }
        Err(denial) => format!("error {denial}\n"),
    }
}

/// Reads a bridge's answer, newline included.
///
/// # Errors
/// [`Malformed`] if the line is none that [`answer`] writes.
pub fn parse_answer(line: &[u8]) -> Result<Result<(), Denial>, Malformed> {
    if line == b"ok\n" {
        return Ok(Ok(()));
    }
    let code = line
        .strip_prefix(b"error ")
        .and_then(|rest| rest.strip_suffix(b"\n"));
    let code = code.ok_or(Malformed)?;
    if let Some(ports) = code.strip_prefix(b"refused ") {
        return Ok(Err(Denial::Refused(Listening::parse(ports)?)));
    }
    let known = Denial::ALL
        .into_iter()
        .find(|denial| denial.as_str().as_bytes() == code);
    known.map(Err).ok_or(Malformed)
}

/// Tells whether a text is a workspace id, `[a-z][a-z0-9]{11}`.
pub fn is_workspace_id(text: &str) -> bool {
    text.len() == WORKSPACE_LENGTH
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn workspace(text: &str) -> Result<String, Malformed> {
    if is_workspace_id(text) {
        Ok(text.to_owned())
    } else {
        Err(Malformed)
    }
}

/// Reads a number that has one spelling only: no sign, no leading zero.
fn canonical_decimal(text: &str) -> Result<u64, Malformed> {
    let is_canonical =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_canonical {
        text.parse().map_err(|_| Malformed)
    } else {
        Err(Malformed)
    }
}

/// Decodes base64url of exactly `N` bytes; the engine refuses padding and stray trailing bits, so
/// a value has one spelling only.
fn decode<const N: usize>(text: &str) -> Result<[u8; N], Malformed> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Malformed)?;
    bytes.try_into().map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn key() -> ConnectKey {
        ConnectKey::from_bytes([7; 32])
    }

    fn preamble() -> Preamble {
        Preamble {
            target: Target::Port(NonZeroU16::new(3000).unwrap()),
            workspace: "abcdefghijk1".into(),
            generation: 4,
            expires: NOW + 60,
            audience: Audience::Gateway,
            nonce: [9; 16],
        }
    }

    fn verify(line: &str, now: u64) -> Result<Preamble, Denial> {
        let unverified = Unverified::parse(line.as_bytes()).map_err(|_| Denial::Malformed)?;
        unverified.verify(&key(), "abcdefghijk1", 4, now)
    }

    #[test]
    fn signed_preamble_has_the_documented_form() {
        // The mac was computed with another implementation:
        // printf 'kalpana/1 …CQ' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0707…
        assert_eq!(
            preamble().sign(&key()),
            "kalpana/1 port:3000 abcdefghijk1 4 1800000060 gateway CQkJCQkJCQkJCQkJCQkJCQ \
             yUv6kJig_AEVEvhDlGhO1FBWduVbVSJkHdOMPLb-Hyo\n"
        );
    }

    #[test]
    fn what_is_signed_verifies() {
        for (target, audience) in [
            (Target::Editor, Audience::Gateway),
            (Target::Port(NonZeroU16::MAX), Audience::Gateway),
            (Target::Rpc, Audience::Orchestrator),
        ] {
            let claims = Preamble {
                target,
                audience,
                ..preamble()
            };
            assert_eq!(verify(&claims.sign(&key()), NOW), Ok(claims));
        }
    }

    #[test]
    fn an_audience_opens_only_its_own_targets() {
        for (target, audience) in [
            (Target::Rpc, Audience::Gateway),
            (Target::Editor, Audience::Orchestrator),
            (Target::Port(NonZeroU16::MIN), Audience::Orchestrator),
        ] {
            let line = Preamble {
                target,
                audience,
                ..preamble()
            }
            .sign(&key());
            assert_eq!(verify(&line, NOW), Err(Denial::Denied));
        }
    }

    #[test]
    fn wrong_claims_are_denied_with_their_reason() {
        let other = Preamble {
            workspace: "abcdefghijk2".into(),
            ..preamble()
        };
        assert_eq!(verify(&other.sign(&key()), NOW), Err(Denial::Denied));
        let old = Preamble {
            generation: 3,
            ..preamble()
        };
        assert_eq!(verify(&old.sign(&key()), NOW), Err(Denial::WrongGeneration));
        let foreign = preamble().sign(&ConnectKey::from_bytes([8; 32]));
        assert_eq!(verify(&foreign, NOW), Err(Denial::Denied));
    }

    #[test]
    fn expiry_allows_for_the_skew_and_no_more() {
        let line = preamble().sign(&key());
        assert!(verify(&line, NOW + 60 + CLOCK_SKEW_SECONDS).is_ok());
        assert_eq!(
            verify(&line, NOW + 61 + CLOCK_SKEW_SECONDS),
            Err(Denial::Expired)
        );
        let eternal = Preamble {
            expires: u64::MAX,
            ..preamble()
        };
        assert_eq!(verify(&eternal.sign(&key()), NOW), Err(Denial::Denied));
    }

    #[test]
    fn odd_spellings_are_malformed() {
        let line = preamble().sign(&key());
        let odd = [
            line.trim_end().to_owned(),
            line.replace('\n', "\r\n"),
            line.replace("port:3000", "port:03000"),
            line.replace("port:3000", "port:+3000"),
            line.replace("port:3000", "port:0"),
            line.replace("port:3000", "port:65536"),
            line.replace("port:3000", "port:"),
            line.replace("port:3000", "port:３０００"),
            line.replace("port:3000", "Editor"),
            line.replace(" 4 ", " 04 "),
            line.replace(" 4 ", "  4 "),
            line.replace(" 4 ", " -4 "),
            line.replace(" 4 ", " 99999999999999999999 "),
            line.replace("abcdefghijk1", "Abcdefghijk1"),
            line.replace("abcdefghijk1", "1bcdefghijk1"),
            line.replace("kalpana/1", "kalpana/2"),
            line.replace("gateway", "web"),
            line.replace("CQkJCQ ", "CQkJCR "),
            line.replace("CQkJCQ ", "CQkJCQ== "),
            format!(" {line}"),
            line.replacen(' ', " extra ", 1),
            format!("{}{line}", "x".repeat(LINE_LIMIT)),
            "\n".into(),
            String::new(),
        ];
        for line in odd {
            assert_eq!(
                Unverified::parse(line.as_bytes()),
                Err(Malformed),
                "{line:?}"
            );
        }
    }

    #[test]
    fn a_refusal_names_the_ports_that_would_not_be_refused() {
        let ports = [1, 65_535, 3000].map(|port| NonZeroU16::new(port).unwrap());
        let denial = Denial::Refused(ports.into_iter().collect());
        let line = answer(Err(denial));
        assert_eq!(line, "error refused 1,3000,65535\n");
        assert_eq!(parse_answer(line.as_bytes()), Ok(Err(denial)));
        let many = (10_000..10_100).filter_map(NonZeroU16::new).collect();
        let line = answer(Err(Denial::Refused(many)));
        assert!(line.len() <= ANSWER_LIMIT, "{line}");
        assert!(line.ends_with("10014,10015\n"), "{line}");
        for ports in [
            "",
            "0",
            "65536",
            "1,",
            "1 2",
            "+1",
            "x",
            "1,".repeat(40).as_str(),
        ] {
            let line = format!("error refused {ports}\n");
            assert_eq!(parse_answer(line.as_bytes()), Err(Malformed), "{line:?}");
        }
    }

    #[test]
    fn answers_round_trip_and_others_are_malformed() {
        assert_eq!(parse_answer(answer(Ok(())).as_bytes()), Ok(Ok(())));
        for denial in Denial::ALL {
            let line = answer(Err(denial));
            assert!(line.len() <= ANSWER_LIMIT);
            assert_eq!(parse_answer(line.as_bytes()), Ok(Err(denial)));
        }
        for line in [
            "",
            "ok",
            "OK\n",
            "ok\r\n",
            "error\n",
            "error other\n",
            "HTTP/1.1 302 Found\n",
        ] {
            assert_eq!(parse_answer(line.as_bytes()), Err(Malformed), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(line in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Unverified::parse(&line);
            let _ = parse_answer(&line);
        }

        #[test]
        fn a_changed_byte_never_verifies(position in any::<prop::sample::Index>(), flip in 1u8..=255) {
            let mut line = preamble().sign(&key()).into_bytes();
            let position = position.index(line.len());
            line[position] ^= flip;
            let outcome = Unverified::parse(&line)
                .map_err(|_| Denial::Malformed)
                .and_then(|unverified| unverified.verify(&key(), "abcdefghijk1", 4, NOW));
            prop_assert!(outcome.is_err());
        }
    }
}
