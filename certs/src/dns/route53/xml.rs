//! The documents of Route 53, as far as they are needed.

use quick_xml::escape::escape;
use serde::Deserialize;

const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// `ListHostedZonesByNameResponse`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HostedZones {
    #[serde(default)]
    hosted_zones: ZoneList,
    #[serde(default)]
    is_truncated: bool,
    #[serde(rename = "NextDNSName")]
    next_dns_name: Option<String>,
    next_hosted_zone_id: Option<String>,
}

#[derive(Debug, Deserialize, Default)]
struct ZoneList {
    #[serde(rename = "HostedZone", default)]
    zones: Vec<HostedZone>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HostedZone {
    id: String,
    name: String,
    config: Option<ZoneConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ZoneConfig {
    #[serde(default)]
    private_zone: bool,
}

impl HostedZones {
    pub(super) fn zones(&self) -> impl Iterator<Item = &HostedZone> {
        self.hosted_zones.zones.iter()
    }

    /// Returns the name and id that the next page begins with.
    pub(super) fn next(&self) -> Option<(String, String)> {
        let name = self.next_dns_name.clone()?;
        let id = self.next_hosted_zone_id.clone()?;
        self.is_truncated.then_some((name, id))
    }
}

impl HostedZone {
    pub(super) fn id(&self) -> &str {
        self.id.trim_start_matches("/hostedzone/")
    }

    pub(super) fn is_named(&self, name: &str) -> bool {
        self.name.trim_end_matches('.') == name
    }

    pub(super) fn is_private(&self) -> bool {
        self.config
            .as_ref()
            .is_some_and(|config| config.private_zone)
    }
}

/// `ListResourceRecordSetsResponse`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RecordSets {
    #[serde(default)]
    resource_record_sets: SetList,
}

#[derive(Debug, Deserialize, Default)]
struct SetList {
    #[serde(rename = "ResourceRecordSet", default)]
    sets: Vec<RecordSet>,
}

/// All values of one name and type.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RecordSet {
    name: String,
    #[serde(rename = "Type")]
    record_type: String,
    #[serde(rename = "TTL")]
    ttl: Option<u32>,
    set_identifier: Option<String>,
    #[serde(default)]
    resource_records: Values,
}

#[derive(Debug, Clone, Deserialize, Default)]
struct Values {
    #[serde(rename = "ResourceRecord", default)]
    records: Vec<One>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct One {
    value: String,
}

impl RecordSets {
    /// Returns the TXT records of `name`. The list begins with the first at or after it.
    pub(super) fn find(self, name: &str) -> Option<RecordSet> {
        let is_it =
            |set: &RecordSet| set.record_type == "TXT" && set.name.trim_end_matches('.') == name;
        self.resource_record_sets.sets.into_iter().find(is_it)
    }
}

impl RecordSet {
    /// Makes a set of `values`; `None` when there are none, for there is no empty set.
    pub(super) fn new(name: &str, ttl: u32, values: Vec<String>) -> Option<Self> {
        let records: Vec<One> = values
            .into_iter()
            .map(|value| One {
                value: format!("\"{value}\""),
            })
            .collect();
        (!records.is_empty()).then(|| Self {
            name: format!("{name}."),
            record_type: "TXT".to_owned(),
            ttl: Some(ttl),
            set_identifier: None,
            resource_records: Values { records },
        })
    }

    /// Tells whether it is values and a TTL and nothing else.
    pub(super) fn is_plain(&self) -> bool {
        self.set_identifier.is_none() && self.ttl.is_some()
    }

    pub(super) fn ttl(&self) -> u32 {
        self.ttl.unwrap_or_default()
    }

    /// Returns the values without the quotes around them.
    pub(super) fn values(&self) -> Vec<String> {
        let records = self.resource_records.records.iter();
        records
            .map(|record| {
                let value = record.value.strip_prefix('"');
                let value = value.and_then(|value| value.strip_suffix('"'));
                value.unwrap_or(&record.value).to_owned()
            })
            .collect()
    }

    fn write(&self, action: &str) -> String {
        let values: String = self
            .resource_records
            .records
            .iter()
            .map(|record| {
                format!(
                    "<ResourceRecord><Value>{}</Value></ResourceRecord>",
                    escape(record.value.as_str())
                )
            })
            .collect();
        format!(
            "<Change><Action>{action}</Action><ResourceRecordSet><Name>{}</Name>\
             <Type>{}</Type><TTL>{}</TTL><ResourceRecords>{values}</ResourceRecords>\
             </ResourceRecordSet></Change>",
            escape(self.name.as_str()),
            escape(self.record_type.as_str()),
            self.ttl(),
        )
    }
}

/// Writes the batch that replaces `old` by `new`, wholly or not at all.
pub(super) fn change(old: Option<&RecordSet>, new: Option<&RecordSet>) -> String {
    let delete = old.map(|set| set.write("DELETE")).unwrap_or_default();
    let create = new.map(|set| set.write("CREATE")).unwrap_or_default();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <ChangeResourceRecordSetsRequest xmlns=\"{NAMESPACE}\"><ChangeBatch><Changes>\
         {delete}{create}</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
    )
}

/// What it says when it does not do something.
#[derive(Debug, Default)]
pub(super) struct Problem {
    pub(super) code: String,
    pub(super) message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorResponse {
    error: ErrorBody,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorBody {
    code: String,
    #[serde(default)]
    message: String,
}

/// A batch that is refused has a document of its own.
#[derive(Deserialize)]
#[serde(rename = "InvalidChangeBatch", rename_all = "PascalCase")]
struct InvalidChangeBatch {
    messages: Messages,
}

#[derive(Deserialize)]
struct Messages {
    #[serde(rename = "Message", default)]
    messages: Vec<String>,
}

impl Problem {
    /// Reads either of the two documents; empty when it is neither.
    pub(super) fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        if let Ok(response) = quick_xml::de::from_str::<ErrorResponse>(&text) {
            return Self {
                code: response.error.code,
                message: response.error.message,
            };
        }
        match quick_xml::de::from_str::<InvalidChangeBatch>(&text) {
            Ok(batch) => Self {
                code: "InvalidChangeBatch".to_owned(),
                message: batch.messages.messages.join("; "),
            },
            Err(_) => Self::default(),
        }
    }
}
