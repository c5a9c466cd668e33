//! Cloudflare, by its API of version 4.

use std::time::Duration;

use async_trait::async_trait;
use kalpana_config::section::certs::dns::Token;
use serde::Deserialize;
use serde_json::json;

use super::api::{Answer, Api, with_query};
use super::{DnsError, Provider, TTL, ancestors, secret};

/// Where the API is.
const URL: &str = "https://api.cloudflare.com/client/v4";

/// The code of "an identical record already exists".
const IDENTICAL: i64 = 81058;

/// Most records of one name that are looked at.
const PAGE: &str = "100";

/// Sets records at Cloudflare.
#[derive(Debug)]
pub(super) struct Cloudflare {
    api: Api,
    url: String,
    token: Hidden,
}

/// A token that does not show.
pub(super) struct Hidden(pub(super) String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Hidden(…)")
    }
}

#[derive(Debug, Deserialize)]
struct Envelope<T> {
    success: bool,
    #[serde(default)]
    errors: Vec<Complaint>,
    result: Option<T>,
}

#[derive(Debug, Deserialize)]
struct Complaint {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Deserialize)]
struct Identified {
    id: String,
    #[serde(default)]
    content: String,
}

impl Cloudflare {
    pub(super) fn new(config: &Token, patience: Duration) -> Result<Self, DnsError> {
        let url = config.url.as_deref().unwrap_or(URL);
        Ok(Self {
            api: Api::new("Cloudflare", patience)?,
            url: url.trim_end_matches('/').to_owned(),
            token: Hidden(secret(&config.token_file)?),
        })
    }

    /// Returns what an answer is about, or the provider's complaint.
    fn open<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
        answer: &Answer,
    ) -> Result<Result<T, Complaint>, DnsError> {
        let envelope: Envelope<T> = match self.api.json(answer) {
            Ok(envelope) => envelope,
            Err(_) if !answer.status.is_success() => {
                return Err(self.api.refused(name, answer.status, "no reason given"));
            }
            Err(error) => return Err(error),
        };
        match envelope.result {
            Some(result) if envelope.success => Ok(Ok(result)),
            _ => Ok(Err(envelope.errors.into_iter().next().unwrap_or(
                Complaint {
                    code: 0,
                    message: "no reason given".to_owned(),
                },
            ))),
        }
    }

    async fn list(
        &self,
        name: &str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<Identified>, DnsError> {
        let url = with_query(&format!("{}{path}", self.url), query);
        let send = |client: &reqwest::Client| client.get(&url).bearer_auth(&self.token.0);
        let answer = self.api.send(send).await?;
        self.open(name, &answer)?
            .map_err(|complaint| self.api.refused(name, answer.status, &complaint.message))
    }

    async fn zone(&self, name: &str) -> Result<String, DnsError> {
        for candidate in ancestors(name) {
            let zones = self.list(name, "/zones", &[("name", candidate)]).await?;
            if let Some(zone) = zones.into_iter().next() {
                return Ok(zone.id);
            }
        }
        Err(self.api.zone_unknown(name))
    }
}

#[async_trait]
impl Provider for Cloudflare {
    async fn set(&self, name: &str, value: &str) -> Result<(), DnsError> {
        let zone = self.zone(name).await?;
        let record = json!({ "type": "TXT", "name": name, "content": value, "ttl": TTL });
        let send = |client: &reqwest::Client| {
            let request = client.post(format!("{}/zones/{zone}/dns_records", self.url));
            request.bearer_auth(&self.token.0).json(&record)
        };
        let answer = self.api.send(send).await?;
        match self.open::<Identified>(name, &answer)? {
            Ok(_) => Ok(()),
            Err(complaint) if complaint.code == IDENTICAL => Ok(()),
            Err(complaint) => Err(self.api.refused(name, answer.status, &complaint.message)),
        }
    }

    async fn clear(&self, name: &str, value: &str) -> Result<(), DnsError> {
        let zone = self.zone(name).await?;
        let path = format!("/zones/{zone}/dns_records");
        let query = [("type", "TXT"), ("name", name), ("per_page", PAGE)];
        let records = self.list(name, &path, &query).await?;
        let ours = |record: &&Identified| record.content.trim_matches('"') == value;
        for record in records.iter().filter(ours) {
            let send = |client: &reqwest::Client| {
                let request = client.delete(format!("{}{path}/{}", self.url, record.id));
                request.bearer_auth(&self.token.0)
            };
            let answer = self.api.send(send).await?;
            if !answer.status.is_success() && answer.status != http::StatusCode::NOT_FOUND {
                return Err(self.api.refused(name, answer.status, "it was not deleted"));
            }
        }
        Ok(())
    }
}
