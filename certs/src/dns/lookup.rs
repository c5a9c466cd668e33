//! Where a record belongs, and whether it is seen there.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::rr::{Name, RData, RecordType};
use tokio::time::Instant;

use super::{DnsError, Record, ancestors, wire};

/// Most aliases that are followed.
const ALIASES: usize = 8;

/// How often the zone's servers are asked.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The port of name servers.
const PORT: u16 = 53;

/// Asks name servers.
#[derive(Debug)]
pub(super) struct Lookup {
    /// Asked for everything; the system's where there are none.
    resolvers: Vec<SocketAddr>,
    /// Whether records are looked for there, and not at the zone's own servers.
    is_told: bool,
}

impl Lookup {
    /// Asks `resolvers`, or the system's.
    pub(super) fn new(resolvers: &[SocketAddr]) -> Self {
        if resolvers.is_empty() {
            Self {
                resolvers: system(),
                is_told: false,
            }
        } else {
            Self {
                resolvers: resolvers.to_vec(),
                is_told: true,
            }
        }
    }

    /// Follows the aliases of `name` to where its records are.
    ///
    /// # Errors
    /// [`DnsError::Lookup`].
    pub(super) async fn target(&self, name: &str) -> Result<String, DnsError> {
        let mut name = name.to_owned();
        for _ in 0..ALIASES {
            match self.alias(&name).await? {
                Some(next) => name = next,
                None => return Ok(name),
            }
        }
        Err(failed(&name, "it leads through too many aliases"))
    }

    async fn alias(&self, name: &str) -> Result<Option<String>, DnsError> {
        let answers = self.ask(name, RecordType::CNAME).await?;
        Ok(answers.into_iter().find_map(|data| match data {
            RData::CNAME(next) => Some(text(&next.0)),
            _ => None,
        }))
    }

    /// Waits until every server of the record's zone answers it.
    ///
    /// # Errors
    /// [`DnsError::NotPropagated`], which names those that do not.
    pub(super) async fn wait(&self, record: &Record, limit: Duration) -> Result<(), DnsError> {
        let deadline = Instant::now() + limit;
        let mut missing = self.servers(&record.name).await?;
        let name = absolute(&record.name)?;
        loop {
            let mut still = Vec::new();
            for server in missing {
                let answer = wire::ask(server, &name, RecordType::TXT).await;
                let is_seen =
                    answer.is_ok_and(|answer| wire::texts(&answer.answers).contains(&record.value));
                if !is_seen {
                    still.push(server);
                }
            }
            if still.is_empty() {
                return Ok(());
            }
            if Instant::now() + ASK_EVERY > deadline {
                let servers: Vec<String> = still.iter().map(ToString::to_string).collect();
                return Err(DnsError::NotPropagated {
                    name: record.name.clone(),
                    seconds: limit.as_secs(),
                    servers: servers.join(", "),
                });
            }
            missing = still;
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Returns the servers of the zone that `name` belongs to.
    async fn servers(&self, name: &str) -> Result<Vec<SocketAddr>, DnsError> {
        if self.is_told {
            return Ok(self.resolvers.clone());
        }
        for zone in ancestors(name) {
            let names = self.ask(zone, RecordType::NS).await?;
            let names = names.into_iter().filter_map(|data| match data {
                RData::NS(server) => Some(text(&server.0)),
                _ => None,
            });
            let mut servers = Vec::new();
            for server in names {
                if let Ok(addresses) = tokio::net::lookup_host((server.as_str(), PORT)).await {
                    // One address of each: more are the same server, or of a family that is not
                    // routed here.
                    servers.extend(addresses.take(1));
                }
            }
            if !servers.is_empty() {
                return Ok(servers);
            }
        }
        Err(failed(name, "no server of its zone was found"))
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, DnsError> {
        let question = absolute(name)?;
        let mut last = "there is no name server to ask".to_owned();
        for server in &self.resolvers {
            match wire::ask(*server, &question, kind).await {
                Ok(answer) => {
                    let records = answer.answers.iter();
                    return Ok(records.map(|record| record.data.clone()).collect());
                }
                Err(error) => last = format!("{server}: {error}"),
            }
        }
        Err(failed(name, &last))
    }
}

/// Reads whom the system asks.
fn system() -> Vec<SocketAddr> {
    let text = std::fs::read("/etc/resolv.conf").unwrap_or_default();
    let config = resolv_conf::Config::parse(&text).unwrap_or_default();
    let servers = config.nameservers.iter();
    servers
        .map(|server| SocketAddr::new(server.into(), PORT))
        .collect()
}

fn absolute(name: &str) -> Result<Name, DnsError> {
    let mut absolute = Name::from_ascii(name).map_err(|_| failed(name, "it is not a name"))?;
    absolute.set_fqdn(true);
    Ok(absolute)
}

fn text(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

fn failed(name: &str, why: &str) -> DnsError {
    DnsError::Lookup {
        name: name.to_owned(),
        why: why.to_owned(),
    }
}
