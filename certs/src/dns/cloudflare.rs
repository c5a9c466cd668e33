//! Cloudflare's API, version 4.

use async_trait::async_trait;
use kalpana_config::Secret;
use kalpana_config::section::certs::dns::Token as Settings;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use super::http::{Answer, Api, Context, MOST_PAGES, zones_of};
use super::{DnsError, Provider, TTL_SECONDS, secret};

const PROVIDER: &str = "Cloudflare";
const URL: &str = "https://api.cloudflare.com/client/v4";

/// Codes with which it says that a token is none, is unknown, or may not.
const KEY_CODES: [i64; 6] = [6003, 6111, 9103, 9106, 9109, 10000];

/// "The record already exists" and "an identical record already exists".
const EXISTS_CODES: [i64; 2] = [81057, 81058];

/// "Record does not exist."
const ABSENT_CODE: i64 = 81044;

#[derive(Debug)]
pub(crate) struct Cloudflare {
    api: Api,
    token: Secret<String>,
}

/// What every answer is wrapped in.
#[derive(Deserialize)]
struct Envelope<T> {
    success: bool,
    #[serde(default)]
    errors: Vec<Problem>,
    result: Option<T>,
    result_info: Option<Pages>,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Pages {
    #[serde(default)]
    total_pages: u32,
}

#[derive(Deserialize)]
struct Zone {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct TxtRecord {
    id: String,
    #[serde(default)]
    content: String,
}

impl Cloudflare {
    pub(crate) fn new(settings: &Settings, context: Context) -> Result<Self, DnsError> {
        let token = secret::read_word(PROVIDER, &settings.token_file)?;
        let url = settings.url.as_deref().unwrap_or(URL);
        Ok(Self {
            api: Api::new(PROVIDER, url, vec![token.clone()], context)?,
            token,
        })
    }

    async fn zone_of(&self, record: &str) -> Result<String, DnsError> {
        for name in zones_of(record) {
            let mut url = self.api.url(&["zones"]);
            url.query_pairs_mut().append_pair("name", name);
            let (zones, _) = self.get::<Vec<Zone>>(record, &url).await?;
            if let Some(zone) = zones.into_iter().find(|zone| zone.name == name) {
                return Ok(zone.id);
            }
        }
        Err(self
            .api
            .no_zone(record, "the token sees no zone that it is in"))
    }

    /// Returns the ids of the records that hold `value`.
    async fn holding(
        &self,
        zone: &str,
        record: &str,
        value: &str,
    ) -> Result<Vec<String>, DnsError> {
        let mut found = Vec::new();
        for page in 1..=MOST_PAGES {
            let mut url = self.api.url(&["zones", zone, "dns_records"]);
            url.query_pairs_mut()
                .append_pair("type", "TXT")
                .append_pair("name", record)
                .append_pair("per_page", "100")
                .append_pair("page", &page.to_string());
            let (records, pages) = self.get::<Vec<TxtRecord>>(record, &url).await?;
            // It gives a text with its quotes or without, as it was written.
            let held = records
                .into_iter()
                .filter(|record| record.content.trim_matches('"') == value);
            found.extend(held.map(|record| record.id));
            if page >= pages {
                break;
            }
        }
        Ok(found)
    }

    async fn get<T: DeserializeOwned>(
        &self,
        record: &str,
        url: &Url,
    ) -> Result<(T, u32), DnsError> {
        let answer = self.send(record, Method::GET, url, None).await?;
        let envelope = self.open::<T>(record, &answer)?;
        let pages = envelope.result_info.map_or(1, |pages| pages.total_pages);
        match envelope.result {
            Some(result) if envelope.success => Ok((result, pages)),
            _ => Err(self.problem(record, answer.status, &envelope.errors)),
        }
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

    fn open<T: DeserializeOwned>(
        &self,
        record: &str,
        answer: &Answer,
    ) -> Result<Envelope<T>, DnsError> {
        serde_json::from_slice(&answer.body).map_err(|error| match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                self.api.key_wrong(record, answer.status.as_str())
            }
            status => self.api.garbled(record, &format!("{status}, {error}")),
        })
    }

    fn problem(&self, record: &str, status: StatusCode, problems: &[Problem]) -> DnsError {
        let words: Vec<String> = problems
            .iter()
            .map(|problem| format!("{} ({})", problem.message, problem.code))
            .collect();
        let words = if words.is_empty() {
            status.to_string()
        } else {
            words.join(", ")
        };
        let is_key = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            || problems
                .iter()
                .any(|problem| KEY_CODES.contains(&problem.code));
        if is_key {
            self.api.key_wrong(record, &words)
        } else {
            self.api.refused(record, &words)
        }
    }
}

#[async_trait]
impl Provider for Cloudflare {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    async fn set(&self, name: &str, value: &str) -> Result<(), DnsError> {
        let zone = self.zone_of(name).await?;
        let url = self.api.url(&["zones", &zone, "dns_records"]);
        let body = json!({
            "type": "TXT",
            "name": name,
            "content": format!("\"{value}\""),
            "ttl": TTL_SECONDS,
        });
        let answer = self.send(name, Method::POST, &url, Some(&body)).await?;
        let envelope = self.open::<TxtRecord>(name, &answer)?;
        let exists = |problem: &Problem| EXISTS_CODES.contains(&problem.code);
        if envelope.success || envelope.errors.iter().any(exists) {
            return Ok(());
        }
        Err(self.problem(name, answer.status, &envelope.errors))
    }

    async fn clear(&self, name: &str, value: &str) -> Result<(), DnsError> {
        let zone = self.zone_of(name).await?;
        for id in self.holding(&zone, name, value).await? {
            let url = self.api.url(&["zones", &zone, "dns_records", &id]);
            let answer = self.send(name, Method::DELETE, &url, None).await?;
            let envelope = self.open::<Value>(name, &answer)?;
            let is_absent = answer.status == StatusCode::NOT_FOUND
                || envelope
                    .errors
                    .iter()
                    .any(|problem| problem.code == ABSENT_CODE);
            if !envelope.success && !is_absent {
                return Err(self.problem(name, answer.status, &envelope.errors));
            }
        }
        Ok(())
    }
}
