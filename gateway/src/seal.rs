//! Sealing what leaves this process, and must be read by nobody but gateways of this site.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;

/// Seals with a key, and opens with those before it too.
#[derive(Clone)]
pub struct Seal {
    /// The one to seal with first.
    keys: Vec<[u8; 32]>,
}

impl Seal {
    /// Seals with the first of `keys`; the others open what they sealed.
    pub fn new(keys: Vec<[u8; 32]>) -> Self {
        Self { keys }
    }

    /// Seals `plain`, bound to `what` it is: a nonce, then AES-256-GCM's output.
    ///
    /// # Errors
    /// When there is no key, or no chance.
    pub fn seal(&self, what: &[u8], mut plain: Vec<u8>) -> Result<Vec<u8>, Unspecified> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, self.keys.first().ok_or(Unspecified)?)?;
        let nonce = key.seal_in_place_append_tag(Aad::from(what), &mut plain)?;
        Ok([nonce.as_ref().as_slice(), &plain].concat())
    }

    /// Opens what was sealed as `what`; `None` when it was not, not with our keys, or was changed.
    pub fn open(&self, what: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        self.keys.iter().find_map(|key| {
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let mut plain = sealed.to_vec();
            let key = RandomizedNonceKey::new(&AES_256_GCM, key).ok()?;
            let length = key
                .open_in_place(nonce, Aad::from(what), &mut plain)
                .ok()?
                .len();
            plain.truncate(length);
            Some(plain)
        })
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Seal").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_opened_as_what_it_is_and_by_who_has_the_key() {
        let (old, new) = ([1; 32], [2; 32]);
        let sealed = Seal::new(vec![old]).seal(b"a", b"plain".to_vec()).unwrap();
        assert!(!sealed.windows(5).any(|part| part == b"plain"));
        let both = Seal::new(vec![new, old]);
        assert_eq!(both.open(b"a", &sealed).as_deref(), Some(&b"plain"[..]));
        assert_eq!(both.open(b"b", &sealed), None, "moved to another place");
        assert_eq!(Seal::new(vec![new]).open(b"a", &sealed), None);
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert_eq!(both.open(b"a", &changed), None, "byte {position}");
            assert_eq!(both.open(b"a", &sealed[..position]), None);
        }
    }
}
