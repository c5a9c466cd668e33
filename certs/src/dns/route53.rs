//! Amazon Route 53.
//!
//! It keeps all values of a name and type as one record set, and replaces sets as a whole. So a
//! value is added by deleting the set as it was read and creating it anew with the value, in one
//! batch: Route 53 refuses the batch when somebody else changed the set in between, and then it is
//! read again.

mod xml;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use kalpana_config::section::certs::dns::Route53 as Settings;
use kalpana_domain::clock::Clock;
use reqwest::{RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use self::xml::{HostedZones, Problem, RecordSet, RecordSets};
use super::http::{Answer, Api, Context, MOST_PAGES, zones_of};
use super::{DnsError, Provider, TTL_SECONDS, secret};

const PROVIDER: &str = "Route 53";
const URL: &str = "https://route53.amazonaws.com";
const VERSION: &str = "2013-04-01";

/// The one region that Route 53 signs for: it is a global service.
const REGION: &str = "us-east-1";

/// How often a set that others change at the same time is read again.
const ATTEMPTS: usize = 8;

/// Codes with which it does not accept a key.
const KEY_CODES: [&str; 6] = [
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "InvalidAccessKeyId",
];

/// Codes with which it finds the time of a signature wrong.
const CLOCK_CODES: [&str; 2] = ["RequestExpired", "RequestTimeTooSkewed"];

/// Codes with which it asks to come back later, with status 400.
const BUSY_CODES: [&str; 3] = [
    "Throttling",
    "ThrottlingException",
    "PriorRequestNotComplete",
];

#[derive(Debug)]
pub(crate) struct Route53 {
    api: Api,
    credentials: Credentials,
    hosted_zone_id: Option<String>,
    clock: Shared,
}

struct Shared(Arc<dyn Clock>);

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Clock")
    }
}

impl Route53 {
    pub(crate) fn new(settings: &Settings, context: Context) -> Result<Self, DnsError> {
        let secret = secret::read_word(PROVIDER, &settings.secret_access_key_file)?;
        let key_id = settings.access_key_id.as_str();
        let credentials = Credentials::new(key_id, secret.expose(), None, None, "kalpana");
        let url = settings.url.as_deref().unwrap_or(URL);
        let clock = Shared(Arc::clone(&context.clock));
        let zone = settings.hosted_zone_id.as_deref();
        Ok(Self {
            api: Api::new(PROVIDER, url, vec![secret], context)?,
            credentials,
            hosted_zone_id: zone.map(|id| id.trim_start_matches("/hostedzone/").to_owned()),
            clock,
        })
    }

    async fn zone_of(&self, record: &str) -> Result<String, DnsError> {
        if let Some(id) = &self.hosted_zone_id {
            return Ok(id.clone());
        }
        for name in zones_of(record) {
            let mut zones = self.zones_named(record, name).await?;
            if zones.len() > 1 {
                let said = format!(
                    "there are {} public zones {name}; name one in hosted_zone_id",
                    zones.len()
                );
                return Err(self.api.no_zone(record, &said));
            }
            if let Some(id) = zones.pop() {
                return Ok(id);
            }
        }
        Err(self
            .api
            .no_zone(record, "the account has no public zone that it is in"))
    }

    /// Returns the ids of the public zones of that name.
    async fn zones_named(&self, record: &str, name: &str) -> Result<Vec<String>, DnsError> {
        let mut found = Vec::new();
        let mut next: Option<(String, String)> = Some((name.to_owned(), String::new()));
        for _ in 0..MOST_PAGES {
            let Some((from, id)) = next.take() else { break };
            let mut url = self.api.url(&[VERSION, "hostedzonesbyname"]);
            url.query_pairs_mut().append_pair("dnsname", &from);
            if !id.is_empty() {
                url.query_pairs_mut().append_pair("hostedzoneid", &id);
            }
            let answer = self.send(record, "GET", &url, String::new()).await?;
            let page: HostedZones = self.open(record, &answer)?;
            // The list is sorted, and begins with the name that was asked for if there is one.
            let is_past = page.zones().any(|zone| !zone.is_named(name));
            let ours = page
                .zones()
                .filter(|zone| zone.is_named(name) && !zone.is_private());
            found.extend(ours.map(|zone| zone.id().to_owned()));
            if is_past {
                break;
            }
            next = page.next();
        }
        Ok(found)
    }

    async fn read(&self, zone: &str, record: &str) -> Result<Option<RecordSet>, DnsError> {
        let mut url = self.api.url(&[VERSION, "hostedzone", zone, "rrset"]);
        url.query_pairs_mut()
            .append_pair("name", record)
            .append_pair("type", "TXT")
            .append_pair("maxitems", "1");
        let answer = self.send(record, "GET", &url, String::new()).await?;
        let sets: RecordSets = self.open(record, &answer)?;
        let Some(set) = sets.find(record) else {
            return Ok(None);
        };
        if !set.is_plain() {
            let said = "its TXT records have a routing policy or are an alias";
            return Err(self.api.refused(record, said));
        }
        Ok(Some(set))
    }

