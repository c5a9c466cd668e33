//! Judges the files that an operator brings, as the gateway would read them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kalpana_certs::Error;
use kalpana_certs::files::Files;
use kalpana_config::{CertificateSource, Config, Site};
use kalpana_domain::clock::{Clock, SystemClock};
use serde::Serialize;

use super::MADE_UP;
use super::judge::{Finding, Judged, Trust, judge};

/// What one pair of files is like.
#[derive(Debug, Serialize)]
pub(crate) struct FilesReport {
    pub(crate) certificate_file: PathBuf,
    key_file: PathBuf,
    pub(crate) certificate: Option<Judged>,
    pub(crate) findings: Vec<Finding>,
}

/// Looks at each pair that the configuration names, once.
pub(crate) fn look(config: &Config, site: &Site, trust: &Trust) -> Vec<FilesReport> {
    let mut pairs: BTreeMap<(PathBuf, PathBuf), Vec<String>> = BTreeMap::new();
    let workspace = format!("{MADE_UP}.{}", site.workspace_domain);
    for (domain, host) in [
        (&site.domain, &site.domain),
        (&site.workspace_domain, &workspace),
    ] {
        let own = config.certs.of(domain);
        if own.source == CertificateSource::Files
            && let (Some(certificate), Some(key)) = (own.certificate_file, own.key_file)
        {
            let hosts = pairs.entry((certificate, key)).or_default();
            hosts.push(host.clone());
        }
    }
    let pairs = pairs.into_iter();
    pairs
        .map(|((certificate, key), hosts)| look_at(certificate, key, &hosts, trust))
        .collect()
}

fn look_at(certificate: PathBuf, key: PathBuf, hosts: &[String], trust: &Trust) -> FilesReport {
    let now = SystemClock.now();
    let mut report = FilesReport {
        certificate: None,
        findings: Vec::new(),
        certificate_file: certificate,
        key_file: key,
    };
    match Files::new(&report.certificate_file, &report.key_file).load(now) {
        Ok(served) => {
            for host in hosts {
                let (judged, findings) = judge(host, &served.key.cert, trust, now);
                report.certificate = judged;
                let new = findings.into_iter();
                let new = new.filter(|finding| !report.findings.contains(finding));
                report.findings.extend(new.collect::<Vec<_>>());
            }
        }
        Err(error) => report.findings.push(explain(&error)),
    }
    report
}

fn explain(error: &Error) -> Finding {
    let fix = match error {
        Error::Missing { .. } => "Put it there, or correct the setting.",
        Error::Unreadable { .. } => {
            "Run this as root, or as the user that runs the gateway, who must be able to read it."
        }
        Error::KeyExposed { .. } => {
            "Run chmod 0600 on it. If others may have read it, get a new certificate with a new key."
        }
        Error::NotACertificate { .. } => {
            "It must begin with -----BEGIN CERTIFICATE-----, the leaf first."
        }
        Error::NotAKey { .. } => "It must be an unencrypted PEM key: RSA, ECDSA or Ed25519.",
        Error::Mismatch { .. } => "Put the key there that the certificate was asked for with.",
        Error::Expired { .. } => "Replace both files.",
        _ => "See the message.",
    };
    let mut message = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        message = format!("{message}: {source}");
    }
    Finding::new(error.code(), message, fix)
}
