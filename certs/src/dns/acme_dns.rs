//! acme-dns: a small server for nothing but these records, which a CNAME leads to.

use std::time::Duration;

use async_trait::async_trait;
use kalpana_config::section::certs::dns::AcmeDns as Config;
use serde::Deserialize;
use serde_json::json;

use super::api::Api;
use super::{DnsError, Provider, secret};

/// Sets records at a server of acme-dns.
#[derive(Debug)]
pub(super) struct AcmeDns {
    api: Api,
    url: String,
    registrations: Vec<Registration>,
}

/// What its `/register` answered.
#[derive(Deserialize)]
struct Registration {
    username: String,
    password: String,
    fulldomain: String,
    subdomain: String,
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Registration")
            .field("fulldomain", &self.fulldomain)
            .finish_non_exhaustive()
    }
}

impl AcmeDns {
    pub(super) fn new(config: &Config, patience: Duration) -> Result<Self, DnsError> {
        let read = |path: &std::path::PathBuf| {
            let text = secret(path)?;
            serde_json::from_str(&text).map_err(|_| DnsError::Secret {
                path: path.clone(),
                why: "it is not what /register answered".to_owned(),
            })
        };
        let registrations = config.registration_files.values().map(read);
        Ok(Self {
            api: Api::new("acme-dns", patience)?,
            url: config.url.trim_end_matches('/').to_owned(),
            registrations: registrations.collect::<Result<_, _>>()?,
        })
    }
}

#[async_trait]
impl Provider for AcmeDns {
    async fn set(&self, name: &str, value: &str) -> Result<(), DnsError> {
        let registration = self
            .registrations
            .iter()
            .find(|registration| registration.fulldomain.eq_ignore_ascii_case(name))
            // There is no CNAME, or it leads elsewhere.
            .ok_or_else(|| self.api.zone_unknown(name))?;
        let body = json!({ "subdomain": registration.subdomain, "txt": value });
        let send = |client: &reqwest::Client| {
            client
                .post(format!("{}/update", self.url))
                .header("X-Api-User", &registration.username)
                .header("X-Api-Key", &registration.password)
                .json(&body)
        };
        let answer = self.api.send(send).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        let why = String::from_utf8_lossy(&answer.body).into_owned();
        Err(self.api.refused(name, answer.status, &why))
    }

    /// It keeps the last two values by itself, and cannot be told to forget one.
    async fn clear(&self, _: &str, _: &str) -> Result<(), DnsError> {
        Ok(())
    }
}
