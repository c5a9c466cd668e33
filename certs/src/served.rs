//! A certificate as it is shown to clients, with what is known about it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use kalpana_domain::Timestamp;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::error::Error;

/// A certificate chain with its key, ready to serve.
#[derive(Clone)]
pub struct Served {
    /// What rustls shows and signs with.
    pub key: Arc<CertifiedKey>,
    /// The DNS names it is good for, wildcards among them, in lower case.
    pub names: Vec<String>,
    /// From when it is good.
    pub not_before: Timestamp,
    /// Until when it is good.
    pub not_after: Timestamp,
    /// Common name of who signed it, or the whole name where there is no common one.
    pub issuer: String,
    /// Serial number, in hex.
    pub serial: String,
    /// SHA-256 of the leaf, in hex.
    pub fingerprint: String,
    /// Whether each certificate of the chain was signed by the next one, by their names.
    pub is_in_order: bool,
    /// Until when the local authority that signed it is good, where one did.
    pub authority_not_after: Option<Timestamp>,
}

impl Served {
    /// Puts a chain and its key together. The paths are for messages.
    ///
    /// # Errors
    /// [`Error::NotACertificate`], [`Error::NotAKey`] or [`Error::Mismatch`].
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'static>,
        certificate_path: &Path,
        key_path: &Path,
    ) -> Result<Self, Error> {
        let unreadable = || Error::NotACertificate {
            path: certificate_path.to_owned(),
        };
        let facts = Facts::read(chain.first().ok_or_else(unreadable)?).ok_or_else(unreadable)?;
        let signing_key =
            rustls::crypto::aws_lc_rs::sign::any_supported_type(key).map_err(|_| {
                Error::NotAKey {
                    path: key_path.to_owned(),
                }
            })?;
        let fingerprint = hex(&Sha256::digest(&chain[0]));
        let is_in_order = chain.windows(2).all(|pair| signed_by(&pair[0], &pair[1]));
        let certified = CertifiedKey::new(chain, signing_key);
        certified.keys_match().map_err(|_| Error::Mismatch {
            certificate: certificate_path.to_owned(),
            key: key_path.to_owned(),
        })?;
        Ok(Self {
            key: Arc::new(certified),
            names: facts.names,
            not_before: facts.not_before,
            not_after: facts.not_after,
            issuer: facts.issuer,
            serial: facts.serial,
            fingerprint,
            is_in_order,
            authority_not_after: None,
        })
    }

    /// Returns when two thirds of the lifetime are over, which is when the local authority signs a
    /// new one.
    pub fn due_at(&self) -> Timestamp {
        let (start, end) = (self.not_before.as_second(), self.not_after.as_second());
        Timestamp::from_second(start + (end - start) / 3 * 2).unwrap_or(self.not_after)
    }

    /// Returns the certificate itself, without the chain above it.
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.key.cert[0]
    }

    /// Tells whether this names every one of `names`, by itself or by a wildcard.
    pub fn covers(&self, names: &[String]) -> bool {
        names.iter().all(|name| {
            let wildcard = name
                .split_once('.')
                .map(|(_, parent)| format!("*.{parent}"));
            self.names.contains(name) || wildcard.is_some_and(|name| self.names.contains(&name))
        })
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Served")
            .field("names", &self.names)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// What is read out of a certificate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) names: Vec<String>,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) issuer: String,
    pub(crate) serial: String,
    /// Domains that an authority is limited to.
    pub(crate) permitted: Vec<String>,
}

impl Facts {
    /// Reads a DER certificate; `None` when it is none.
    pub(crate) fn read(certificate: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let validity = parsed.validity();
        let names = match parsed.subject_alternative_name().ok()? {
            None => Vec::new(),
            Some(extension) => dns_names(extension.value.general_names.iter()),
        };
        let permitted = match parsed.name_constraints().ok()? {
            None => Vec::new(),
            Some(extension) => {
                let subtrees = extension.value.permitted_subtrees.iter().flatten();
                dns_names(subtrees.map(|subtree| &subtree.base))
            }
        };
        let common_name = parsed.issuer().iter_common_name().next();
        let common_name = common_name.and_then(|name| name.as_str().ok());
        Some(Self {
            names,
            issuer: common_name.map_or_else(|| parsed.issuer().to_string(), ToOwned::to_owned),
            serial: hex(parsed.raw_serial()),
            not_before: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
            not_after: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
            permitted,
        })
    }
}

/// Tells whether `lower` names `upper` as who signed it.
fn signed_by(lower: &[u8], upper: &[u8]) -> bool {
    let parsed = |der| {
        X509Certificate::from_der(der)
            .ok()
            .map(|(_, parsed)| parsed)
    };
    parsed(lower)
        .zip(parsed(upper))
        .is_some_and(|(lower, upper)| lower.issuer().as_raw() == upper.subject().as_raw())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn dns_names<'a>(names: impl Iterator<Item = &'a GeneralName<'a>>) -> Vec<String> {
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}
