//! `[certs.acme.dns]`: where the TXT records are set that prove a wildcard.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::units::Span;
use crate::validate::Scope;

/// Where the records of dns-01 are set: exactly one of the providers below.
///
/// A record is set where `_acme-challenge.<domain>` leads to, so that a CNAME can delegate it to a
/// zone of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// Any server that takes dynamic updates: BIND, Knot, PowerDNS, Windows.
    pub rfc2136: Option<Rfc2136>,
    /// Cloudflare.
    pub cloudflare: Option<Token>,
    /// DigitalOcean.
    pub digitalocean: Option<Token>,
    /// Amazon Route 53.
    pub route53: Option<Route53>,
    /// A server of acme-dns (<https://github.com/joohoi/acme-dns>), by CNAME.
    pub acme_dns: Option<AcmeDns>,
    /// A program of your own.
    pub exec: Option<Exec>,
    /// How long a record may take to be seen by the zone's own servers. Default: 2m.
    pub propagation_timeout: Span,
    /// Ask these servers for records instead of the system's, and instead of the zone's own.
    /// Default: none.
    pub resolvers: Vec<SocketAddr>,
}

/// A server that takes dynamic updates (RFC 2136), signed with TSIG.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rfc2136 {
    /// The primary server of the zone.
    pub server: SocketAddr,
    /// Name of the key.
    pub key_name: String,
    /// `hmac-sha256`, `hmac-sha384` or `hmac-sha512`. Default: `hmac-sha256`.
    #[serde(default = "hmac_sha256")]
    pub key_algorithm: String,
    /// The file with the key, in base64 as `tsig-keygen` prints it.
    pub key_file: PathBuf,
    /// The zone that is updated. Default: found by asking the server.
    #[serde(default)]
    pub zone: Option<String>,
}

/// A provider whose API takes a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The file with the token, which needs the right to edit records of the zone and nothing else.
    pub token_file: PathBuf,
    /// URL of the API. Default: the provider's.
    #[serde(default)]
    pub url: Option<String>,
}

/// Amazon Route 53.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route53 {
    /// Id of the access key.
    pub access_key_id: String,
    /// The file with the secret access key.
    pub secret_access_key_file: PathBuf,
    /// Id of the hosted zone. Default: found by name.
    #[serde(default)]
    pub hosted_zone_id: Option<String>,
    /// URL of the API. Default: Amazon's.
    #[serde(default)]
    pub url: Option<String>,
}

/// A server of acme-dns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcmeDns {
    /// URL of its API.
    pub url: String,
    /// By domain: the file with what its `/register` answered, as JSON.
    pub registration_files: BTreeMap<String, PathBuf>,
}

/// A program that sets and clears records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// The program and its first arguments; `set` or `clear`, the record's name and its value are
    /// added. It must end with 0 when done, and is run without a shell.
    pub command: Vec<String>,
    /// How long it may run. Default: 1m.
    #[serde(default = "a_minute")]
    pub timeout: Span,
}

fn hmac_sha256() -> String {
    "hmac-sha256".to_owned()
}

fn a_minute() -> Span {
    Span::seconds(60)
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            rfc2136: None,
            cloudflare: None,
            digitalocean: None,
            route53: None,
            acme_dns: None,
            exec: None,
            propagation_timeout: Span::seconds(120),
            resolvers: Vec::new(),
        }
    }
}

impl Dns {
    /// Records what is wrong.
    pub fn validate(&self, problems: &mut Scope<'_>) {
        let given = [
            self.rfc2136.is_some(),
            self.cloudflare.is_some(),
            self.digitalocean.is_some(),
            self.route53.is_some(),
            self.acme_dns.is_some(),
            self.exec.is_some(),
        ];
        problems.require(
            given.into_iter().filter(|given| *given).count() == 1,
            "acme.dns",
            "needs exactly one of rfc2136, cloudflare, digitalocean, route53, acme_dns, exec",
        );
        if let Some(rfc2136) = &self.rfc2136 {
            problems.require(
                ["hmac-sha256", "hmac-sha384", "hmac-sha512"]
                    .contains(&rfc2136.key_algorithm.as_str()),
                "acme.dns.rfc2136.key_algorithm",
                "must be hmac-sha256, hmac-sha384 or hmac-sha512",
            );
        }
        if let Some(exec) = &self.exec {
            problems.require(
                !exec.command.is_empty(),
                "acme.dns.exec.command",
                "must name a program",
            );
        }
        problems.require(
            !self.propagation_timeout.0.is_zero(),
            "acme.dns.propagation_timeout",
            "must be more than 0s",
        );
    }
}
