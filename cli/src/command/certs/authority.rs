//! The local authority's certificate, as programs are told to trust it.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use kalpana_config::Site;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Where a site that root runs keeps it, for everybody to read.
const ROOTS_OWN: &str = "/var/lib/kalpana/public/authority.crt";

/// The certificate of an authority.
#[derive(Debug)]
pub(super) struct Authority {
    /// The file it was read from.
    pub(super) path: PathBuf,
    /// As PEM, with nothing else in the text.
    pub(super) pem: String,
    /// As DER.
    pub(super) certificate: CertificateDer<'static>,
    /// Its common name.
    pub(super) name: String,
}

impl Authority {
    /// Reads that of a site: its own, or else that of the site which root runs on this machine.
    ///
    /// # Errors
    /// If there is none, or it is no certificate of an authority.
    pub(super) fn of(site: &Site) -> anyhow::Result<Self> {
        let own = site.authority_certificate();
        let roots = Path::new(ROOTS_OWN);
        if own.exists() || !roots.exists() {
            return Self::read(&own).with_context(|| {
                format!(
                    "this site has no local authority\nhint: the gateway makes it at its first \
                     start, at {}",
                    own.display()
                )
            });
        }
        Self::read(roots)
    }

    /// Reads a PEM file.
    ///
    /// # Errors
    /// If it holds anything but one certificate of an authority.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut found: Vec<_> = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<_, _>>()
            .unwrap_or_default();
        let (Some(certificate), true) = (found.pop(), found.is_empty()) else {
            bail!(
                "{} is not one PEM certificate\nhint: `kalpana certs export-ca` prints the one to \
                 trust",
                path.display()
            );
        };
        let (_, parsed) = X509Certificate::from_der(&certificate)
            .with_context(|| format!("{} is not a certificate", path.display()))?;
        if !parsed.is_ca() {
            bail!(
                "{} is the certificate of a host, not of an authority, so nothing can be trusted by \
                 it\nhint: `kalpana certs export-ca` prints the one to trust",
                path.display()
            );
        }
        let name = parsed.subject().iter_common_name().next();
        let name = name.and_then(|name| name.as_str().ok());
        let name = name.unwrap_or("Kalpana local authority").to_owned();
        let text = String::from_utf8_lossy(&text);
        let begin = text.find("-----BEGIN CERTIFICATE-----").unwrap_or(0);
        let end = "-----END CERTIFICATE-----";
        let length = text[begin..]
            .find(end)
            .map_or(text.len() - begin, |at| at + end.len());
        let pem = format!("{}\n", &text[begin..begin + length]);
        Ok(Self {
            path: path.to_owned(),
            pem,
            certificate,
            name,
        })
    }
}
