//! `[certs.acme]`: certificates from an authority that speaks ACME.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::dns::Dns;
use crate::validate::Scope;

/// Certificates from an authority, by ACME (RFC 8555).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Acme {
    /// The authority: `letsencrypt`, `letsencrypt-staging` (for trying things out: no browser
    /// trusts it, and its limits are wide), `zerossl`, or the https URL of any ACME directory.
    /// Default: `letsencrypt`.
    pub directory: String,
    /// Must be true to order certificates: you agree to the authority's terms of service. Default:
    /// false.
    pub agree_to_terms: bool,
    /// E-mail address that the authority may write to. Default: none.
    pub email: Option<String>,
    /// How the site proves that its names are its own: `dns-01` (for a wildcard; needs
    /// certs.acme.dns), `tls-alpn-01` (on the port of https), `http-01` (on port 80; needs
    /// gateway.listen_http), or `auto`. Default: `auto`, which is dns-01 where certs.acme.dns is
    /// set, else tls-alpn-01, and http-01 where the authority does not offer that.
    pub challenge: ChallengeKind,
    /// The profile to ask for, such as `shortlived`. Default: the authority's own choice.
    pub profile: Option<String>,
    /// Prefer the chain whose topmost certificate was issued by this common name, where the
    /// authority offers several. Default: the chain that it gives first.
    pub preferred_chain: Option<String>,
    /// A PEM file with the roots that the authority's own https is trusted by. Default: the
    /// system's.
    pub root_file: Option<PathBuf>,
    /// The key id of an account that exists at the authority already (external account binding).
    /// Default: none.
    pub eab_key_id: Option<String>,
    /// The file with that account's HMAC key, base64url as the authority gave it.
    pub eab_hmac_key_file: Option<PathBuf>,
    /// Without a wildcard: how many certificates for workspaces may be ordered in seven days. Let's
    /// Encrypt allows 50 of a domain. Default: 45.
    pub on_demand_per_week: u32,
    /// Where the records of dns-01 are set. Default: nowhere, so that no wildcard can be had.
    pub dns: Option<Dns>,
}

/// How a name is proven.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum ChallengeKind {
    /// What fits.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// A file at port 80.
    #[serde(rename = "http-01")]
    Http01,
    /// A certificate of its own kind at the port of https (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// A TXT record.
    #[serde(rename = "dns-01")]
    Dns01,
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            directory: "letsencrypt".to_owned(),
            agree_to_terms: false,
            email: None,
            challenge: ChallengeKind::Auto,
            profile: None,
            preferred_chain: None,
            root_file: None,
            eab_key_id: None,
            eab_hmac_key_file: None,
            on_demand_per_week: 45,
            dns: None,
        }
    }
}

impl Acme {
    /// Returns the URL of the authority's directory.
    pub fn directory_url(&self) -> &str {
        match self.directory.as_str() {
            "letsencrypt" => "https://acme-v02.api.letsencrypt.org/directory",
            "letsencrypt-staging" => "https://acme-staging-v02.api.letsencrypt.org/directory",
            "zerossl" => "https://acme.zerossl.com/v2/DV90",
            url => url,
        }
    }

    /// Tells whether one wildcard certificate is ordered, and not one for each workspace.
    pub fn has_wildcard(&self) -> bool {
        match self.challenge {
            ChallengeKind::Dns01 => true,
            ChallengeKind::Auto => self.dns.is_some(),
            ChallengeKind::Http01 | ChallengeKind::TlsAlpn01 => false,
        }
    }

    /// Records what is wrong. Most of it matters only when `is_used`.
    pub fn validate(&self, is_used: bool, site_domains: [&str; 2], problems: &mut Scope<'_>) {
        problems.require(
            self.directory_url().starts_with("https://"),
            "acme.directory",
            "must be letsencrypt, letsencrypt-staging, zerossl or an https URL",
        );
        problems.require(
            self.email.as_ref().is_none_or(|email| email.contains('@')),
            "acme.email",
            "must be an e-mail address",
        );
        problems.require(
            self.eab_key_id.is_some() == self.eab_hmac_key_file.is_some(),
            "acme.eab_hmac_key_file",
            "eab_key_id and eab_hmac_key_file must be given together",
        );
        problems.require(
            self.challenge != ChallengeKind::Dns01 || self.dns.is_some(),
            "acme.challenge",
            "dns-01 needs the section certs.acme.dns",
        );
        problems.require(
            self.on_demand_per_week > 0,
            "acme.on_demand_per_week",
            "must be at least 1",
        );
        if let Some(dns) = &self.dns {
            dns.validate(problems);
        }
        if !is_used {
            return;
        }
        problems.require(
            self.agree_to_terms,
            "acme.agree_to_terms",
            "must be true: certificates are ordered only with your consent to the authority's terms",
        );
        let is_public = |domain: &&str| !domain.ends_with(".localhost") && domain.contains('.');
        problems.require(
            self.directory.starts_with("https://") || site_domains.iter().all(is_public),
            "acme.directory",
            "a public authority signs public names only; for *.localhost use source = \"local\"",
        );
    }
}
