//! The single-use ticket that carries a sign-in from the base domain to a workspace host.
//!
//! PASETO v4.public: Ed25519 with no algorithm field to confuse. `web` signs, the gateway verifies
//! with public keys only, so a gateway cannot make one. A ticket is for one host, one browser (by
//! its nonce's hash, [`crate::nonce`]) and one use within a minute.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kalpana_domain::Timestamp;
use kalpana_domain::id::{Generation, SessionId, WorkspaceId};
use kalpana_domain::sharing::{Right, SharingLevel};
use pasetors::Public;
use pasetors::keys::{AsymmetricKeyPair, AsymmetricPublicKey, AsymmetricSecretKey, Generate};
use pasetors::paserk::FormatAsPaserk;
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
use serde::{Deserialize, Serialize};

use crate::key_file::{self, KeyFileError};

/// How long a ticket may be used.
pub const LIFETIME: Duration = Duration::from_secs(60);

/// How far ahead the signer's clock may be. Never makes a ticket live longer.
const SKEW: Duration = Duration::from_secs(30);

/// Longest ticket looked at. Unit: bytes.
const TEXT_LIMIT: usize = 2048;

/// Signed along but never sent: a signature made for another purpose is no ticket.
const PURPOSE: &[u8] = b"kalpana workspace ticket 2";

/// What a ticket lets its bearer do: visit one host, by one right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The host, as browsers write it, with its port.
    pub audience: String,
    /// Hash of the nonce in the browser that asked.
    pub rid: String,
    /// Who, and by what right.
    pub right: Right,
    /// Their control session; for somebody with a link, who has none, one of this visit.
    pub session: SessionId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The workspace's incarnation when the ticket was made.
    pub generation: Generation,
}

/// Names one ticket, so that it is used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TicketId([u8; 16]);

/// A ticket whose signature, host and time are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// What it is for.
    pub grant: Grant,
    /// Its name.
    pub id: TicketId,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it is worth nothing any more.
    pub expires_at: Timestamp,
}

/// Why a ticket was not made, or is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// A public key does not have the form of one.
    #[error("malformed public key")]
    Key,
    /// The ticket could not be signed.
    #[error("the ticket could not be signed")]
    Sign,
    /// It does not have the form of a ticket.
    #[error("malformed ticket")]
    Malformed,
    /// No known key made it.
    #[error("forged ticket")]
    Forged,
    /// It is for another host.
    #[error("ticket for another host")]
    OtherHost,
    /// It is over, or not yet begun.
    #[error("ticket out of its time")]
    Expired,
    /// It was used before.
    #[error("ticket used before")]
    Replayed,
}

/// The signed text. Field names are PASETO's where it has one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    aud: String,
    rid: String,
    lvl: SharingLevel,
    sub: String,
    sid: SessionId,
    wid: WorkspaceId,
    r#gen: Generation,
    jti: String,
    iat: Timestamp,
    exp: Timestamp,
}

/// Makes tickets. Only `web` has one.
pub struct TicketSigner {
    secret: AsymmetricSecretKey<V4>,
    public: String,
}

impl TicketSigner {
    /// Reads the key from `path`, or makes one there.
    ///
    /// # Errors
    /// [`KeyFileError`] when the file cannot be used.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        let malformed = || KeyFileError::Malformed {
            path: path.to_owned(),
        };
        let text = key_file::load_or_create(path, || {
            let pair = AsymmetricKeyPair::<V4>::generate().ok();
            pair.and_then(|pair| to_paserk(&pair.secret))
                .unwrap_or_default()
        })?;
        let secret =
            AsymmetricSecretKey::<V4>::try_from(text.trim_end()).map_err(|_| malformed())?;
        let public = AsymmetricPublicKey::<V4>::try_from(&secret).map_err(|_| malformed())?;
        let public = to_paserk(&public).ok_or_else(malformed)?;
        Ok(Self { secret, public })
    }

    /// Returns the public key as PASERK, `k4.public.…`.
    pub fn public_key(&self) -> &str {
        &self.public
    }

    /// Makes a ticket that can be used until [`LIFETIME`] after `now`.
    ///
    /// # Errors
    /// [`TicketError::Sign`] when signing fails.
    pub fn sign(&self, grant: &Grant, now: Timestamp) -> Result<String, TicketError> {
        let claims = Claims {
            aud: grant.audience.clone(),
            rid: grant.rid.clone(),
            lvl: grant.right.level(),
            sub: URL_SAFE_NO_PAD.encode(grant.right.subject()),
            sid: grant.session,
            wid: grant.workspace,
            r#gen: grant.generation,
            jti: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()),
            iat: now,
            exp: now.checked_add(LIFETIME).map_err(|_| TicketError::Sign)?,
        };
        let message = serde_json::to_vec(&claims).map_err(|_| TicketError::Sign)?;
        PublicToken::sign(&self.secret, &message, None, Some(PURPOSE))
            .map_err(|_| TicketError::Sign)
    }
}

