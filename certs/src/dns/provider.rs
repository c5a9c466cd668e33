//! What a provider can do, and which ones there are.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use kalpana_config::section::certs::dns::Dns;
use kalpana_domain::clock::Clock;

use super::DnsError;
use super::acme_dns::AcmeDns;
use super::cloudflare::Cloudflare;
use super::digitalocean::DigitalOcean;
use super::exec::Exec;
use super::http::Context;
use super::rfc2136::Rfc2136;
use super::route53::Route53;

/// Who serves a zone and changes it for us.
#[async_trait]
pub trait Provider: Send + Sync + fmt::Debug {
    /// Returns what people call it.
    fn name(&self) -> &'static str;

    /// Publishes `value` as one TXT record of `name` (fully qualified, no dot at the end) beside
    /// whatever is there. Doing it twice is as once.
    ///
    /// # Errors
    /// [`DnsError`], of whoever did not do it and in whose words.
    async fn set(&self, name: &str, value: &str) -> Result<(), DnsError>;

    /// Takes that one value away again; absent is fine.
    ///
    /// # Errors
    /// [`DnsError`], in the same way.
    async fn clear(&self, name: &str, value: &str) -> Result<(), DnsError>;
}

/// Makes the one provider that the configuration names.
pub(super) fn make(config: &Dns, clock: &Arc<dyn Clock>) -> Result<Box<dyn Provider>, DnsError> {
    let context = || Context {
        patience: config.propagation_timeout.0,
        clock: Arc::clone(clock),
    };
    if let Some(settings) = &config.rfc2136 {
        return Ok(Box::new(Rfc2136::new(settings, Arc::clone(clock))?));
    }
    if let Some(settings) = &config.cloudflare {
        return Ok(Box::new(Cloudflare::new(settings, context())?));
    }
    if let Some(settings) = &config.digitalocean {
        return Ok(Box::new(DigitalOcean::new(settings, context())?));
    }
    if let Some(settings) = &config.route53 {
        return Ok(Box::new(Route53::new(settings, context())?));
    }
    if let Some(settings) = &config.acme_dns {
        return Ok(Box::new(AcmeDns::new(settings, context())?));
    }
    if let Some(settings) = &config.exec {
        return Ok(Box::new(Exec::new(settings)?));
    }
    Err(DnsError::Setting {
        provider: "DNS",
        problem: "certs.acme.dns names no provider".to_owned(),
    })
}
