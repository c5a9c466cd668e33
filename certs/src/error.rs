//! Why there is no certificate to serve.

use std::io;
use std::path::PathBuf;

use kalpana_domain::Timestamp;

/// Why a certificate could not be read, made or stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that the configuration names is not there.
    #[error("{path} does not exist; {setting} must name a PEM file")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The setting that names it.
        setting: &'static str,
    },
    /// A file or directory could not be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file or directory could not be written.
    #[error("cannot write {path}; check the owner and the mode of its directory")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others may read or change the private key.
    #[error("{path} has mode {mode:04o}, so that others can use the key; run chmod 0600 on it")]
    KeyExposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file holds no certificate.
    #[error("{path} is not a PEM certificate chain")]
    NotACertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file holds no key we can use.
    #[error("{path} is not a PEM private key of a kind that can be used")]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// The key is another certificate's.
    #[error("the key in {key} does not belong to the certificate in {certificate}")]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The certificate's time is over.
    #[error("the certificate in {path} expired at {expired}; replace it")]
    Expired {
        /// The file.
        path: PathBuf,
        /// When.
        expired: Timestamp,
    },
    /// The local authority could not sign.
    #[error("cannot make a certificate")]
    Signing(#[source] rcgen::Error),
    /// The metrics exist already.
    #[error("cannot register the certificate metrics")]
    Metrics(#[source] prometheus::Error),
}

impl Error {
    /// Returns a stable name for it, in snake case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "certificate_file_missing",
            Self::Unreadable { .. } => "certificate_file_unreadable",
            Self::Unwritable { .. } => "certs_storage",
            Self::KeyExposed { .. } => "certificate_key_exposed",
            Self::NotACertificate { .. } => "certificate_file_garbage",
            Self::NotAKey { .. } => "certificate_key_garbage",
            Self::Mismatch { .. } => "certificate_key_mismatch",
            Self::Expired { .. } => "certificate_expired",
            Self::Signing(_) | Self::Metrics(_) => "certs_internal",
        }
    }
}