impl std::fmt::Debug for TicketSigner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TicketSigner")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

fn to_paserk(key: &impl FormatAsPaserk) -> Option<String> {
    let mut text = String::new();
    key.fmt(&mut text).ok()?;
    Some(text)
}

/// Checks tickets against the keys that are in use: during a rotation there are two.
#[derive(Debug, Clone)]
pub struct TicketVerifier {
    keys: Vec<AsymmetricPublicKey<V4>>,
}

impl TicketVerifier {
    /// Makes a verifier of PASERK public keys.
    ///
    /// # Errors
    /// [`TicketError::Key`] when one of them is none.
    pub fn new<S: AsRef<str>>(public_keys: &[S]) -> Result<Self, TicketError> {
        let keys = public_keys
            .iter()
            .map(|key| AsymmetricPublicKey::try_from(key.as_ref()).map_err(|_| TicketError::Key));
        Ok(Self {
            keys: keys.collect::<Result<_, _>>()?,
        })
    }

    /// Checks a ticket that arrived at the host `audience`. The caller goes on to compare its
    /// generation, its rid and, with [`UsedTickets`], whether it is the first use.
    ///
    /// # Errors
    /// [`TicketError`] says why it is refused.
    pub fn verify(
        &self,
        text: &str,
        audience: &str,
        now: Timestamp,
    ) -> Result<Ticket, TicketError> {
        if text.len() > TEXT_LIMIT {
            return Err(TicketError::Malformed);
        }
        let token =
            UntrustedToken::<Public, V4>::try_from(text).map_err(|_| TicketError::Malformed)?;
        let payload = self
            .keys
            .iter()
            .find_map(|key| PublicToken::verify(key, &token, None, Some(PURPOSE)).ok())
            .ok_or(TicketError::Forged)?;
        let claims: Claims =
            serde_json::from_str(payload.payload()).map_err(|_| TicketError::Malformed)?;
        let ticket = claims.into_ticket().ok_or(TicketError::Malformed)?;
        if ticket.grant.audience != audience {
            return Err(TicketError::OtherHost);
        }
        let lifetime = ticket.expires_at.duration_since(ticket.issued_at);
        let is_timely = now < ticket.expires_at
            && ticket.issued_at.duration_since(now) <= signed(SKEW)
            && lifetime <= signed(LIFETIME);
        if is_timely {
            Ok(ticket)
        } else {
            Err(TicketError::Expired)
        }
    }
}

fn signed(duration: Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::from_secs(duration.as_secs().cast_signed())
}

impl Claims {
    fn into_ticket(self) -> Option<Ticket> {
        let id = URL_SAFE_NO_PAD.decode(&self.jti).ok()?.try_into().ok()?;
        let subject = URL_SAFE_NO_PAD.decode(&self.sub).ok()?.try_into().ok()?;
        let grant = Grant {
            audience: self.aud,
            rid: self.rid,
            right: Right::from_parts(self.lvl, subject)?,
            session: self.sid,
            workspace: self.wid,
            generation: self.r#gen,
        };
        Some(Ticket {
            grant,
            id: TicketId(id),
            issued_at: self.iat,
            expires_at: self.exp,
        })
    }
}

/// Remembers which tickets have been used, for as long as they could be used again.
#[derive(Debug, Default)]
pub struct UsedTickets(Mutex<HashMap<TicketId, Timestamp>>);

impl UsedTickets {
    /// Most tickets remembered. When so many are alive at once, further ones are refused: a replay
    /// must never pass because there was no room to remember it.
    const LIMIT: usize = 65_536;

