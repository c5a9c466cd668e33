//! The sessions of the peers: JSON web tokens signed with HMAC-SHA256, the one kind that proxies
//! can check by themselves. They say what ours says: which workspace, whose, until when.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// The key, which is in the peers' configuration too.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The cookie that carries it.
pub(crate) const COOKIE: &str = "session";

/// Who issues it: Envoy insists on one.
pub(crate) const ISSUER: &str = "bench";

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

#[derive(Serialize, Deserialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    exp: i64,
}

/// Returns a token for `subject` that is good until `expires`, in seconds since 1970.
pub(crate) fn sign(subject: &str, expires: i64) -> String {
    let claims = Claims {
        iss: ISSUER,
        sub: subject,
        exp: expires,
    };
    let claims = serde_json::to_vec(&claims).expect("plain data");
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(HEADER),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let mac = mac(&signed).finalize().into_bytes();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac))
}

/// Tells whether a token is ours, for `subject`, and good at `now`.
pub(crate) fn verify(token: &str, subject: &str, now: i64) -> bool {
    let judge = || {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        mac(signed).verify_slice(&signature).ok()?;
        if URL_SAFE_NO_PAD.decode(header).ok()? != HEADER.as_bytes() {
            return None;
        }
        let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
        let claims: Claims<'_> = serde_json::from_slice(&claims).ok()?;
        Some(claims.sub == subject && claims.exp > now)
    };
    judge() == Some(true)
}

fn mac(signed: &str) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length will do");
    mac.chain_update(signed.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_subject_until_it_expires() {
        let token = sign("w1 ada", 1000);
        assert!(verify(&token, "w1 ada", 999));
        assert!(!verify(&token, "w2 ada", 999));
        assert!(!verify(&token, "w1 ada", 1000));
    }

    #[test]
    fn what_was_altered_is_refused() {
        let token = sign("w1 ada", 1000);
        let other = sign("w2 ada", 1000);
        let (claims, _) = token.rsplit_once('.').unwrap();
        let (_, signature) = other.rsplit_once('.').unwrap();
        for wrong in [
            "",
            ".",
            "..",
            &token[1..],
            &format!("{claims}.{signature}"),
            &format!("{token}x"),
        ] {
            assert!(!verify(wrong, "w1 ada", 0), "{wrong}");
        }
    }
}
