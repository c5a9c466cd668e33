//! What every secret here has in common: 256 random bits as text, a hash to keep, and a `Debug`
//! that says nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Length of 256 bits in base64url.
pub(crate) const TEXT_LENGTH: usize = 43;

/// Returns 256 fresh random bits as base64url.
pub(crate) fn random_text() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// Returns the SHA-256 of `bytes`. Enough for a secret of 256 random bits, which nobody can guess;
/// a password needs [`crate::password`].
pub(crate) fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Tells whether `text` is base64url of the length of a secret.
pub(crate) fn is_secret_text(text: &str) -> bool {
    text.len() == TEXT_LENGTH
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Defines a secret that is a prefix and 256 random bits, and never shows itself.
macro_rules! opaque_secret {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(String);

        impl $name {
            /// Draws a new one.
            pub fn generate() -> Self {
                Self(format!(concat!($prefix, "{}"), $crate::secret::random_text()))
            }

            /// Reads one as it came from outside. `None` for every other text.
            pub fn parse(text: &[u8]) -> Option<Self> {
                let text = std::str::from_utf8(text).ok()?;
                let secret = text.strip_prefix($prefix)?;
                $crate::secret::is_secret_text(secret).then(|| Self(text.to_owned()))
            }

            /// Returns the secret, for the one place that hands it to its holder.
            pub fn expose(&self) -> &str {
                &self.0
            }

            /// Returns what the store keeps instead of it.
            pub fn hash(&self) -> [u8; 32] {
                $crate::secret::hash(self.0.as_bytes())
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

pub(crate) use opaque_secret;