    /// Marks a ticket as used.
    ///
    /// # Errors
    /// [`TicketError::Replayed`] when it was used before.
    pub fn consume(&self, ticket: &Ticket, now: Timestamp) -> Result<(), TicketError> {
        let mut used = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if used.len() >= Self::LIMIT {
            used.retain(|_, expires_at| now < *expires_at);
        }
        if used.len() >= Self::LIMIT || used.contains_key(&ticket.id) {
            return Err(TicketError::Replayed);
        }
        used.insert(ticket.id, ticket.expires_at);
        Ok(())
    }

    /// Lists the tickets that were used and could be used again, for a process that takes over.
    pub fn list(&self, now: Timestamp) -> Vec<UsedTicket> {
        let used = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        used.iter()
            .filter(|(_, expires_at)| now < **expires_at)
            .map(|(id, expires_at)| UsedTicket {
                id: id.0,
                expires_at: *expires_at,
            })
            .collect()
    }

    /// Remembers what a process before this one listed.
    pub fn remember(&self, listed: Vec<UsedTicket>) {
        let mut used = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        used.extend(
            listed
                .into_iter()
                .map(|ticket| (TicketId(ticket.id), ticket.expires_at)),
        );
    }
}

/// A ticket that was used, as one process tells it another.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UsedTicket {
    id: [u8; 16],
    expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use kalpana_domain::id::{LinkId, UserId};
    use proptest::prelude::*;

    use super::*;

    const HOST: &str = "abcdefghij01.kalpana.localhost:8443";

    fn signer() -> (tempfile::TempDir, TicketSigner) {
        let directory = tempfile::tempdir().expect("temporary directory");
        let signer =
            TicketSigner::load_or_create(&directory.path().join("ticket.key")).expect("made");
        (directory, signer)
    }

    fn grant() -> Grant {
        Grant {
            audience: HOST.to_owned(),
            rid: crate::nonce::Nonce::generate().rid(),
            right: Right::Owner(UserId::generate()),
            session: SessionId::generate(),
            workspace: WorkspaceId::parse("abcdefghij01").expect("legal"),
            generation: Generation(4),
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("in range")
    }

    fn at(seconds: i64) -> Timestamp {
        now() + jiff::SignedDuration::from_secs(seconds)
    }

    #[test]
    fn a_ticket_is_valid_for_its_host_for_a_minute() {
        let (_directory, signer) = signer();
        let verifier = TicketVerifier::new(&[signer.public_key()]).expect("own key");
        let grant = grant();
        let text = signer.sign(&grant, now()).expect("signed");
        let ticket = verifier.verify(&text, HOST, at(59)).expect("valid");
        assert_eq!(
            (ticket.grant, ticket.issued_at, ticket.expires_at),
            (grant, now(), at(60))
        );
        assert_eq!(
            verifier.verify(&text, HOST, at(60)),
            Err(TicketError::Expired)
        );
        assert_eq!(
            verifier.verify(&text, HOST, at(61)),
            Err(TicketError::Expired)
        );
        assert_eq!(
            verifier.verify(&text, "zbcdefghij01.kalpana.localhost:8443", now()),
            Err(TicketError::OtherHost)
        );
    }

    #[test]
    fn every_right_arrives_as_it_was_signed() {
        let (_directory, signer) = signer();
        let verifier = TicketVerifier::new(&[signer.public_key()]).expect("own key");
        let user = UserId::generate();
        for right in [
            Right::Owner(user),
            Right::Member(user),
            Right::Organization(user),
            Right::Link(LinkId::generate()),
        ] {
            let grant = Grant { right, ..grant() };
            let text = signer.sign(&grant, now()).expect("signed");
            let ticket = verifier.verify(&text, HOST, now()).expect("valid");
            assert_eq!(ticket.grant, grant);
        }
    }

    #[test]
    fn a_clock_may_be_ahead_by_half_a_minute() {
        let (_directory, signer) = signer();
        let verifier = TicketVerifier::new(&[signer.public_key()]).expect("own key");
        let text = signer.sign(&grant(), now()).expect("signed");
        assert!(verifier.verify(&text, HOST, at(-30)).is_ok());
        assert_eq!(
            verifier.verify(&text, HOST, at(-31)),
            Err(TicketError::Expired)
        );
    }

    #[test]
    fn a_ticket_is_used_once() {
        let (_directory, signer) = signer();
        let verifier = TicketVerifier::new(&[signer.public_key()]).expect("own key");
        let used = UsedTickets::default();
        for _ in 0..2 {
            let text = signer.sign(&grant(), now()).expect("signed");
            let ticket = verifier.verify(&text, HOST, now()).expect("valid");
            assert_eq!(used.consume(&ticket, now()), Ok(()));
            assert_eq!(used.consume(&ticket, at(30)), Err(TicketError::Replayed));
        }
    }

    #[test]
    fn the_memory_of_used_tickets_is_bounded() {
        let used = UsedTickets::default();
        let id = |number: usize| TicketId((number as u128).to_be_bytes());
        for number in 0..UsedTickets::LIMIT {
            used.0
                .lock()
                .expect("not poisoned")
                .insert(id(number), at(60));
        }
        let next = Ticket {
            grant: grant(),
            id: id(UsedTickets::LIMIT),
            issued_at: now(),
            expires_at: at(120),
        };
        assert_eq!(used.consume(&next, at(1)), Err(TicketError::Replayed));
        assert_eq!(used.consume(&next, at(60)), Ok(()));
        assert_eq!(used.0.lock().expect("not poisoned").len(), 1);
    }

    #[test]
    fn several_keys_are_accepted_and_others_are_not() {
        let ((_one, first), (_two, second)) = (signer(), signer());
        let text = second.sign(&grant(), now()).expect("signed");
        let both = TicketVerifier::new(&[first.public_key(), second.public_key()]).expect("keys");
        assert!(both.verify(&text, HOST, now()).is_ok());
        let only_first = TicketVerifier::new(&[first.public_key()]).expect("key");
        assert_eq!(
            only_first.verify(&text, HOST, now()),
            Err(TicketError::Forged)
        );
        let none = TicketVerifier::new::<&str>(&[]).expect("no keys");
        assert_eq!(none.verify(&text, HOST, now()), Err(TicketError::Forged));
        assert_eq!(
            TicketVerifier::new(&["k4.public.AAAA"]).err(),
            Some(TicketError::Key)
        );
    }

    #[test]
    fn a_signature_for_another_purpose_is_no_ticket() {
        let (_directory, signer) = signer();
        let verifier = TicketVerifier::new(&[signer.public_key()]).expect("own key");
        let other = PublicToken::sign(&signer.secret, b"{}", None, None).expect("signed");
        assert_eq!(
            verifier.verify(&other, HOST, now()),
            Err(TicketError::Forged)
        );
    }

    #[test]
    fn the_key_survives_a_restart_and_never_shows() {
        let (directory, signer) = signer();
        let path = directory.path().join("ticket.key");
        let again = TicketSigner::load_or_create(&path).expect("read");
        assert_eq!(again.public_key(), signer.public_key());
        let secret = std::fs::read_to_string(&path).expect("text");
        assert!(secret.starts_with("k4.secret."));
        assert!(!format!("{signer:?}").contains(secret.trim_start_matches("k4.secret.")));
        key_file::replace(&path, "k4.secret.AAAA").expect("written");
        let error = TicketSigner::load_or_create(&path).expect_err("refused");
        assert!(matches!(error, KeyFileError::Malformed { .. }));
    }

    #[test]
    fn other_texts_are_malformed() {
        let (_directory, signer) = signer();
        let verifier = TicketVerifier::new(&[signer.public_key()]).expect("own key");
        let long = format!("v4.public.{}", "A".repeat(4096));
        for text in [
            "",
            "v4.public.",
            "v4.public.AAAA",
            "v4.local.AAAA",
            "v2.public.AAAA",
            &long,
        ] {
            assert_eq!(
                verifier.verify(text, HOST, now()),
                Err(TicketError::Malformed),
                "{text}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_changed_character_is_refused(position: proptest::sample::Index, replacement in "[A-Za-z0-9_.-]") {
            let (_directory, signer) = signer();
            let verifier = TicketVerifier::new(&[signer.public_key()]).expect("own key");
            let text = signer.sign(&grant(), now()).expect("signed");
            let at = position.index(text.len());
            let changed = format!("{}{replacement}{}", &text[..at], &text[at + 1..]);
            prop_assume!(changed != text);
            prop_assert!(verifier.verify(&changed, HOST, now()).is_err());
        }
    }
}
