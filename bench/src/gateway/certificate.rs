//! The one certificate that every proxy serves: ECDSA P-256, for all workspaces, signed by an
//! authority that only the benchmark's client trusts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::CertificateDer;

use super::fixture::DOMAIN;

/// Where it is.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// What the client trusts.
    pub(crate) authority: CertificateDer<'static>,
    /// The certificate alone, PEM.
    pub(crate) chain: PathBuf,
    /// Its key, PEM.
    pub(crate) key: PathBuf,
    /// Both in one file, as haproxy wants it.
    pub(crate) both: PathBuf,
}

impl Certificate {
    /// Makes it and writes it to `folder`.
    pub(crate) fn make(folder: &Path) -> anyhow::Result<Self> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let name = &mut authority.distinguished_name;
        name.push(DnType::CommonName, "benchmark authority");
        let authority_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let authority_certificate = authority.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority, authority_key);

        let mut leaf = CertificateParams::new(vec![DOMAIN.to_owned(), format!("*.{DOMAIN}")])?;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let chain = leaf.signed_by(&key, &issuer)?.pem();
        let key = key.serialize_pem();
        let write = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
            let path = folder.join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
            Ok(path)
        };
        Ok(Self {
            authority: authority_certificate.der().clone(),
            chain: write("chain.pem", &chain)?,
            both: write("both.pem", &format!("{chain}{key}"))?,
            key: write("key.pem", &key)?,
        })
    }
}
