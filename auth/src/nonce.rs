//! The nonces that tie a ticket to the browser that asked for it.
//!
//! A workspace host that needs a sign-in sets a nonce in its own `__Host-kwn` cookie and sends only
//! the nonce's hash, the *rid*, along. The ticket that comes back names the rid, and is worth
//! nothing in a browser without the nonce.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::secret;

/// 128 random bits as 22 characters of base64url.
#[derive(Clone, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// Length in characters.
    const LENGTH: usize = 22;

    /// Draws a new nonce.
    pub fn generate() -> Self {
        Self(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()))
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let is_legal = text.len() == Self::LENGTH
            && text
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
        let text = std::str::from_utf8(text).ok()?;
        is_legal.then(|| Self(text.to_owned()))
    }

    /// Returns the nonce as it stands in the cookie.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the rid: SHA-256 of the nonce's characters, as 43 characters of base64url.
    pub fn rid(&self) -> String {
        URL_SAFE_NO_PAD.encode(secret::hash(self.0.as_bytes()))
    }
}

impl std::fmt::Debug for Nonce {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Nonce(…)")
    }
}

/// Tells whether `text` has the form of a rid.
pub fn is_rid(text: &str) -> bool {
    secret::is_secret_text(text)
}

/// The nonces of one browser on one workspace host, oldest first: one per tab that is signing in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nonces(Vec<Nonce>);

impl Nonces {
    /// Most nonces kept: the oldest gives way.
    pub const LIMIT: usize = 4;

    /// How long the cookie lives after its latest nonce.
    pub const LIFETIME: Duration = Duration::from_secs(120);

    /// Reads the cookie's value. What is no nonce is left out.
    pub fn parse(value: &[u8]) -> Self {
        let nonces = value.split(|byte| *byte == b'.').filter_map(Nonce::parse);
        Self(nonces.take(Self::LIMIT).collect())
    }

    /// Adds a nonce.
    pub fn add(&mut self, nonce: Nonce) {
        self.0.push(nonce);
        let excess = self.0.len().saturating_sub(Self::LIMIT);
        self.0.drain(..excess);
    }

    /// Tells whether one of the nonces has this rid.
    pub fn contains(&self, rid: &str) -> bool {
        self.0.iter().any(|nonce| has_rid(nonce, rid))
    }

    /// Removes the nonce with this rid. Returns whether there was one.
    pub fn remove(&mut self, rid: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|nonce| !has_rid(nonce, rid));
        self.0.len() < before
    }

    /// Returns the cookie's value; `None` when the cookie should be cleared.
    pub fn to_value(&self) -> Option<String> {
        let texts: Vec<_> = self.0.iter().map(Nonce::as_str).collect();
        (!texts.is_empty()).then(|| texts.join("."))
    }
}

fn has_rid(nonce: &Nonce, rid: &str) -> bool {
    nonce.rid().as_bytes().ct_eq(rid.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_four_are_kept_and_read_back() {
        let drawn: Vec<Nonce> = (0..6).map(|_| Nonce::generate()).collect();
        let mut nonces = Nonces::default();
        for nonce in &drawn {
            nonces.add(nonce.clone());
        }
        let value = nonces.to_value().expect("not empty");
        let mut read = Nonces::parse(value.as_bytes());
        assert_eq!(read, nonces);
        assert!(!read.contains(&drawn[1].rid()));
        assert!(read.remove(&drawn[2].rid()));
        assert!(!read.remove(&drawn[2].rid()));
        assert!(read.contains(&drawn[5].rid()));
    }

    #[test]
    fn what_is_no_nonce_is_left_out() {
        let nonce = Nonce::generate();
        let value = format!("..x.{}.\u{2000}.{}", nonce.as_str(), "a".repeat(4000));
        let nonces = Nonces::parse(value.as_bytes());
        assert_eq!(nonces.to_value().as_deref(), Some(nonce.as_str()));
        assert_eq!(Nonces::parse(b"").to_value(), None);
        assert!(is_rid(&nonce.rid()) && !is_rid(nonce.as_str()));
    }
}
