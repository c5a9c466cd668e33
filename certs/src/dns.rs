//! Proofs by DNS: a TXT record is set, seen, and taken away (RFC 8555, 8.4).
//!
//! [`DnsProof::prove`] finds with [`lookup`] where `_acme-challenge.<domain>` leads to, has a
//! [`Provider`] set the record, and waits until every server of the zone answers it. Each provider
//! is a file; [`wire`] is how name servers are spoken with, [`api`] how the others are.

mod acme_dns;
mod api;
mod cloudflare;
mod digitalocean;
mod exec;
mod lookup;
mod rfc2136;
mod route53;
mod wire;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use kalpana_config::section::certs::dns::Dns;
use serde::{Deserialize, Serialize};

use self::lookup::Lookup;
use crate::error::Error;
use crate::storage;

/// How long other servers may remember a record. Unit: seconds.
const TTL: u32 = 60;

/// Somewhere TXT records can be set. A value is added to those that are there: a domain and its
/// wildcard need one each, at one name.
#[async_trait]
pub trait Provider: Send + Sync + fmt::Debug {
    /// Publishes `value` as a TXT record of `name`, which is whole and has no dot at its end. Twice
    /// is as good as once.
    ///
    /// # Errors
    /// [`DnsError`].
    async fn set(&self, name: &str, value: &str) -> Result<(), DnsError>;

    /// Takes that one value away again. One that is not there is fine.
    ///
    /// # Errors
    /// [`DnsError`].
    async fn clear(&self, name: &str, value: &str) -> Result<(), DnsError>;
}

/// A record that was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Where it is.
    pub name: String,
    /// What it says.
    pub value: String,
}

/// Why a record could not be set, or is not seen.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// A file with a secret cannot be used.
    #[error("{path} cannot be used: {why}")]
    Secret {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The provider cannot be reached, or does not answer as it should.
    #[error("{provider} cannot be reached: {why}")]
    Unreachable {
        /// The provider or its server.
        provider: String,
        /// Why not.
        why: String,
    },
    /// The provider does not take the secret.
    #[error("{provider} does not accept the key or token: {why}")]
    KeyWrong {
        /// The provider or its server.
        provider: String,
        /// What it says.
        why: String,
    },
    /// The provider has no zone for the name.
    #[error("{provider} has no zone for {name}")]
    ZoneUnknown {
        /// The provider or its server.
        provider: String,
        /// The record's name.
        name: String,
    },
    /// The provider refused.
    #[error("{provider} refused to change {name}: {why}")]
    Refused {
        /// The provider or its server.
        provider: String,
        /// The record's name.
        name: String,
        /// What it says.
        why: String,
    },
    /// Not every server of the zone answers the record in time.
    #[error("{name} was set, but after {seconds} s {servers} still did not answer it")]
    NotPropagated {
        /// The record's name.
        name: String,
        /// How long it was waited.
        seconds: u64,
        /// Who does not.
        servers: String,
    },
    /// Where the record belongs cannot be found out.
    #[error("cannot look up {name}: {why}")]
    Lookup {
        /// The name.
        name: String,
        /// Why not.
        why: String,
    },
}

