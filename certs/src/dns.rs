//! The TXT records that prove a domain to an authority (RFC 8555, section 8.4).
//!
//! [`DnsProof::prove`] sets the record of a domain through the [`Provider`] that the operator
//! chose, where aliases lead to, and returns once every server of that zone answers it, because
//! the authority may ask any of them. [`DnsProof::clear`] takes it away again. Whoever must be
//! able to clear after a crash calls [`DnsProof::locate`], writes the [`Record`] down, and then
//! [`DnsProof::publish`].

mod acme_dns;
mod cloudflare;
mod digitalocean;
mod error;
mod exec;
mod http;
mod lookup;
mod provider;
mod rfc2136;
mod route53;
mod secret;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use kalpana_config::section::certs::dns::Dns;
use kalpana_domain::clock::{Clock, SystemClock};
use serde::{Deserialize, Serialize};

pub use self::error::{DnsError, Missing};
pub use self::provider::Provider;

use self::lookup::Lookup;

/// What stands in front of a domain in the name of its record.
const CHALLENGE: &str = "_acme-challenge.";

/// How long others may keep a record, in seconds: as short as all providers allow.
const TTL_SECONDS: u32 = 60;

/// Sets, watches and clears records.
#[derive(Debug)]
pub struct DnsProof {
    provider: Box<dyn Provider>,
    lookup: Lookup,
    patience: Duration,
}

/// A record that is or may be set. Neither part of it is a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// Where it is, after all aliases, without the dot at the end.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl DnsProof {
    /// Makes the provider that `config` names, and reads the files with its secrets.
    ///
    /// # Errors
    /// [`DnsError`] if a file with a secret cannot be read, may be read by others or holds
    /// something else, or if a setting cannot be used.
    pub fn new(config: &Dns) -> Result<Self, DnsError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Self::with_clock(config, &clock)
    }

    /// Does the same with another clock, by which requests are signed.
    ///
    /// # Errors
    /// As [`DnsProof::new`].
    pub fn with_clock(config: &Dns, clock: &Arc<dyn Clock>) -> Result<Self, DnsError> {
        Ok(Self {
            provider: provider::make(config, clock)?,
            lookup: Lookup::new(config.resolvers.clone()),
            patience: config.propagation_timeout.0,
        })
    }

    /// Sets the record for `domain` where aliases of `_acme-challenge.<domain>` lead, beside what
    /// is there, and waits until each of the zone's own servers answers it. A wildcard's record is
    /// that of the domain it is below.
    ///
    /// # Errors
    /// [`DnsError`]. A record that was set and is not seen in time has been cleared again.
    pub async fn prove(&self, domain: &str, value: &str) -> Result<Record, DnsError> {
        let record = self.locate(domain, value).await?;
        self.publish(&record).await?;
        Ok(record)
    }

    /// Finds out where the record for `domain` must be. Nothing is set.
    ///
    /// # Errors
    /// [`DnsError`] if `domain` or `value` is none, or no name server can be asked.
    pub async fn locate(&self, domain: &str, value: &str) -> Result<Record, DnsError> {
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        if value.is_empty() || value.len() > 255 || !value.chars().all(is_letter) {
            return Err(DnsError::BadRecord {
                record: domain.to_owned(),
                problem: "its value is not base64url of 1 to 255 letters",
            });
        }
        let domain = domain.strip_prefix("*.").unwrap_or(domain);
        let name = format!("{CHALLENGE}{}", domain.trim_end_matches('.'));
        Ok(Record {
            name: self.lookup.alias_end(&name).await?,
            value: value.to_owned(),
        })
    }

    /// Sets `record` and waits until it is seen.
    ///
    /// # Errors
    /// As [`DnsProof::prove`].
    pub async fn publish(&self, record: &Record) -> Result<(), DnsError> {
        let (name, value) = (record.name.as_str(), record.value.as_str());
        self.provider.set(name, value).await?;
        let provider = self.provider.name();
        let seen = self
            .lookup
            .wait_for(provider, name, value, self.patience)
            .await;
        if seen.is_err()
            && let Err(error) = self.clear(record).await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "{name} was not seen and cannot be cleared: {error}"
            );
        }
        seen
    }

    /// Takes `record` away, and no other value of its name. Absent is fine.
    ///
    /// # Errors
    /// [`DnsError`] if the provider does not do it.
    pub async fn clear(&self, record: &Record) -> Result<(), DnsError> {
        self.provider.clear(&record.name, &record.value).await
    }
}
