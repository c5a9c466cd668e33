//! Who may speak on an internal socket.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

/// A secret that `kalpana up` draws at each start and hands to its children, for sites where all
/// roles run as one user and the peer's uid alone proves too little.
#[derive(Clone, PartialEq, Eq)]
pub struct InternalToken(String);

impl InternalToken {
    /// Name of the variable by which children receive it.
    pub const VARIABLE: &str = "KALPANA_INTERNAL_TOKEN";

    /// Draws a fresh token of 256 bits.
    pub fn generate() -> Self {
        Self(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
    }

    /// Takes a token that was handed over. `None` unless it looks like one.
    pub fn from_text(text: &str) -> Option<Self> {
        let is_whole = URL_SAFE_NO_PAD
            .decode(text)
            .is_ok_and(|bytes| bytes.len() == 32);
        is_whole.then(|| Self(text.to_owned()))
    }

    /// Returns the text, for a child's environment or a header.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares in constant time with what a peer sent.
    fn is(&self, presented: &str) -> bool {
        self.0.as_bytes().ct_eq(presented.as_bytes()).into()
    }
}

impl fmt::Debug for InternalToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("InternalToken(…)")
    }
}

/// Who may call.
#[derive(Debug, Clone)]
pub struct PeerPolicy {
    /// User ids of the processes that may call.
    pub allowed_uids: Vec<u32>,
    /// A token that calls must carry as well.
    pub token: Option<InternalToken>,
}

impl PeerPolicy {
    /// Lets in processes of this process's own user only.
    pub fn same_user(token: Option<InternalToken>) -> Self {
        Self {
            allowed_uids: vec![rustix::process::geteuid().as_raw()],
            token,
        }
    }

    /// Tells whether a peer's user id is allowed.
    pub fn admits(&self, uid: u32) -> bool {
        self.allowed_uids.contains(&uid)
    }

    /// Tells whether an `Authorization` header value is what the policy asks for.
    pub fn accepts(&self, authorization: Option<&str>) -> bool {
        match &self.token {
            None => true,
            Some(token) => authorization
                .and_then(|value| value.strip_prefix("Bearer "))
                .is_some_and(|presented| token.is(presented)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_asked_for_only_where_there_is_one() {
        let token = InternalToken::generate();
        let policy = PeerPolicy::same_user(Some(token.clone()));
        assert!(policy.accepts(Some(&format!("Bearer {}", token.expose()))));
        for wrong in [
            None,
            Some(""),
            Some("Bearer "),
            Some(token.expose()),
            Some("Bearer x"),
        ] {
            assert!(!policy.accepts(wrong), "{wrong:?}");
        }
        assert!(PeerPolicy::same_user(None).accepts(None));
    }

    #[test]
    fn a_token_never_shows_in_debug_output() {
        let token = InternalToken::generate();
        assert!(!format!("{token:?}").contains(token.expose()));
        assert_eq!(InternalToken::from_text(token.expose()), Some(token));
        assert_eq!(InternalToken::from_text("short"), None);
    }
}
