//! Amazon Route 53, by its API of 2013-04-01.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::Method;
use kalpana_config::section::certs::dns::Route53 as Config;
use serde::{Deserialize, Serialize};

use super::api::{Answer, Api};
use super::{DnsError, Provider, TTL, ancestors, secret};

/// Where the API is, in all regions.
const URL: &str = "https://route53.amazonaws.com";

/// The region that its signatures name.
const REGION: &str = "us-east-1";

/// The name space of its documents.
const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// Sets records at Route 53.
#[derive(Debug)]
pub(super) struct Route53 {
    api: Api,
    url: String,
    credentials: Credentials,
    zone: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Zones {
    #[serde(rename = "HostedZones", default)]
    zones: ZoneList,
}

#[derive(Debug, Default, Deserialize)]
struct ZoneList {
    #[serde(rename = "HostedZone", default)]
    zones: Vec<Zone>,
}

#[derive(Debug, Deserialize)]
struct Zone {
    #[serde(rename = "Id")]
    id: String,
    #[serde(rename = "Name")]
    name: String,
}

#[derive(Debug, Deserialize)]
struct Sets {
    #[serde(rename = "ResourceRecordSets", default)]
    sets: SetList,
}

#[derive(Debug, Default, Deserialize)]
struct SetList {
    #[serde(rename = "ResourceRecordSet", default)]
    sets: Vec<Set>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Set {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "TTL", default)]
    ttl: u32,
    #[serde(rename = "ResourceRecords", default)]
    records: Values,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Values {
    #[serde(rename = "ResourceRecord", default)]
    values: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Value {
    #[serde(rename = "Value")]
    value: String,
}

#[derive(Debug, Serialize)]
#[serde(rename = "ChangeResourceRecordSetsRequest")]
struct Request {
    #[serde(rename = "@xmlns")]
    namespace: &'static str,
    #[serde(rename = "ChangeBatch")]
    batch: Batch,
}

#[derive(Debug, Serialize)]
struct Batch {
    #[serde(rename = "Changes")]
    changes: Changes,
}

#[derive(Debug, Serialize)]
struct Changes {
    #[serde(rename = "Change")]
    change: Change,
}

#[derive(Debug, Serialize)]
struct Change {
    #[serde(rename = "Action")]
    action: &'static str,
    #[serde(rename = "ResourceRecordSet")]
    set: Set,
}

#[derive(Debug, Deserialize)]
struct Complaint {
    #[serde(rename = "Error")]
    error: Option<Reason>,
}

#[derive(Debug, Deserialize)]
struct Reason {
    #[serde(rename = "Message", default)]
    message: String,
}

impl Route53 {
    pub(super) fn new(config: &Config, patience: Duration) -> Result<Self, DnsError> {
        let url = config.url.as_deref().unwrap_or(URL);
        let key = secret(&config.secret_access_key_file)?;
        let id = &config.access_key_id;
        Ok(Self {
            api: Api::new("Route 53", patience)?,
            url: url.trim_end_matches('/').to_owned(),
            credentials: Credentials::new(id, key, None, None, "kalpana"),
            zone: config.hosted_zone_id.clone(),
        })
    }

    async fn call(&self, method: Method, path: &str, body: &str) -> Result<Answer, DnsError> {
        let url = format!("{}/2013-04-01/{path}", self.url);
        // Each attempt is signed anew: a signature is good for minutes.
        let send = |client: &reqwest::Client| {
            let mut request = client.request(method.clone(), &url).body(body.to_owned());
            for (name, value) in self.signature(method.as_str(), &url, body) {
                request = request.header(name, value);
            }
            request
        };
        self.api.send(send).await
    }

    /// Returns the headers of a signature; none when it cannot be made, which the API will say.
    fn signature(&self, method: &str, url: &str, body: &str) -> Vec<(String, String)> {
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(REGION)
            .name("route53")
            .time(now())
            .settings(SigningSettings::default())
            .build();
        let Ok(parameters) = parameters else {
            return Vec::new();
        };
        let body = SignableBody::Bytes(body.as_bytes());
        let request = SignableRequest::new(method, url, std::iter::empty(), body);
        let signed = request.and_then(|request| sign(request, &parameters.into()));
        let Ok(signed) = signed else {
            return Vec::new();
        };
        let (instructions, _) = signed.into_parts();
        let headers = instructions.headers();
        headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn refused(&self, name: &str, answer: &Answer) -> DnsError {
        let text = String::from_utf8_lossy(&answer.body);
        let complaint: Option<Complaint> = quick_xml::de::from_str(&text).ok();
        let why = complaint
            .and_then(|complaint| complaint.error)
            .map(|reason| reason.message);
        self.api
            .refused(name, answer.status, &why.unwrap_or_default())
    }

    fn read<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
        answer: &Answer,
    ) -> Result<T, DnsError> {
        if !answer.status.is_success() {
            return Err(self.refused(name, answer));
        }
        let text = String::from_utf8_lossy(&answer.body);
        quick_xml::de::from_str(&text).map_err(|error| DnsError::Unreachable {
            provider: self.api.provider.to_owned(),
            why: format!("its answer makes no sense: {error}"),
        })
    }

    async fn zone(&self, name: &str) -> Result<String, DnsError> {
        if let Some(zone) = &self.zone {
            return Ok(zone.trim_start_matches("/hostedzone/").to_owned());
        }
        for candidate in ancestors(name) {
            let path = format!("hostedzonesbyname?dnsname={candidate}&maxitems=1");
            let answer = self.call(Method::GET, &path, "").await?;
            let found: Zones = self.read(name, &answer)?;
            // It answers with what comes next in the order, if there is none of that name.
            let is_it = |zone: &Zone| zone.name.trim_end_matches('.') == candidate;
            if let Some(zone) = found.zones.zones.into_iter().find(is_it) {
                return Ok(zone.id.trim_start_matches("/hostedzone/").to_owned());
            }
        }
        Err(self.api.zone_unknown(name))
    }

    async fn values(&self, zone: &str, name: &str) -> Result<Option<Set>, DnsError> {
        let path = format!("hostedzone/{zone}/rrset?maxitems=1&name={name}&type=TXT");
        let answer = self.call(Method::GET, &path, "").await?;
        let found: Sets = self.read(name, &answer)?;
        let is_it = |set: &Set| set.kind == "TXT" && set.name.trim_end_matches('.') == name;
        Ok(found.sets.sets.into_iter().find(is_it))
    }

    async fn change(
        &self,
        zone: &str,
        name: &str,
        action: &'static str,
        set: Set,
    ) -> Result<(), DnsError> {
        let request = Request {
            namespace: NAMESPACE,
            batch: Batch {
                changes: Changes {
                    change: Change { action, set },
                },
            },
        };
        let body = quick_xml::se::to_string(&request).map_err(|error| DnsError::Unreachable {
            provider: self.api.provider.to_owned(),
            why: error.to_string(),
        })?;
        let path = format!("hostedzone/{zone}/rrset/");
        let answer = self.call(Method::POST, &path, &body).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(self.refused(name, &answer))
    }
}

fn now() -> SystemTime {
    use kalpana_domain::clock::{Clock, SystemClock};
    let seconds = u64::try_from(SystemClock.now().as_second()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn quoted(value: &str) -> Value {
    Value {
        value: format!("\"{value}\""),
    }
}

#[async_trait]
impl Provider for Route53 {
    async fn set(&self, name: &str, value: &str) -> Result<(), DnsError> {
        let zone = self.zone(name).await?;
        let known = self.values(&zone, name).await?;
        let mut set = known.unwrap_or_else(|| Set {
            name: format!("{name}."),
            kind: "TXT".to_owned(),
            ttl: TTL,
            records: Values::default(),
        });
        let value = quoted(value);
        if set.records.values.contains(&value) {
            return Ok(());
        }
        set.records.values.push(value);
        self.change(&zone, name, "UPSERT", set).await
    }

    async fn clear(&self, name: &str, value: &str) -> Result<(), DnsError> {
        let zone = self.zone(name).await?;
        let Some(set) = self.values(&zone, name).await? else {
            return Ok(());
        };
        let value = quoted(value);
        if !set.records.values.contains(&value) {
            return Ok(());
        }
        let mut rest = set.clone();
        rest.records.values.retain(|known| *known != value);
        if rest.records.values.is_empty() {
            return self.change(&zone, name, "DELETE", set).await;
        }
        self.change(&zone, name, "UPSERT", rest).await
    }
}