impl DnsError {
    /// Returns a stable name for it, in snake case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Secret { .. } => "dns_secret_unreadable",
            Self::Unreachable { .. } => "dns_unreachable",
            Self::KeyWrong { .. } => "dns_key_wrong",
            Self::ZoneUnknown { .. } => "dns_zone_unknown",
            Self::Refused { .. } => "dns_provider_refused",
            Self::NotPropagated { .. } => "dns_not_propagated",
            Self::Lookup { .. } => "dns_lookup_failed",
        }
    }

    /// Returns what to do about it, in a sentence.
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::Secret { .. } => {
                "Let the setting in certs.acme.dns name a file that the gateway can read and \
                 others cannot (chmod 0600)."
            }
            Self::Unreachable { .. } => {
                "Check the address in certs.acme.dns, and that this machine may connect to it."
            }
            Self::KeyWrong { .. } => {
                "Check the key or token in certs.acme.dns: its name, its kind, and that it may \
                 change TXT records of this zone; and this machine's clock."
            }
            Self::ZoneUnknown { .. } => {
                "Let certs.acme.dns name the account or server that has the zone, or delegate \
                 _acme-challenge to it by a CNAME."
            }
            Self::Refused { .. } => {
                "Give the key or token the right to change TXT records of this zone."
            }
            Self::NotPropagated { .. } => {
                "Raise certs.acme.dns.propagation_timeout if the zone's servers are slow to follow; \
                 else check that they are the ones that certs.acme.dns changes."
            }
            Self::Lookup { .. } => {
                "Check this machine's name servers, or set certs.acme.dns.resolvers."
            }
        }
    }
}

/// Proves domains by records.
#[derive(Debug)]
pub struct DnsProof {
    provider: Box<dyn Provider>,
    lookup: Lookup,
    limit: Duration,
}

impl DnsProof {
    /// Prepares to set records as `config` says; reads the secrets.
    ///
    /// # Errors
    /// [`DnsError::Secret`].
    pub fn new(config: &Dns) -> Result<Self, DnsError> {
        let limit = config.propagation_timeout.0;
        let provider: Box<dyn Provider> = if let Some(own) = &config.rfc2136 {
            Box::new(rfc2136::Updates::new(own)?)
        } else if let Some(own) = &config.cloudflare {
            Box::new(cloudflare::Cloudflare::new(own, limit)?)
        } else if let Some(own) = &config.digitalocean {
            Box::new(digitalocean::DigitalOcean::new(own, limit)?)
        } else if let Some(own) = &config.route53 {
            Box::new(route53::Route53::new(own, limit)?)
        } else if let Some(own) = &config.acme_dns {
            Box::new(acme_dns::AcmeDns::new(own, limit)?)
        } else if let Some(own) = &config.exec {
            Box::new(exec::Program::new(own))
        } else {
            return Err(DnsError::Secret {
                path: PathBuf::from("certs.acme.dns"),
                why: "it names no provider".to_owned(),
            });
        };
        Ok(Self {
            provider,
            lookup: Lookup::new(&config.resolvers),
            limit,
        })
    }

    /// Sets the record that proves `domain`, and waits until it is seen.
    ///
    /// # Errors
    /// [`DnsError`]. A record that was set but is not seen is taken away again.
    pub async fn prove(&self, domain: &str, value: &str) -> Result<Record, DnsError> {
        let name = self
            .lookup
            .target(&format!("_acme-challenge.{domain}"))
            .await?;
        let record = Record {
            name,
            value: value.to_owned(),
        };
        self.provider.set(&record.name, value).await?;
        if let Err(error) = self.lookup.wait(&record, self.limit).await {
            if let Err(error) = self.clear(&record).await {
                tracing::warn!(%error, "could not take a record of DNS away: {error}");
            }
            return Err(error);
        }
        Ok(record)
    }

    /// Takes a record away again.
    ///
    /// # Errors
    /// [`DnsError`].
    pub async fn clear(&self, record: &Record) -> Result<(), DnsError> {
        self.provider.clear(&record.name, &record.value).await
    }
}

/// Reads a secret, which nobody else may read.
fn secret(path: &Path) -> Result<String, DnsError> {
    let unusable = |why: String| DnsError::Secret {
        path: path.to_owned(),
        why,
    };
    storage::refuse_exposed_key(path).map_err(|error| match error {
        Error::Unreadable { source, .. } => unusable(source.to_string()),
        other => unusable(other.to_string()),
    })?;
    let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(unusable("it is empty".to_owned()));
    }
    Ok(text.to_owned())
}

/// Returns `name` and everything it is below, the longest first, without the top level.
fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| {
        name.split_once('.').map(|(_, parent)| parent)
    })
    .filter(|name| name.contains('.'))
}
