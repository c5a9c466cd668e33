//! Dynamic updates (RFC 2136), signed with TSIG (RFC 8945): BIND, Knot, PowerDNS, Windows.

use std::net::SocketAddr;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hickory_net::NetError;
use hickory_proto::op::{Message, ResponseCode, update_message};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{Name, RData, Record, RecordSet, RecordType, TSigner};
use kalpana_config::section::certs::dns::Rfc2136;

use super::{DnsError, Provider, TTL, ancestors, secret, wire};

/// How far the server's clock may be from ours. Unit: seconds.
const FUDGE: u16 = 300;

/// A server that takes updates.
pub(super) struct Updates {
    server: SocketAddr,
    signer: TSigner,
    zone: Option<String>,
}

impl std::fmt::Debug for Updates {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Updates")
            .field("server", &self.server)
            .field("zone", &self.zone)
            .finish_non_exhaustive()
    }
}

impl Updates {
    pub(super) fn new(config: &Rfc2136) -> Result<Self, DnsError> {
        let unusable = |why: &str| DnsError::Secret {
            path: config.key_file.clone(),
            why: why.to_owned(),
        };
        let text = secret(&config.key_file)?;
        let key = STANDARD
            .decode(&text)
            .map_err(|_| unusable("it is not base64"))?;
        let algorithm = match config.key_algorithm.as_str() {
            "hmac-sha512" => TsigAlgorithm::HmacSha512,
            "hmac-sha384" => TsigAlgorithm::HmacSha384,
            _ => TsigAlgorithm::HmacSha256,
        };
        let name = Name::from_ascii(&config.key_name)
            .map_err(|_| unusable("certs.acme.dns.rfc2136.key_name is not a name"))?;
        let signer = TSigner::new(key, algorithm, name, FUDGE)
            .map_err(|_| unusable("it is no key of this kind"))?;
        Ok(Self {
            server: config.server,
            signer,
            zone: config.zone.clone(),
        })
    }

    fn provider(&self) -> String {
        format!("the name server {}", self.server)
    }

    /// Asks the server which of its zones a name belongs to.
    async fn zone(&self, name: &str) -> Result<Name, DnsError> {
        let unknown = || DnsError::ZoneUnknown {
            provider: self.provider(),
            name: name.to_owned(),
        };
        if let Some(zone) = &self.zone {
            return absolute(zone).ok_or_else(unknown);
        }
        for candidate in ancestors(name) {
            let candidate = absolute(candidate).ok_or_else(unknown)?;
            let answer = wire::ask(self.server, &candidate, RecordType::SOA).await;
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) if is_unreachable(&error) => return Err(self.unreachable(&error)),
                Err(_) => continue,
            };
            let has_soa = answer
                .answers
                .iter()
                .any(|record| record.record_type() == RecordType::SOA && record.name == candidate);
            if has_soa {
                return Ok(candidate);
            }
        }
        Err(unknown())
    }

    async fn change(
        &self,
        name: &str,
        value: &str,
        message: impl Fn(RecordSet, Name) -> Message,
    ) -> Result<(), DnsError> {
        let zone = self.zone(name).await?;
        let refused = |why: String| DnsError::Refused {
            provider: self.provider(),
            name: name.to_owned(),
            why,
        };
        let owner = absolute(name).ok_or_else(|| refused("it is not a name".to_owned()))?;
        if !zone.zone_of(&owner) {
            return Err(DnsError::ZoneUnknown {
                provider: self.provider(),
                name: name.to_owned(),
            });
        }
        let text = RData::TXT(TXT::new(vec![value.to_owned()]));
        let record = Record::from_rdata(owner, TTL, text);
        let message = message(RecordSet::from(record), zone);
        let answer = wire::update(self.server, message, Some(self.signer.clone())).await;
        let code = match answer {
            Ok(answer) => answer.metadata.response_code,
            Err(error) if is_unreachable(&error) => return Err(self.unreachable(&error)),
            // What cannot be verified was not signed with our key.
            Err(error) => {
                return Err(DnsError::KeyWrong {
                    provider: self.provider(),
                    why: error.to_string(),
                });
            }
        };
        match code {
            ResponseCode::NoError => Ok(()),
            ResponseCode::NotAuth | ResponseCode::BADKEY | ResponseCode::BADTIME => {
                Err(DnsError::KeyWrong {
                    provider: self.provider(),
                    why: code.to_string(),
                })
            }
            ResponseCode::NotZone => Err(DnsError::ZoneUnknown {
                provider: self.provider(),
                name: name.to_owned(),
            }),
            code => Err(refused(code.to_string())),
        }
    }

    fn unreachable(&self, error: &NetError) -> DnsError {
        DnsError::Unreachable {
            provider: self.provider(),
            why: error.to_string(),
        }
    }
}

fn absolute(name: &str) -> Option<Name> {
    let mut name = Name::from_ascii(name).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn is_unreachable(error: &NetError) -> bool {
    matches!(
        error,
        NetError::Io(_) | NetError::Timeout | NetError::NoConnections | NetError::Busy
    )
}

#[async_trait]
impl Provider for Updates {
    async fn set(&self, name: &str, value: &str) -> Result<(), DnsError> {
        let add = |records, zone| update_message::append(records, zone, false, true);
        self.change(name, value, add).await
    }

    async fn clear(&self, name: &str, value: &str) -> Result<(), DnsError> {
        let delete = |records, zone| update_message::delete_by_rdata(records, zone, true);
        self.change(name, value, delete).await
    }
}
