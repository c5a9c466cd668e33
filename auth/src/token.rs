//! API tokens: `kp_<token id, 32 hex>_<secret, 43 base64url>_<crc32, 8 hex>`.
//!
//! The id finds the row without a secret in an index, the checksum tells a typing error from a
//! guess before the store is asked, and the fixed form lets secret scanners find a leaked one.

use std::time::Duration;

use kalpana_domain::id::TokenId;
use kalpana_domain::user::Scope;
use subtle::ConstantTimeEq;

use crate::secret;

const PREFIX: &str = "kp_";
const ID_LENGTH: usize = 32;
const CHECKSUM_LENGTH: usize = 8;
const LENGTH: usize = PREFIX.len() + ID_LENGTH + 1 + secret::TEXT_LENGTH + 1 + CHECKSUM_LENGTH;

/// A token's whole text. Shown once, then known to its holder only.
#[derive(Clone)]
pub struct TokenText {
    id: TokenId,
    text: String,
}

impl TokenText {
    /// Draws a secret for the token `id`.
    pub fn generate(id: TokenId) -> Self {
        let hex: String = id
            .as_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let body = format!("{PREFIX}{hex}_{}", secret::random_text());
        let checksum = crc32fast::hash(body.as_bytes());
        Self {
            id,
            text: format!("{body}_{checksum:08x}"),
        }
    }

    /// Reads a token as it came from outside. `None` for every text that is none.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != LENGTH || !text.is_ascii() {
            return None;
        }
        let (body, checksum) = text.split_at_checked(LENGTH - CHECKSUM_LENGTH - 1)?;
        let expected = format!("_{:08x}", crc32fast::hash(body.as_bytes()));
        let (id, secret) = body.strip_prefix(PREFIX)?.split_at_checked(ID_LENGTH)?;
        let secret = secret.strip_prefix('_')?;
        let is_legal = checksum == expected && secret::is_secret_text(secret);
        let id = is_legal.then(|| parse_id(id)).flatten()?;
        Some(Self {
            id,
            text: text.to_owned(),
        })
    }

    /// Returns which token it is.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// Returns the text, for the one place that hands it to its holder.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Returns what the store keeps instead of the secret.
    pub fn hash(&self) -> [u8; 32] {
        let start = PREFIX.len() + ID_LENGTH + 1;
        secret::hash(&self.text.as_bytes()[start..start + secret::TEXT_LENGTH])
    }

    /// Tells whether the stored hash is this token's, in constant time.
    pub fn has_hash(&self, stored: &[u8; 32]) -> bool {
        self.hash().ct_eq(stored).into()
    }
}

impl std::fmt::Debug for TokenText {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TokenText")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

fn parse_id(hex: &str) -> Option<TokenId> {
    let is_canonical = hex
        .bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let number = is_canonical
        .then(|| u128::from_str_radix(hex, 16).ok())
        .flatten()?;
    Some(TokenId::from_bytes(number.to_be_bytes()))
}

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What its maker calls it: 1 to 100 characters without control characters.
    pub name: String,
    /// What it may be used for; at least one.
    pub scopes: Vec<Scope>,
    /// How long it lasts; the site's default when absent.
    pub lifetime: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_read_back_and_never_shows() {
        let id = TokenId::generate();
        let token = TokenText::generate(id);
        let read = TokenText::parse(token.expose()).expect("own");
        assert_eq!((read.id(), read.hash()), (id, token.hash()));
        assert!(read.has_hash(&token.hash()));
        assert!(!read.has_hash(&TokenText::generate(id).hash()));
        assert!(!format!("{token:?}").contains(&token.expose()[36..79]));
    }

    #[test]
    fn the_form_is_fixed() {
        let text = TokenText::generate(TokenId::from_bytes([0xab; 16]))
            .expose()
            .to_owned();
        assert_eq!(text.len(), 88);
        assert!(text.starts_with(&format!("kp_{}_", "ab".repeat(16))));
        for other in [
            "",
            "kp_",
            &text[1..],
            &text[..87],
            &format!("{text}0"),
            &text.to_uppercase(),
            &"é".repeat(44),
        ] {
            assert!(TokenText::parse(other).is_none(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_typing_error_is_found(position in 0..LENGTH, replacement in "[A-Za-z0-9_-]") {
            let text = TokenText::generate(TokenId::generate()).expose().to_owned();
            let changed = format!("{}{replacement}{}", &text[..position], &text[position + 1..]);
            prop_assume!(changed != text);
            prop_assert!(TokenText::parse(&changed).is_none());
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".{0,100}", tail in "\\PC{88}") {
            let _ = TokenText::parse(&text);
            let _ = TokenText::parse(&format!("kp_{tail}"));
        }
    }
}
