//! `[certs.acme.dns]`: where the TXT records are set that prove a wildcard.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
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
    /// Any server that takes dynamic updates signed with TSIG: BIND, Knot, PowerDNS.
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
    /// How long a record may take to be seen by the zone's own servers, and how long a provider may
    /// ask to wait before it sets one. At most 1h. Default: 2m.
    pub propagation_timeout: Span,
    /// Ask these servers for records instead of the system's, and instead of the zone's own: where
    /// this machine sees another DNS than the internet does. They must not remember for long that a
    /// record was not there. Default: none.
    pub resolvers: Vec<SocketAddr>,
}

/// A server that takes dynamic updates (RFC 2136), signed with TSIG.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rfc2136 {
    /// The primary server of the zone, as address and port.
    pub server: SocketAddr,
    /// Name of the key.
    pub key_name: String,
    /// `hmac-sha256`, `hmac-sha384` or `hmac-sha512`. Default: `hmac-sha256`.
    #[serde(default = "hmac_sha256")]
    pub key_algorithm: String,
    /// The file with the key: what `tsig-keygen` prints, or the key alone in base64. Readable by the
    /// gateway and by nobody else.
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
    /// Readable by the gateway and by nobody else.
    pub token_file: PathBuf,
    /// URL of the API, with https. Default: the provider's.
    #[serde(default)]
    pub url: Option<String>,
}

/// Amazon Route 53.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route53 {
    /// Id of the access key.
    pub access_key_id: String,
    /// The file with the secret access key. Readable by the gateway and by nobody else.
    pub secret_access_key_file: PathBuf,
    /// Id of the hosted zone. Default: found by name.
    #[serde(default)]
    pub hosted_zone_id: Option<String>,
    /// URL of the API, with https. Default: Amazon's.
    #[serde(default)]
    pub url: Option<String>,
}

/// A server of acme-dns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcmeDns {
    /// URL of its API, with https.
    pub url: String,
    /// By domain: the file with what its `/register` answered, as JSON. Readable by the gateway and
    /// by nobody else.
    pub registration_files: BTreeMap<String, PathBuf>,
}

/// A program that sets and clears records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// The program and its first arguments; `set` or `clear`, the record's name and its value are
    /// added. It must end with 0 when done, and is run without a shell.
    pub command: Vec<String>,
    /// How long it may run; then it is killed with all that it started. Default: 1m.
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
            problems.require(
                !rfc2136.key_name.is_empty(),
                "acme.dns.rfc2136.key_name",
                "must be the name that the server knows the key by",
            );
        }
        if let Some(acme_dns) = &self.acme_dns {
            problems.require(
                !acme_dns.registration_files.is_empty(),
                "acme.dns.acme_dns.registration_files",
                "must name a file for each domain",
            );
        }
        if let Some(exec) = &self.exec {
            problems.require(
                exec.command
                    .first()
                    .is_some_and(|program| !program.is_empty()),
                "acme.dns.exec.command",
                "must name a program",
            );
            problems.require(
                !exec.timeout.0.is_zero(),
                "acme.dns.exec.timeout",
                "must be more than 0s",
            );
        }
        for (field, url) in self.urls() {
            problems.require(
                is_safe(url),
                field,
                "must begin with https://, or be http on this machine: whoever listens on the way \
                 reads the secret",
            );
        }
        problems.require(
            (1..=3600).contains(&self.propagation_timeout.0.as_secs()),
            "acme.dns.propagation_timeout",
            "must be from 1s to 1h",
        );
    }

    /// Returns the URLs that secrets are sent to, each with its setting.
    fn urls(&self) -> Vec<(&'static str, &str)> {
        let cloudflare = self.cloudflare.as_ref().and_then(|own| own.url.as_deref());
        let digitalocean = self.digitalocean.as_ref();
        let digitalocean = digitalocean.and_then(|own| own.url.as_deref());
        let route53 = self.route53.as_ref().and_then(|own| own.url.as_deref());
        let acme_dns = self.acme_dns.as_ref().map(|own| own.url.as_str());
        [
            ("acme.dns.cloudflare.url", cloudflare),
            ("acme.dns.digitalocean.url", digitalocean),
            ("acme.dns.route53.url", route53),
            ("acme.dns.acme_dns.url", acme_dns),
        ]
        .into_iter()
        .filter_map(|(field, url)| Some((field, url?)))
        .collect()
    }
}

/// Tells whether nobody can listen on the way to `url`.
fn is_safe(url: &str) -> bool {
    if let Some(rest) = url.strip_prefix("https://") {
        return !rest.is_empty();
    }
    let Some(rest) = url.strip_prefix("http://") else {
        return false;
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let authority = authority.replace("localhost", "127.0.0.1");
    let with_port = authority.parse::<SocketAddr>().map(|address| address.ip());
    let address = with_port.or_else(|_| authority.parse::<IpAddr>());
    address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::Problems;

    fn problems(text: &str) -> Vec<String> {
        let dns: Dns = toml::from_str(text).expect("the right shape");
        let mut problems = Problems::default();
        dns.validate(&mut problems.at("certs"));
        let list = problems.list().iter();
        list.map(|problem| problem.path.clone()).collect()
    }

    #[test]
    fn each_provider_alone_is_right() {
        for text in [
            "rfc2136 = { server = '192.0.2.53:53', key_name = 'k.', key_file = '/k' }",
            "cloudflare = { token_file = '/t' }",
            "digitalocean = { token_file = '/t', url = 'http://127.0.0.1:1/v2' }",
            "route53 = { access_key_id = 'A', secret_access_key_file = '/s' }",
            "acme_dns = { url = 'https://auth.example.com', registration_files = { a = '/r' } }",
            "exec = { command = ['/bin/true', '--quiet'] }",
        ] {
            assert_eq!(problems(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn every_mistake_is_named() {
        for (text, path) in [
            ("", "certs.acme.dns"),
            (
                "cloudflare = { token_file = '/t' }\nexec = { command = ['/bin/true'] }",
                "certs.acme.dns",
            ),
            (
                "rfc2136 = { server = '[::1]:53', key_name = '', key_file = '/k' }",
                "certs.acme.dns.rfc2136.key_name",
            ),
            (
                "rfc2136 = { server = '[::1]:53', key_name = 'k', key_file = '/k', \
                 key_algorithm = 'hmac-md5' }",
                "certs.acme.dns.rfc2136.key_algorithm",
            ),
            (
                "cloudflare = { token_file = '/t', url = 'http://api.example.com' }",
                "certs.acme.dns.cloudflare.url",
            ),
            (
                "digitalocean = { token_file = '/t', url = 'http://127.0.0.1:1@example.com/' }",
                "certs.acme.dns.digitalocean.url",
            ),
            (
                "acme_dns = { url = 'auth.example.com', registration_files = { a = '/r' } }",
                "certs.acme.dns.acme_dns.url",
            ),
            (
                "acme_dns = { url = 'https://auth.example.com', registration_files = {} }",
                "certs.acme.dns.acme_dns.registration_files",
            ),
            ("exec = { command = [] }", "certs.acme.dns.exec.command"),
            (
                "exec = { command = ['/bin/true'], timeout = '0s' }",
                "certs.acme.dns.exec.timeout",
            ),
            (
                "propagation_timeout = '2h'\nexec = { command = ['/bin/true'] }",
                "certs.acme.dns.propagation_timeout",
            ),
        ] {
            assert_eq!(problems(text), [path], "{text}");
        }
    }
}
