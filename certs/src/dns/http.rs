//! Calls to a provider over HTTP: bounded in time and size, polite, and silent about secrets.

use std::sync::Arc;
use std::time::Duration;

use kalpana_config::Secret;
use kalpana_domain::clock::Clock;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, StatusCode, redirect};
use tokio::time::Instant;
use url::Url;

use super::{DnsError, lookup, secret};

/// How long one call may take, with its answer.
const CALL: Duration = Duration::from_secs(10);

/// The largest answer that is read, in bytes.
const LIMIT_BYTES: usize = 1 << 20;

/// How long is waited when a provider says "too many" and not how long. Doubled each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The most pages of a list that are read.
pub(crate) const MOST_PAGES: u32 = 100;

/// A provider's HTTP interface.
pub(crate) struct Api {
    pub(crate) provider: &'static str,
    pub(crate) client: Client,
    base: Url,
    /// What must not be in any words that we repeat.
    secrets: Vec<Secret<String>>,
    /// How long all attempts at one call may take when the provider asks to wait.
    patience: Duration,
    clock: Arc<dyn Clock>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

/// What a provider's HTTP interface needs to know beside its URL.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) patience: Duration,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Api {
    pub(crate) fn new(
        provider: &'static str,
        base: &str,
        secrets: Vec<Secret<String>>,
        context: Context,
    ) -> Result<Self, DnsError> {
        let wrong = |problem: String| DnsError::Setting { provider, problem };
        let url = Url::parse(base).map_err(|error| wrong(format!("url: {error}")))?;
        let is_here = url.host_str().is_some_and(lookup::is_loopback);
        if url.scheme() != "https" && !(url.scheme() == "http" && is_here) {
            return Err(wrong(
                "url must begin with https://, or whoever listens reads the token".to_owned(),
            ));
        }
        // A redirect would take the token to somebody else.
        let mut client = Client::builder()
            .timeout(CALL)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("kalpana/", env!("CARGO_PKG_VERSION")));
        if is_here {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            provider,
            client,
            base: url,
            secrets,
            patience: context.patience,
            clock: context.clock,
        })
    }

    /// Returns the URL of a path below the base, whose parts are escaped.
    pub(crate) fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// Makes a call, again and again for as long as the provider asks to wait and there is time.
    /// `is_limited` tells whether an answer asks to wait, beside those with status 429.
    pub(crate) async fn call(
        &self,
        record: &str,
        request: impl Fn() -> Result<RequestBuilder, DnsError>,
        is_limited: impl Fn(&Answer) -> bool,
    ) -> Result<Answer, DnsError> {
        let deadline = Instant::now() + self.patience;
        let mut usual_wait = FIRST_WAIT;
        loop {
            let sent = request()?.send().await;
            let response = sent.map_err(|error| self.unreachable(record, &error))?;
            let asked = self.asked_to_wait(response.headers());
            let answer = self.read(record, response).await?;
            let is_busy = answer.status == StatusCode::SERVICE_UNAVAILABLE && asked.is_some();
            let is_limit = answer.status == StatusCode::TOO_MANY_REQUESTS;
            if !(is_limit || is_busy || is_limited(&answer)) {
                return Ok(answer);
            }
            let wait = asked.unwrap_or(usual_wait);
            if Instant::now() + wait > deadline {
                return Err(DnsError::Limited {
                    provider: self.provider,
                    record: record.to_owned(),
                    wait,
                });
            }
            tracing::info!(
                "{} asked to wait for {wait:?} before {record} is changed",
                self.provider
            );
            tokio::time::sleep(wait).await;
            usual_wait *= 2;
        }
    }

    async fn read(
        &self,
        record: &str,
        mut response: reqwest::Response,
    ) -> Result<Answer, DnsError> {
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.unreachable(record, &error))?
        {
            if body.len() + chunk.len() > LIMIT_BYTES {
                return Err(self.garbled(record, "it is larger than 1 MiB"));
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
            return Err(self.failed(record, &format!("it answered {status}")));
        }
        if status.is_redirection() {
            return Err(self.garbled(record, "it redirects elsewhere"));
        }
        Ok(Answer { status, body })
    }

    /// Reads `Retry-After`, which is in seconds or a date. Source: RFC 9110, section 10.2.3.
    fn asked_to_wait(&self, headers: &HeaderMap) -> Option<Duration> {
        let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = value.parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
        let wait = date.duration_since(self.clock.now());
        Some(Duration::try_from(wait).unwrap_or_default())
    }

    /// Returns the provider's own words without secrets.
    pub(crate) fn words(&self, words: &str) -> String {
        let secrets: Vec<&Secret<String>> = self.secrets.iter().collect();
        secret::harmless(words, &secrets)
    }

    pub(crate) fn key_wrong(&self, record: &str, said: &str) -> DnsError {
        DnsError::KeyWrong {
            provider: self.provider,
            record: record.to_owned(),
            said: self.words(said),
        }
    }

    pub(crate) fn refused(&self, record: &str, said: &str) -> DnsError {
        DnsError::Refused {
            provider: self.provider,
            record: record.to_owned(),
            said: self.words(said),
        }
    }

    pub(crate) fn no_zone(&self, record: &str, said: &str) -> DnsError {
        DnsError::ZoneUnknown {
            provider: self.provider,
            record: record.to_owned(),
            said: self.words(said),
        }
    }

    pub(crate) fn garbled(&self, record: &str, said: &str) -> DnsError {
        DnsError::Garbled {
            provider: self.provider,
            record: record.to_owned(),
            said: self.words(said),
        }
    }

    pub(crate) fn failed(&self, record: &str, said: &str) -> DnsError {
        DnsError::Unreachable {
            provider: self.provider,
            record: record.to_owned(),
            said: self.words(said),
        }
    }

    fn unreachable(&self, record: &str, error: &reqwest::Error) -> DnsError {
        // The innermost cause is the one that says something: "connection refused".
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let host = self.base.host_str().unwrap_or_default();
        let said = if error.is_timeout() {
            format!("{host}: it did not answer within {} s", CALL.as_secs())
        } else {
            format!("{host}: {cause}")
        };
        self.failed(record, &said)
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.base.as_str())
    }
}

