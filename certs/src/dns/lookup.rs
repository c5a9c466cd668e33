//! Where a name leads, who serves it, and what those servers say.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::time::Instant;

use super::error::Missing;
use super::{DnsError, wire};

/// The most aliases that are followed from one name.
const MOST_ALIASES: usize = 8;

/// The most servers of a zone that are asked. Zones have two to eight.
const MOST_SERVERS: usize = 16;

/// Where name servers listen.
const PORT: u16 = 53;

/// Where the system says whom to ask.
const RESOLVERS_FILE: &str = "/etc/resolv.conf";

/// Pauses between two rounds of questions: from the first on each is longer, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(300);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// Asks name servers.
#[derive(Debug)]
pub(crate) struct Lookup {
    /// Who is asked for anything. Empty: those of the system.
    resolvers: Vec<SocketAddr>,
    /// Where a zone's own servers listen; `None` when `resolvers` are asked in their place.
    authority_port: Option<u16>,
}

/// A server that must have a record before the authority looks.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Server {
    name: String,
    addresses: Vec<SocketAddr>,
    /// What was said when its addresses were looked up.
    trouble: Option<String>,
}

/// What a server says of a record.
enum Seen {
    Yes,
    /// It answers without the value: it may come later.
    NotYet(Missing),
    /// It says nothing about the zone.
    Silent(Missing),
}

impl Lookup {
    /// Asks `resolvers` for everything, or, when there are none, the system's servers for where a
    /// zone's own servers are, and those for what is in it.
    pub(crate) fn new(resolvers: Vec<SocketAddr>) -> Self {
        let authority_port = resolvers.is_empty().then_some(PORT);
        Self {
            resolvers,
            authority_port,
        }
    }

    /// Asks `resolver` where a zone's servers are, and those at `port`.
    #[cfg(test)]
    pub(crate) fn with_authorities(resolver: SocketAddr, port: u16) -> Self {
        Self {
            resolvers: vec![resolver],
            authority_port: Some(port),
        }
    }

    /// Follows the aliases of `name`; returns where they end, which need not exist.
    pub(crate) async fn alias_end(&self, name: &str) -> Result<String, DnsError> {
        let mut name = parse(name)?;
        for _ in 0..=MOST_ALIASES {
            let answer = self.ask(&name, RecordType::CNAME).await?;
            let target = answer.answers.iter().find_map(|record| match &record.data {
                RData::CNAME(target) if record.name == name => Some(target.0.clone()),
                _ => None,
            });
            match target {
                Some(target) => name = target,
                None => return Ok(text(&name)),
            }
        }
        Err(DnsError::LookupFailed {
            record: text(&name),
            said: format!("more than {MOST_ALIASES} CNAMEs lead on from one another"),
        })
    }

