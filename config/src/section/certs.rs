//! `[certs]`: where certificates come from.

pub mod acme;
pub mod dns;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use self::acme::Acme;
use crate::units::Span;
use crate::validate::Scope;

/// Certificates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Certs {
    /// Where the certificates of the site's domains come from: `local` (an authority of the site's
    /// own, made on first start), `files` (brought by you) or `acme` (from a certificate authority
    /// such as Let's Encrypt). Default: `files` where certificate_file is set, else `local`.
    pub source: Option<Source>,
    /// A PEM file with the certificate chain, leaf first, for the base domain and a wildcard below
    /// the workspace domain. Default: none.
    pub certificate_file: Option<PathBuf>,
    /// The PEM file with the key that belongs to it; readable by its owner only.
    pub key_file: Option<PathBuf>,
    /// Lifetime of a certificate that the local authority signs. Renewed at two thirds. Default:
    /// 90d.
    pub local_lifetime: Span,
    /// Certificates from an authority, by ACME (RFC 8555).
    pub acme: Acme,
    /// Whether gateways of this site share what an authority issued: one of them orders, all serve.
    /// They need the same `session.key`. Default: true where store.mongodb.uri is set, which is
    /// where there may be several.
    pub shared: Option<bool>,
    /// Another source for one of the site's two domains, by its name, as in
    /// `[certs.domains."spaces.example.com"]` with `source = "files"`. Default: none.
    pub domains: BTreeMap<String, DomainCerts>,
}

/// Where a certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The site's own authority.
    Local,
    /// Two files that an operator replaces.
    Files,
    /// An authority that speaks ACME.
    Acme,
}

/// The source of one domain's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainCerts {
    /// Where it comes from.
    pub source: Source,
    /// With `files`: the PEM file with the certificate chain, leaf first.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    /// With `files`: the PEM file with the key that belongs to it.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

impl Default for Certs {
    fn default() -> Self {
        Self {
            source: None,
            certificate_file: None,
            key_file: None,
            local_lifetime: Span::seconds(90 * 86_400),
            acme: Acme::default(),
            shared: None,
            domains: BTreeMap::new(),
        }
    }
}

impl Certs {
    /// Returns where the certificate for `domain` comes from, with the files where it is files.
    pub fn of(&self, domain: &str) -> DomainCerts {
        if let Some(own) = self.domains.get(domain) {
            return own.clone();
        }
        let usual = match self.certificate_file {
            Some(_) => Source::Files,
            None => Source::Local,
        };
        DomainCerts {
            source: self.source.unwrap_or(usual),
            certificate_file: self.certificate_file.clone(),
            key_file: self.key_file.clone(),
        }
    }

    /// Records what is wrong. `site_domains` are the base domain and the workspace domain.
    pub fn validate(&self, site_domains: [&str; 2], problems: &mut Scope<'_>) {
        problems.require(
            self.certificate_file.is_some() == self.key_file.is_some(),
            "key_file",
            "certificate_file and key_file must be given together",
        );
        problems.require(
            self.source != Some(Source::Files) || self.certificate_file.is_some(),
            "source",
            "`files` needs certificate_file and key_file",
        );
        problems.require(
            (3600..=397 * 86_400).contains(&self.local_lifetime.0.as_secs()),
            "local_lifetime",
            "must be from 1h to 397d, the longest that browsers accept",
        );
        for (domain, own) in &self.domains {
            problems.require(
                site_domains.contains(&domain.as_str()),
                "domains",
                "may name server.domain and server.workspace_domain only",
            );
            let has_both = own.certificate_file.is_some() && own.key_file.is_some();
            let has_none = own.certificate_file.is_none() && own.key_file.is_none();
            problems.require(
                if own.source == Source::Files {
                    has_both
                } else {
                    has_none
                },
                "domains",
                "certificate_file and key_file are for source = \"files\", which needs both",
            );
        }
        let uses_acme = site_domains
            .iter()
            .any(|domain| self.of(domain).source == Source::Acme);
        self.acme.validate(uses_acme, site_domains, problems);
    }
}
