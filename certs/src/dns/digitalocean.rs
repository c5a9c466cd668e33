//! DigitalOcean, by its API of version 2.

use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use kalpana_config::section::certs::dns::Token;
use serde::Deserialize;
use serde_json::json;

use super::api::{Api, with_query};
use super::cloudflare::Hidden;
use super::{DnsError, Provider, TTL, ancestors, secret};

/// Where the API is.
const URL: &str = "https://api.digitalocean.com";

/// Most records of one name that are looked at.
const PAGE: &str = "200";

/// Sets records at DigitalOcean.
#[derive(Debug)]
pub(super) struct DigitalOcean {
    api: Api,
    url: String,
    token: Hidden,
}

#[derive(Debug, Deserialize)]
struct Records {
    domain_records: Vec<Known>,
}

#[derive(Debug, Deserialize)]
struct Known {
    id: u64,
    #[serde(default)]
    data: String,
}

#[derive(Debug, Deserialize)]
struct Complaint {
    #[serde(default)]
    message: String,
}

impl DigitalOcean {
    pub(super) fn new(config: &Token, patience: Duration) -> Result<Self, DnsError> {
        let url = config.url.as_deref().unwrap_or(URL);
        Ok(Self {
            api: Api::new("DigitalOcean", patience)?,
            url: url.trim_end_matches('/').to_owned(),
            token: Hidden(secret(&config.token_file)?),
        })
    }

    async fn call(
        &self,
        build: impl Fn(&reqwest::Client) -> reqwest::RequestBuilder + Send + Sync,
    ) -> Result<super::api::Answer, DnsError> {
        let send = |client: &reqwest::Client| build(client).bearer_auth(&self.token.0);
        self.api.send(send).await
    }

    fn refused(&self, name: &str, answer: &super::api::Answer) -> DnsError {
        let complaint: Option<Complaint> = serde_json::from_slice(&answer.body).ok();
        let why = complaint.map(|complaint| complaint.message);
        self.api
            .refused(name, answer.status, &why.unwrap_or_default())
    }

    async fn zone<'name>(&self, name: &'name str) -> Result<&'name str, DnsError> {
        for candidate in ancestors(name) {
            let url = format!("{}/v2/domains/{candidate}", self.url);
            let answer = self.call(|client| client.get(&url)).await?;
            match answer.status {
                StatusCode::OK => return Ok(candidate),
                StatusCode::NOT_FOUND => {}
                _ => return Err(self.refused(name, &answer)),
            }
        }
        Err(self.api.zone_unknown(name))
    }

    async fn records(&self, zone: &str, name: &str) -> Result<Vec<Known>, DnsError> {
        let url = format!("{}/v2/domains/{zone}/records", self.url);
        let query = [("type", "TXT"), ("name", name), ("per_page", PAGE)];
        let url = with_query(&url, &query);
        let answer = self.call(|client| client.get(&url)).await?;
        if !answer.status.is_success() {
            return Err(self.refused(name, &answer));
        }
        let records: Records = self.api.json(&answer)?;
        Ok(records.domain_records)
    }
}

#[async_trait]
impl Provider for DigitalOcean {
    async fn set(&self, name: &str, value: &str) -> Result<(), DnsError> {
        let zone = self.zone(name).await?;
        let known = self.records(zone, name).await?;
        if known.iter().any(|record| record.data == value) {
            return Ok(());
        }
        let label = name.strip_suffix(zone).unwrap_or(name);
        let label = label.trim_end_matches('.');
        let label = if label.is_empty() { "@" } else { label };
        let record = json!({ "type": "TXT", "name": label, "data": value, "ttl": TTL });
        let url = format!("{}/v2/domains/{zone}/records", self.url);
        let answer = self.call(|client| client.post(&url).json(&record)).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(self.refused(name, &answer))
    }

    async fn clear(&self, name: &str, value: &str) -> Result<(), DnsError> {
        let zone = self.zone(name).await?;
        let known = self.records(zone, name).await?;
        for record in known.iter().filter(|record| record.data == value) {
            let url = format!("{}/v2/domains/{zone}/records/{}", self.url, record.id);
            let answer = self.call(|client| client.delete(&url)).await?;
            if !answer.status.is_success() && answer.status != StatusCode::NOT_FOUND {
                return Err(self.refused(name, &answer));
            }
        }
        Ok(())
    }
}
