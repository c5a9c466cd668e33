//! What an authority is answered when it looks whether a name is ours.
//!
//! An order puts its answers here; the plain listener gives away those of HTTP-01, the resolver
//! those of TLS-ALPN-01. They are there only while the order runs.

use std::fmt;
use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use crate::error::Error;
use crate::shared::{Foreign, SharedAnswer};

/// The protocol that an authority speaks when it looks for a certificate of TLS-ALPN-01 (RFC 8737).
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// Longest token that is looked up. Those of authorities have 43 letters. Unit: bytes.
const TOKEN_LIMIT: usize = 256;

/// Shortest token that other gateways are asked about: RFC 8555 wants 128 bits of chance in it.
const TOKEN_MINIMUM: usize = 22;

/// Most certificates that are kept for orders of other gateways.
const FOREIGN_LIMIT: usize = 64;

/// The answers of all orders that run.
#[derive(Default)]
pub struct Answers {
    http: DashMap<String, String>,
    tls: DashMap<String, Arc<CertifiedKey>>,
    /// Orders that other gateways of the site run, where there are others.
    others: OnceLock<Foreign>,
    foreign_tls: DashMap<String, Arc<CertifiedKey>>,
}

/// One answer. It is taken away when this is dropped.
#[derive(Debug)]
pub(crate) struct Answer {
    answers: Arc<Answers>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Http(String),
    Tls(String),
}

impl Answers {
    /// Returns what stands at `/.well-known/acme-challenge/<token>`; `None` for unknown tokens.
    pub fn http(&self, token: &str) -> Option<String> {
        if token.len() > TOKEN_LIMIT {
            return None;
        }
        self.http.get(token).map(|text| text.clone())
    }

    /// Returns what stands at `/.well-known/acme-challenge/<token>`, or would at the gateway that
    /// orders; `None` for unknown tokens.
    pub async fn find_http(&self, token: &str) -> Option<String> {
        if let Some(text) = self.http(token) {
            return Some(text);
        }
        let is_token = (TOKEN_MINIMUM..=TOKEN_LIMIT).contains(&token.len())
            && token
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        match self.others.get().filter(|_| is_token)?.find(token).await? {
            SharedAnswer::Http { text, .. } => Some(text),
            SharedAnswer::Tls { .. } => None,
        }
    }

    /// Tells whether there may be orders of other gateways, whose answers must be looked for.
    pub fn has_others(&self) -> bool {
        self.others.get().is_some()
    }

    /// Looks what other gateways prove of `host`; [`Answers::tls`] returns it then.
    pub async fn find_tls(&self, host: &str) {
        if self.tls.contains_key(host) {
            return;
        }
        let Some(others) = self.others.get() else {
            return;
        };
        let Some(SharedAnswer::Tls { digest, .. }) = others.find(host).await else {
            self.foreign_tls.remove(host);
            return;
        };
        match certificate(host, &digest) {
            Ok(key) => {
                if self.foreign_tls.len() >= FOREIGN_LIMIT {
                    self.foreign_tls.clear();
                }
                self.foreign_tls.insert(host.to_owned(), key);
            }
            Err(error) => tracing::error!(%error, "cannot prove {host}: {error}"),
        }
    }

    /// Answers for orders that other gateways run, too.
    pub(crate) fn share(&self, others: Foreign) {
        let _ = self.others.set(others);
    }

    /// Returns the certificate that proves `host` to an authority; `None` while none asks.
    pub fn tls(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        let found = self.tls.get(host).or_else(|| self.foreign_tls.get(host));
        found.map(|key| Arc::clone(&key))
    }

    /// Answers for a token of HTTP-01 until the returned value is dropped.
    pub(crate) fn put_http(self: &Arc<Self>, token: &str, text: &str) -> Answer {
        self.http.insert(token.to_owned(), text.to_owned());
        Answer {
            answers: Arc::clone(self),
            place: Place::Http(token.to_owned()),
        }
    }

    /// Answers for a host of TLS-ALPN-01, whose key authorization has the SHA-256 `digest`.
    ///
    /// # Errors
    /// [`Error::Signing`] when no certificate can be made of it.
    pub(crate) fn put_tls(self: &Arc<Self>, host: &str, digest: &[u8]) -> Result<Answer, Error> {
        self.tls.insert(host.to_owned(), certificate(host, digest)?);
        Ok(Answer {
            answers: Arc::clone(self),
            place: Place::Tls(host.to_owned()),
        })
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Answers").finish_non_exhaustive()
    }
}

/// Makes the certificate that shows an authority `digest` (RFC 8737, 3).
fn certificate(host: &str, digest: &[u8]) -> Result<Arc<CertifiedKey>, Error> {
    let key = rcgen::KeyPair::generate().map_err(Error::Signing)?;
    let mut params =
        rcgen::CertificateParams::new(vec![host.to_owned()]).map_err(Error::Signing)?;
    params
        .custom_extensions
        .push(rcgen::CustomExtension::new_acme_identifier(digest));
    let certificate = params.self_signed(&key).map_err(Error::Signing)?;
    let der = PrivateKeyDer::try_from(key.serialize_der())
        .map_err(|_| Error::Signing(rcgen::Error::CouldNotParseKeyPair))?;
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der)
        .map_err(|_| Error::Signing(rcgen::Error::CouldNotParseKeyPair))?;
    // Not by way of rustls's own check, which refuses the critical extension that this certificate
    // is there for.
    let certified = CertifiedKey::new(vec![certificate.der().clone()], signing);
    Ok(Arc::new(certified))
}

impl Drop for Answer {
    fn drop(&mut self) {
        match &self.place {
            Place::Http(token) => drop(self.answers.http.remove(token)),
            Place::Tls(host) => drop(self.answers.tls.remove(host)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_there_as_long_as_its_order() {
        let answers = Arc::new(Answers::default());
        let http = answers.put_http("token", "token.thumb");
        let tls = answers
            .put_tls("a.example.test", &[7; 32])
            .expect("a certificate");
        assert_eq!(answers.http("token").as_deref(), Some("token.thumb"));
        assert!(answers.tls("a.example.test").is_some());
        assert!(answers.tls("b.example.test").is_none());
        assert!(answers.http(&"x".repeat(TOKEN_LIMIT + 1)).is_none());
        drop((http, tls));
        assert!(answers.http("token").is_none());
        assert!(answers.tls("a.example.test").is_none());
    }
}
