//! DigitalOcean's API, version 2.

use async_trait::async_trait;
use kalpana_config::Secret;
use kalpana_config::section::certs::dns::Token as Settings;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::http::{Answer, Api, Context, MOST_PAGES, zones_of};
use super::{DnsError, Provider, TTL_SECONDS, secret};

const PROVIDER: &str = "DigitalOcean";
const URL: &str = "https://api.digitalocean.com/v2";

#[derive(Debug)]
pub(crate) struct DigitalOcean {
    api: Api,
    token: Secret<String>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    domain_records: Vec<TxtRecord>,
    #[serde(default)]
    links: Links,
}

#[derive(Deserialize, Default)]
struct Links {
    #[serde(default)]
    pages: Pages,
}

#[derive(Deserialize, Default)]
struct Pages {
    next: Option<String>,
}

#[derive(Deserialize)]
struct TxtRecord {
    id: u64,
    #[serde(default)]
    data: String,
}

/// The shape of its errors.
#[derive(Deserialize)]
struct Problem {
    id: String,
    message: String,
}

impl DigitalOcean {
    pub(crate) fn new(settings: &Settings, context: Context) -> Result<Self, DnsError> {
        let token = secret::read_word(PROVIDER, &settings.token_file)?;
        let url = settings.url.as_deref().unwrap_or(URL);
        Ok(Self {
            api: Api::new(PROVIDER, url, vec![token.clone()], context)?,
            token,
        })
    }

    async fn zone_of<'record>(&self, record: &'record str) -> Result<&'record str, DnsError> {
        for name in zones_of(record) {
            let url = self.api.url(&["domains", name]);
            let answer = self.send(record, Method::GET, &url, None).await?;
            match answer.status {
                StatusCode::NOT_FOUND => {}
                status if status.is_success() => return Ok(name),
                _ => return Err(self.problem(record, &answer)),
            }
        }
        Err(self
            .api
            .no_zone(record, "the account has no domain that it is in"))
    }

    /// Returns the ids of the records that hold `value`.
    async fn holding(&self, zone: &str, record: &str, value: &str) -> Result<Vec<u64>, DnsError> {
        let mut found = Vec::new();
        for page in 1..=MOST_PAGES {
            let mut url = self.api.url(&["domains", zone, "records"]);
            url.query_pairs_mut()
                .append_pair("type", "TXT")
                .append_pair("name", record)
                .append_pair("per_page", "200")
                .append_pair("page", &page.to_string());
            let answer = self.send(record, Method::GET, &url, None).await?;
            if !answer.status.is_success() {
                return Err(self.problem(record, &answer));
            }
            let page: Page = serde_json::from_slice(&answer.body)
                .map_err(|error| self.api.garbled(record, &error.to_string()))?;
            let held = page.domain_records.into_iter();
            let held = held.filter(|record| record.data.trim_matches('"') == value);
            found.extend(held.map(|record| record.id));
            if page.links.pages.next.is_none() {
                break;
            }
        }
        Ok(found)
    }

    async fn send(
        &self,
        record: &str,
        method: Method,
        url: &Url,
        body: Option<&Value>,
    ) -> Result<Answer, DnsError> {
        let request = || {
            let request = self
                .api
                .client
                .request(method.clone(), url.clone())
                .bearer_auth(self.token.expose());
            Ok(match body {
                Some(body) => request.json(body),
                None => request,
            })
        };
        self.api.call(record, request, |_| false).await
    }

    fn problem(&self, record: &str, answer: &Answer) -> DnsError {
        let words = match serde_json::from_slice::<Problem>(&answer.body) {
            Ok(problem) => format!("{} ({})", problem.message, problem.id),
            Err(_) => answer.status.to_string(),
        };
        match answer.status {
            StatusCode::UNAUTHORIZED => self.api.key_wrong(record, &words),
            _ => self.api.refused(record, &words),
        }
    }
}

#[async_trait]
impl Provider for DigitalOcean {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    async fn set(&self, name: &str, value: &str) -> Result<(), DnsError> {
        let zone = self.zone_of(name).await?;
        // It would keep the same record twice.
        if !self.holding(zone, name, value).await?.is_empty() {
            return Ok(());
        }
        let within = name.strip_suffix(zone).unwrap_or(name);
        let within = match within.trim_end_matches('.') {
            "" => "@",
            within => within,
        };
        let url = self.api.url(&["domains", zone, "records"]);
        let body = json!({ "type": "TXT", "name": within, "data": value, "ttl": TTL_SECONDS });
        let answer = self.send(name, Method::POST, &url, Some(&body)).await?;
        if answer.status.is_success() {
            Ok(())
        } else {
            Err(self.problem(name, &answer))
        }
    }

    async fn clear(&self, name: &str, value: &str) -> Result<(), DnsError> {
        let zone = self.zone_of(name).await?;
        for id in self.holding(zone, name, value).await? {
            let url = self.api.url(&["domains", zone, "records", &id.to_string()]);
            let answer = self.send(name, Method::DELETE, &url, None).await?;
            if !answer.status.is_success() && answer.status != StatusCode::NOT_FOUND {
                return Err(self.problem(name, &answer));
            }
        }
        Ok(())
    }
}
