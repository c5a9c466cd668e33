//! What an authority is answered when it looks whether a name is ours.
//!
//! An order puts its answers here; the plain listener gives away those of HTTP-01, the resolver
//! those of TLS-ALPN-01. They are there only while the order runs.

use std::sync::Arc;

use dashmap::DashMap;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use crate::error::Error;

/// The protocol that an authority speaks when it looks for a certificate of TLS-ALPN-01 (RFC 8737).
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// Longest token that is looked up. Those of authorities have 43 letters. Unit: bytes.
const TOKEN_LIMIT: usize = 256;

/// The answers of all orders that run.
#[derive(Debug, Default)]
pub struct Answers {
    http: DashMap<String, String>,
    tls: DashMap<String, Arc<CertifiedKey>>,
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

    /// Returns the certificate that proves `host` to an authority; `None` while none asks.
    pub fn tls(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        self.tls.get(host).map(|key| Arc::clone(&key))
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
        // Not by way of rustls's own check, which refuses the critical extension that this
        // certificate is there for.
        let certified = CertifiedKey::new(vec![certificate.der().clone()], signing);
        self.tls.insert(host.to_owned(), Arc::new(certified));
        Ok(Answer {
            answers: Arc::clone(self),
            place: Place::Tls(host.to_owned()),
        })
    }
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
