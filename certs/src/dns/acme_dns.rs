//! acme-dns: a small name server that holds nothing but the records of proofs.
//!
//! `_acme-challenge.<domain>` is a CNAME that leads to a name that acme-dns gave out, so a stolen
//! credential changes nothing else. It keeps the two newest values of a name and forgets the
//! older ones by itself, so there is nothing to clear.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use async_trait::async_trait;
use kalpana_config::Secret;
use kalpana_config::section::certs::dns::AcmeDns as Settings;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::http::{Answer, Api, Context};
use super::{CHALLENGE, DnsError, Provider, secret};

const PROVIDER: &str = "acme-dns";

/// How many values it keeps of a name.
const KEPT: usize = 2;

#[derive(Debug)]
pub(crate) struct AcmeDns {
    api: Api,
    /// By domain.
    registrations: BTreeMap<String, Registration>,
    /// What this process set last, by name: to set a value once more would push the other out.
    newest: Mutex<HashMap<String, Vec<String>>>,
}

/// What `/register` answered.
#[derive(Debug, Deserialize)]
struct Registration {
    username: Secret<String>,
    password: Secret<String>,
    fulldomain: String,
    subdomain: String,
}

/// The shape of its errors.
#[derive(Deserialize)]
struct Problem {
    error: String,
}

impl AcmeDns {
    pub(crate) fn new(settings: &Settings, context: Context) -> Result<Self, DnsError> {
        let mut registrations = BTreeMap::new();
        let mut secrets = Vec::new();
        for (domain, path) in &settings.registration_files {
            let text = secret::read(PROVIDER, path)?;
            let registration: Registration =
                serde_json::from_str(text.expose()).map_err(|_| DnsError::SecretMalformed {
                    provider: PROVIDER,
                    path: path.clone(),
                    expected: "the JSON that /register answered",
                })?;
            secrets.push(registration.password.clone());
            secrets.push(registration.username.clone());
            registrations.insert(domain.to_ascii_lowercase(), registration);
        }
        Ok(Self {
            api: Api::new(PROVIDER, &settings.url, secrets, context)?,
            registrations,
            newest: Mutex::default(),
        })
    }

    /// Finds the registration of a name that an alias led to.
    fn registration_of(&self, name: &str) -> Result<&Registration, DnsError> {
        let is_it = |registration: &&Registration| {
            let fulldomain = registration.fulldomain.trim_end_matches('.');
            fulldomain.eq_ignore_ascii_case(name)
        };
        if let Some(registration) = self.registrations.values().find(is_it) {
            return Ok(registration);
        }
        let domain = name.strip_prefix(CHALLENGE).unwrap_or(name);
        match self.registrations.get(domain) {
            Some(registration) => Err(DnsError::AliasMissing {
                record: name.to_owned(),
                target: registration.fulldomain.clone(),
            }),
            None => Err(self.api.no_zone(name, "there is no registration for it")),
        }
    }

    fn is_among_newest(&self, name: &str, value: &str) -> bool {
        let newest = self.newest.lock().expect("no holder panics");
        newest
            .get(name)
            .is_some_and(|values| values.iter().any(|held| held == value))
    }

    fn problem(&self, record: &str, answer: &Answer) -> DnsError {
        let words = match serde_json::from_slice::<Problem>(&answer.body) {
            Ok(problem) => format!("{} ({})", problem.error, answer.status),
            Err(_) => answer.status.to_string(),
        };
        match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.api.key_wrong(record, &words),
            StatusCode::NOT_FOUND => self.api.garbled(record, &words),
            _ => self.api.refused(record, &words),
        }
    }
}

#[async_trait]
impl Provider for AcmeDns {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    async fn set(&self, name: &str, value: &str) -> Result<(), DnsError> {
        let registration = self.registration_of(name)?;
        if self.is_among_newest(name, value) {
            return Ok(());
        }
        let body = json!({ "subdomain": registration.subdomain, "txt": value });
        let url = self.api.url(&["update"]);
        let request = || {
            Ok(self
                .api
                .client
                .post(url.clone())
                .header("X-Api-User", registration.username.expose())
                .header("X-Api-Key", registration.password.expose())
                .json(&body))
        };
        let answer = self.api.call(name, request, |_| false).await?;
        if !answer.status.is_success() {
            return Err(self.problem(name, &answer));
        }
        let mut newest = self.newest.lock().expect("no holder panics");
        let values = newest.entry(name.to_owned()).or_default();
        values.insert(0, value.to_owned());
        values.truncate(KEPT);
        Ok(())
    }

    async fn clear(&self, name: &str, value: &str) -> Result<(), DnsError> {
        let mut newest = self.newest.lock().expect("no holder panics");
        if let Some(values) = newest.get_mut(name) {
            values.retain(|held| held != value);
        }
        Ok(())
    }
}