    /// Changes the values of `record` by `edit`, which returns `None` where nothing is to change.
    async fn edit(
        &self,
        record: &str,
        edit: impl Fn(&[String]) -> Option<Vec<String>>,
    ) -> Result<(), DnsError> {
        let zone = self.zone_of(record).await?;
        let url = self.api.url(&[VERSION, "hostedzone", &zone, "rrset"]);
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let old = self.read(&zone, record).await?;
            let values = old.as_ref().map(RecordSet::values).unwrap_or_default();
            let Some(wanted) = edit(&values) else {
                return Ok(());
            };
            let ttl = old.as_ref().map_or(TTL_SECONDS, RecordSet::ttl);
            let new = RecordSet::new(record, ttl, wanted);
            let body = xml::change(old.as_ref(), new.as_ref());
            let answer = self.send(record, "POST", &url, body).await?;
            if answer.status.is_success() {
                return Ok(());
            }
            let problem = Problem::read(&answer.body);
            let is_race = problem.code == "InvalidChangeBatch";
            let error = self.problem(record, answer.status, &problem);
            if !is_race {
                return Err(error);
            }
            last = Some(error);
        }
        Err(last.unwrap_or_else(|| self.api.refused(record, "others change it all the time")))
    }

    async fn send(
        &self,
        record: &str,
        method: &'static str,
        url: &Url,
        body: String,
    ) -> Result<Answer, DnsError> {
        let request = || self.signed(record, method, url, &body);
        let is_busy = |answer: &Answer| {
            answer.status == StatusCode::BAD_REQUEST
                && BUSY_CODES.contains(&Problem::read(&answer.body).code.as_str())
        };
        self.api.call(record, request, is_busy).await
    }

    fn signed(
        &self,
        record: &str,
        method: &'static str,
        url: &Url,
        body: &str,
    ) -> Result<RequestBuilder, DnsError> {
        let unsigned = |error: String| self.api.refused(record, &format!("not signed: {error}"));
        let now = u64::try_from(self.clock.0.now().as_second()).unwrap_or_default();
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(REGION)
            .name("route53")
            .time(SystemTime::UNIX_EPOCH + Duration::from_secs(now))
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| unsigned(error.to_string()))?
            .into();
        let body = body.to_owned();
        let mut request = http::Request::builder()
            .method(method)
            .uri(url.as_str())
            .body(body.clone())
            .map_err(|error| unsigned(error.to_string()))?;
        let signable = SignableRequest::new(
            method,
            url.as_str(),
            std::iter::empty(),
            SignableBody::Bytes(body.as_bytes()),
        )
        .map_err(|error| unsigned(error.to_string()))?;
        let (instructions, _) = sign(signable, &parameters)
            .map_err(|error| unsigned(error.to_string()))?
            .into_parts();
        instructions.apply_to_request_http1x(&mut request);
        let request =
            reqwest::Request::try_from(request).map_err(|error| unsigned(error.to_string()))?;
        Ok(RequestBuilder::from_parts(self.api.client.clone(), request))
    }

    fn open<T: DeserializeOwned>(&self, record: &str, answer: &Answer) -> Result<T, DnsError> {
        if !answer.status.is_success() {
            let problem = Problem::read(&answer.body);
            return Err(self.problem(record, answer.status, &problem));
        }
        quick_xml::de::from_str(&answer.text())
            .map_err(|error| self.api.garbled(record, &error.to_string()))
    }

    fn problem(&self, record: &str, status: StatusCode, problem: &Problem) -> DnsError {
        let words = match problem.code.as_str() {
            "" => status.to_string(),
            code => format!("{} ({code})", problem.message),
        };
        let code = problem.code.as_str();
        if KEY_CODES.contains(&code) {
            // A signature that is too old comes with the same code as one with a wrong key.
            if problem.message.contains("expired") || problem.message.contains("not yet current") {
                return self.clock_wrong(record, &words);
            }
            return self.api.key_wrong(record, &words);
        }
        if CLOCK_CODES.contains(&code) {
            return self.clock_wrong(record, &words);
        }
        match code {
            "NoSuchHostedZone" => self.api.no_zone(record, &words),
            _ => self.api.refused(record, &words),
        }
    }

    fn clock_wrong(&self, record: &str, words: &str) -> DnsError {
        DnsError::ClockWrong {
            provider: PROVIDER,
            record: record.to_owned(),
            said: self.api.words(words),
        }
    }
}

#[async_trait]
impl Provider for Route53 {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    async fn set(&self, name: &str, value: &str) -> Result<(), DnsError> {
        self.edit(name, |values| {
            let is_there = values.iter().any(|held| held == value);
            (!is_there).then(|| {
                let mut values = values.to_vec();
                values.push(value.to_owned());
                values
            })
        })
        .await
    }

    async fn clear(&self, name: &str, value: &str) -> Result<(), DnsError> {
        self.edit(name, |values| {
            let others = values.iter().filter(|held| *held != value);
            let others: Vec<String> = others.cloned().collect();
            (others.len() < values.len()).then_some(others)
        })
        .await
    }
}