    /// Waits until every server of the record's zone answers `value` for `name`, `patience` long.
    ///
    /// A server that says nothing all that time, or that it does not know the zone, is passed over
    /// if all others have the record: a dead secondary, or an address of a family that this machine
    /// has not got, must not keep a site from its certificate.
    pub(crate) async fn wait_for(
        &self,
        provider: &'static str,
        name: &str,
        value: &str,
        patience: Duration,
    ) -> Result<(), DnsError> {
        let begun = Instant::now();
        let target = parse(name)?;
        let mut waiting = self.servers(&target).await?;
        let mut is_seen = false;
        let mut pause = FIRST_PAUSE;
        loop {
            let mut still = Vec::new();
            let mut late = Vec::new();
            let mut silent = Vec::new();
            let is_recursive = self.authority_port.is_none();
            let asked = waiting
                .iter()
                .map(|server| server.has(&target, value, is_recursive));
            let round = join_all(asked).await;
            for (server, seen) in waiting.into_iter().zip(round) {
                match seen {
                    Seen::Yes => is_seen = true,
                    Seen::NotYet(missing) => {
                        late.push(missing);
                        still.push(server);
                    }
                    Seen::Silent(missing) => {
                        silent.push(missing);
                        still.push(server);
                    }
                }
            }
            if still.is_empty() {
                return Ok(());
            }
            if begun.elapsed() + pause > patience {
                if is_seen && late.is_empty() {
                    for missing in silent {
                        tracing::warn!(
                            dns.server = missing.server,
                            "{} says nothing about {name} ({}); all other servers have it",
                            missing.server,
                            missing.said
                        );
                    }
                    return Ok(());
                }
                late.extend(silent);
                return Err(DnsError::NotPropagated {
                    provider,
                    record: name.to_owned(),
                    waited: patience,
                    missing: late,
                });
            }
            waiting = still;
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LAST_PAUSE);
        }
    }

    /// Returns who must have a record of `name`.
    async fn servers(&self, name: &Name) -> Result<Vec<Server>, DnsError> {
        let Some(port) = self.authority_port else {
            let all = self.resolvers.iter();
            return Ok(all
                .map(|address| Server {
                    name: address.to_string(),
                    addresses: vec![*address],
                    trouble: None,
                })
                .collect());
        };
        let zone = self.zone_of(name).await?;
        let answer = self.ask(&zone, RecordType::NS).await?;
        let names = answer
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::NS(server) => Some(server.0.clone()),
                _ => None,
            });
        let mut servers = Vec::new();
        for server in names.take(MOST_SERVERS) {
            servers.push(self.server(&server, port).await);
        }
        if servers.is_empty() {
            return Err(DnsError::LookupFailed {
                record: text(name),
                said: format!("the zone {} has no name server", text(&zone)),
            });
        }
        Ok(servers)
    }

    /// Looks up the addresses of a zone's server. Without any it is one that says nothing.
    async fn server(&self, name: &Name, port: u16) -> Server {
        let mut server = Server {
            name: text(name),
            addresses: Vec::new(),
            trouble: None,
        };
        for record_type in [RecordType::A, RecordType::AAAA] {
            match self.ask(name, record_type).await {
                Ok(answer) => {
                    let found = answer.answers.iter();
                    let found = found.filter_map(|record| record.data.ip_addr());
                    let found = found.map(|address| SocketAddr::new(address, port));
                    server.addresses.extend(found);
                }
                Err(error) => server.trouble = Some(error.to_string()),
            }
        }
        server
    }

    /// Returns the zone that `name` is in.
    async fn zone_of(&self, name: &Name) -> Result<Name, DnsError> {
        for candidate in ancestors(name) {
            let answer = self.ask(&candidate, RecordType::SOA).await?;
            if let Some(zone) = start_of_authority(&answer, &candidate) {
                return Ok(zone);
            }
        }
        Err(DnsError::LookupFailed {
            record: text(name),
            said: "no server knows a zone that it is in".to_owned(),
        })
    }

    /// Asks one resolver after the other, until one answers.
    async fn ask(&self, name: &Name, record_type: RecordType) -> Result<Message, DnsError> {
        let mut said = Vec::new();
        for server in self.resolvers_now(name)? {
            match wire::ask(server, name, record_type, true).await {
                Ok(answer) if is_an_answer(answer.response_code) => return Ok(answer),
                Ok(answer) => said.push(format!("{server}: {}", answer.response_code)),
                Err(error) => said.push(format!("{server}: {error}")),
            }
        }
        if said.is_empty() {
            said.push("this machine has no name server".to_owned());
        }
        Err(DnsError::LookupFailed {
            record: text(name),
            said: said.join("; "),
        })
    }

    /// The system's servers may be others than a minute ago, so they are read each time.
    fn resolvers_now(&self, name: &Name) -> Result<Vec<SocketAddr>, DnsError> {
        if !self.resolvers.is_empty() {
            return Ok(self.resolvers.clone());
        }
        let unusable = |why: String| DnsError::LookupFailed {
            record: text(name),
            said: format!("{RESOLVERS_FILE} cannot be used: {why}"),
        };
        let bytes = std::fs::read(RESOLVERS_FILE).map_err(|error| unusable(error.to_string()))?;
        let config =
            resolv_conf::Config::parse(&bytes).map_err(|error| unusable(error.to_string()))?;
        let servers = config.nameservers.iter();
        Ok(servers
            .map(|server| SocketAddr::new(server.into(), PORT))
            .collect())
    }
}