impl Answer {
    /// Returns the body as text, for its words.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Returns the names that may be the zone of `record`, the longest first; a top-level domain is
/// nobody's zone.
pub(crate) fn zones_of(record: &str) -> impl Iterator<Item = &str> {
    let above = std::iter::successors(Some(record), |name| Some(name.split_once('.')?.1));
    above.filter(|name| name.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_looked_for_from_the_longest_name_on() {
        let zones: Vec<&str> = zones_of("_acme-challenge.a.example.com").collect();
        assert_eq!(
            zones,
            [
                "_acme-challenge.a.example.com",
                "a.example.com",
                "example.com"
            ]
        );
    }

    #[test]
    fn how_long_to_wait_is_read_in_seconds_and_as_a_date() {
        let now = "1994-11-06T08:49:07Z".parse().expect("a time");
        let context = Context {
            patience: Duration::ZERO,
            clock: Arc::new(kalpana_domain::clock::ManualClock::new(now)),
        };
        let api = Api::new("x", "https://api.example.test", Vec::new(), context);
        let api = api.expect("an interface");
        let asked = |value: &str| {
            let value = value.parse().expect("a header");
            api.asked_to_wait(&HeaderMap::from_iter([(RETRY_AFTER, value)]))
        };
        assert_eq!(asked("120"), Some(Duration::from_secs(120)));
        let date = asked("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date, Some(Duration::from_secs(30)));
        let past = asked("Sun, 06 Nov 1994 08:00:00 GMT");
        assert_eq!(past, Some(Duration::ZERO));
        assert_eq!(asked("soon"), None);
    }
}
