//! Speaks with providers over https: deadlines, bounded answers, and patience when asked for it.

use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use reqwest::{Client, RequestBuilder};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::DnsError;

/// Longest time of one request.
const LIMIT: Duration = Duration::from_secs(10);

/// Largest answer. Unit: bytes.
const ANSWER_LIMIT: usize = 4 << 20;

/// How long to wait when a provider has had enough and does not say for how long.
const USUAL_WAIT: Duration = Duration::from_secs(5);

/// Puts a query behind a URL.
pub(super) fn with_query(url: &str, query: &[(&str, &str)]) -> String {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(query);
    format!("{url}?{}", text.finish())
}

/// A provider's API.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) provider: &'static str,
    client: Client,
    patience: Duration,
}

/// What it answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

impl Api {
    /// Speaks with `provider`, and waits for at most `patience` in all when it asks to.
    pub(super) fn new(provider: &'static str, patience: Duration) -> Result<Self, DnsError> {
        let client = Client::builder()
            .user_agent(concat!("kalpana/", env!("CARGO_PKG_VERSION")))
            .timeout(LIMIT)
            .connect_timeout(LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .build();
        let client = client.map_err(|error| DnsError::Unreachable {
            provider: provider.to_owned(),
            why: error.to_string(),
        })?;
        Ok(Self {
            provider,
            client,
            patience,
        })
    }

    /// Sends what `build` makes, again while the provider has had enough.
    pub(super) async fn send(
        &self,
        build: impl Fn(&Client) -> RequestBuilder + Send + Sync,
    ) -> Result<Answer, DnsError> {
        let deadline = Instant::now() + self.patience;
        loop {
            let answer = build(&self.client).send().await;
            let mut answer = answer.map_err(|error| self.unreachable(&error))?;
            let status = answer.status();
            let has_had_enough = status == StatusCode::TOO_MANY_REQUESTS
                || status == StatusCode::SERVICE_UNAVAILABLE;
            if has_had_enough {
                let asked = answer.headers().get(RETRY_AFTER);
                let asked = asked.and_then(|value| value.to_str().ok()?.trim().parse().ok());
                let wait = asked.map_or(USUAL_WAIT, Duration::from_secs);
                if Instant::now() + wait < deadline {
                    tokio::time::sleep(wait).await;
                    continue;
                }
            }
            let mut body = Vec::new();
            while let Some(chunk) = answer
                .chunk()
                .await
                .map_err(|error| self.unreachable(&error))?
            {
                if body.len() + chunk.len() > ANSWER_LIMIT {
                    return Err(DnsError::Unreachable {
                        provider: self.provider.to_owned(),
                        why: "its answer is longer than 4 MiB".to_owned(),
                    });
                }
                body.extend_from_slice(&chunk);
            }
            return Ok(Answer { status, body });
        }
    }

    /// Makes an error of an answer that is none of the expected ones.
    pub(super) fn refused(&self, name: &str, status: StatusCode, why: &str) -> DnsError {
        let provider = self.provider.to_owned();
        let why: String = why.chars().take(200).collect();
        let why = format!("{status}: {why}");
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                DnsError::KeyWrong { provider, why }
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                DnsError::Unreachable { provider, why }
            }
            _ => DnsError::Refused {
                provider,
                name: name.to_owned(),
                why,
            },
        }
    }

    /// The provider has no zone for a name.
    pub(super) fn zone_unknown(&self, name: &str) -> DnsError {
        DnsError::ZoneUnknown {
            provider: self.provider.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Reads an answer of JSON.
    pub(super) fn json<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, DnsError> {
        serde_json::from_slice(&answer.body).map_err(|error| DnsError::Unreachable {
            provider: self.provider.to_owned(),
            why: format!("{}: its answer makes no sense: {error}", answer.status),
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> DnsError {
        use std::error::Error;
        let mut why = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            why = format!("{why}: {error}");
            cause = error.source();
        }
        DnsError::Unreachable {
            provider: self.provider.to_owned(),
            why: why.chars().take(300).collect(),
        }
    }
}