impl Server {
    /// One of its addresses is enough: of two families a machine may have one.
    async fn has(&self, name: &Name, value: &str, recursive: bool) -> Seen {
        let missing = |address, said| Missing {
            server: self.name.clone(),
            address,
            said,
        };
        let mut late = None;
        let no_address = || "it has no address".to_owned();
        let mut silent = missing(None, self.trouble.clone().unwrap_or_else(no_address));
        for address in &self.addresses {
            match wire::ask(*address, name, RecordType::TXT, recursive).await {
                Ok(answer) if values(&answer, name).any(|found| found == value) => {
                    return Seen::Yes;
                }
                Ok(answer) if is_an_answer(answer.response_code) => {
                    late = Some(missing(Some(*address), without(&answer, name)));
                }
                // It has not got the zone, and will not have the record.
                Ok(answer) => {
                    let said = format!("it answered {}", answer.response_code);
                    silent = missing(Some(*address), said);
                }
                Err(error) => silent = missing(Some(*address), error.to_string()),
            }
        }
        late.map_or(Seen::Silent(silent), Seen::NotYet)
    }
}

fn is_an_answer(code: ResponseCode) -> bool {
    matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
}

/// Says what a server has instead of a value.
fn without(answer: &Message, name: &Name) -> String {
    match (answer.response_code, values(answer, name).count()) {
        (ResponseCode::NXDomain, _) => "it has nothing of that name".to_owned(),
        (_, 0) => "it has no TXT record there".to_owned(),
        (_, count) => format!("it has {count} other TXT records there"),
    }
}

/// Returns the TXT values of `name`. One value may be written in several parts.
fn values<'answer>(
    answer: &'answer Message,
    name: &'answer Name,
) -> impl Iterator<Item = String> + 'answer {
    answer
        .answers
        .iter()
        .filter_map(move |record| match &record.data {
            RData::TXT(parts) if record.name == *name => {
                Some(String::from_utf8_lossy(&parts.txt_data.concat()).into_owned())
            }
            _ => None,
        })
}

/// Returns the zone that an answer to "who begins a zone at `name`" names: that one, or the one
/// above that it is in.
pub(crate) fn start_of_authority(answer: &Message, name: &Name) -> Option<Name> {
    let records = answer.answers.iter().chain(&answer.authorities);
    let mut zones = records
        .filter(|record| record.record_type() == RecordType::SOA)
        .map(|record| &record.name);
    zones.find(|zone| zone.zone_of(name)).cloned()
}

/// Returns `name` and the names above it, down to the ones with one label.
pub(crate) fn ancestors(name: &Name) -> impl Iterator<Item = Name> + use<> {
    let name = name.clone();
    let labels = usize::from(name.num_labels());
    (1..=labels).rev().map(move |count| name.trim_to(count))
}

/// Parses a name that is written without the dot at its end.
pub(crate) fn parse(name: &str) -> Result<Name, DnsError> {
    let parsed = Name::from_ascii(name).ok();
    let parsed = parsed.filter(|name| name.num_labels() > 0);
    let mut parsed = parsed.ok_or_else(|| DnsError::BadRecord {
        record: name.to_owned(),
        problem: "it is not a domain name",
    })?;
    parsed.set_fqdn(true);
    Ok(parsed.to_lowercase())
}

/// Writes a name without the dot at its end.
pub(crate) fn text(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_owned()
}

/// Tells whether an address is this machine's own.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests;
