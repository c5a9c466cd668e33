//! Dynamic updates (RFC 2136), signed with TSIG (RFC 8945).

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hickory_proto::op::{Message, ResponseCode, update_message};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::{TsigAlgorithm, TsigError};
use hickory_proto::rr::{Name, RData, Record, RecordSet, RecordType, TSigner};
use kalpana_config::section::certs::dns::Rfc2136 as Settings;
use kalpana_domain::clock::Clock;

use super::{DnsError, Provider, TTL_SECONDS, lookup, secret, wire};

/// How far the two clocks may be apart, in seconds. Source: RFC 8945, section 10.
const FUDGE_SECONDS: u16 = 300;

const PROVIDER: &str = "the DNS server";

/// A server that takes updates.
pub(crate) struct Rfc2136 {
    server: SocketAddr,
    signer: TSigner,
    zone: Option<Name>,
    clock: Arc<dyn Clock>,
}

impl Rfc2136 {
    pub(crate) fn new(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self, DnsError> {
        let wrong = |problem: String| DnsError::Setting {
            provider: PROVIDER,
            problem,
        };
        let algorithm = match settings.key_algorithm.as_str() {
            "hmac-sha256" => TsigAlgorithm::HmacSha256,
            "hmac-sha384" => TsigAlgorithm::HmacSha384,
            "hmac-sha512" => TsigAlgorithm::HmacSha512,
            other => return Err(wrong(format!("key_algorithm {other} is not known"))),
        };
        let name = lookup::parse(settings.key_name.trim_end_matches('.'))
            .map_err(|_| wrong("key_name is not a name".to_owned()))?;
        let secret = secret::read(PROVIDER, &settings.key_file)?;
        let key = STANDARD
            .decode(in_key_file(secret.expose()))
            .ok()
            .filter(|key| !key.is_empty())
            .ok_or_else(|| DnsError::SecretMalformed {
                provider: PROVIDER,
                path: settings.key_file.clone(),
                expected: "a key in base64, or what tsig-keygen prints",
            })?;
        let signer = TSigner::new(key, algorithm, name, FUDGE_SECONDS)
            .map_err(|error| wrong(error.to_string()))?;
        let zone = settings.zone.as_deref().map(lookup::parse).transpose()?;
        Ok(Self {
            server: settings.server,
            signer,
            zone,
            clock,
        })
    }

    /// Finds the zone by asking the server itself, which need not be one that the world asks.
    async fn zone_of(&self, name: &Name) -> Result<Name, DnsError> {
        if let Some(zone) = &self.zone {
            if zone.zone_of(name) {
                return Ok(zone.clone());
            }
            return Err(self.no_zone(name, format!("it is not in {}", lookup::text(zone))));
        }
        let mut said = String::new();
        for candidate in lookup::ancestors(name) {
            let answer = wire::ask(self.server, &candidate, RecordType::SOA, false)
                .await
                .map_err(|error| self.unreachable(name, &error))?;
            if let Some(zone) = lookup::start_of_authority(&answer, &candidate) {
                return Ok(zone);
            }
            said = format!("{} answered {}", self.server, answer.response_code);
        }
        Err(self.no_zone(name, said))
    }

    async fn update(&self, name: &Name, mut message: Message) -> Result<(), DnsError> {
        let now = self.clock.now().as_second();
        let now = u64::try_from(now).unwrap_or_default();
        let verifier = message.finalize(&self.signer, now);
        let verifier = verifier.map_err(|error| self.garbled(name, &error.to_string()))?;
        let (answer, bytes) = wire::tell(self.server, &message)
            .await
            .map_err(|error| self.unreachable(name, &error))?;
        self.judge(name, &answer)?;
        // Anybody in between could have said that it went well.
        verifier
            .ok_or_else(|| self.garbled(name, "the question was not signed"))?
            .verify(&bytes)
            .map_err(|error| self.garbled(name, &format!("its signature is wrong ({error})")))?;
        Ok(())
    }

    fn judge(&self, name: &Name, answer: &Message) -> Result<(), DnsError> {
        let record = lookup::text(name);
        let server = self.server;
        let tsig = answer.signature().and_then(|record| record.data.error);
        let key = lookup::text(self.signer.signer_name());
        match tsig {
            Some(TsigError::BadKey) => {
                return Err(DnsError::KeyWrong {
                    provider: PROVIDER,
                    record,
                    said: format!("{server} does not know the key {key} (BADKEY)"),
                });
            }
            Some(TsigError::BadSig | TsigError::BadTrunc) => {
                return Err(DnsError::KeyWrong {
                    provider: PROVIDER,
                    record,
                    said: format!("{server} has another secret for the key {key} (BADSIG)"),
                });
            }
            Some(TsigError::BadTime) => {
                return Err(DnsError::ClockWrong {
                    provider: PROVIDER,
                    record,
                    said: format!("{server} answered BADTIME"),
                });
            }
            Some(TsigError::Unknown(0)) | None => {}
            Some(other) => return Err(self.garbled(name, &format!("{other:?}"))),
        }
        match answer.response_code {
            ResponseCode::NoError => Ok(()),
            ResponseCode::NotAuth | ResponseCode::NotZone => {
                Err(self.no_zone(name, format!("{server} is not its primary server")))
            }
            code => Err(DnsError::Refused {
                provider: PROVIDER,
                record,
                said: format!("{server} answered {code} to an update with the key {key}"),
            }),
        }
    }

    fn no_zone(&self, name: &Name, said: String) -> DnsError {
        DnsError::ZoneUnknown {
            provider: PROVIDER,
            record: lookup::text(name),
            said,
        }
    }

    fn unreachable(&self, name: &Name, error: &wire::WireError) -> DnsError {
        DnsError::Unreachable {
            provider: PROVIDER,
            record: lookup::text(name),
            said: format!("{}: {error}", self.server),
        }
    }

    fn garbled(&self, name: &Name, said: &str) -> DnsError {
        DnsError::Garbled {
            provider: PROVIDER,
            record: lookup::text(name),
            said: format!("{}: {said}", self.server),
        }
    }
}

#[async_trait]
impl Provider for Rfc2136 {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    async fn set(&self, name: &str, value: &str) -> Result<(), DnsError> {
        let name = lookup::parse(name)?;
        let zone = self.zone_of(&name).await?;
        // Adding a record that is there already is no error, by the RFC.
        let message = update_message::append(one(&name, value), zone, false, false);
        self.update(&name, message).await
    }

    async fn clear(&self, name: &str, value: &str) -> Result<(), DnsError> {
        let name = lookup::parse(name)?;
        let zone = self.zone_of(&name).await?;
        let message = update_message::delete_by_rdata(one(&name, value), zone, false);
        self.update(&name, message).await
    }
}

impl fmt::Debug for Rfc2136 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Rfc2136")
            .field("server", &self.server)
            .field("zone", &self.zone)
            .finish_non_exhaustive()
    }
}

fn one(name: &Name, value: &str) -> RecordSet {
    let data = RData::TXT(TXT::new(vec![value.to_owned()]));
    RecordSet::from(Record::from_rdata(name.clone(), TTL_SECONDS, data))
}

/// Finds the key in what `tsig-keygen` prints; anything else is taken for the key itself.
fn in_key_file(text: &str) -> &str {
    let Some((_, rest)) = text.split_once("secret") else {
        return text;
    };
    rest.split('"').nth(1).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_alone_and_as_tsig_keygen_prints_it() {
        let printed = "key \"k\" {\n\talgorithm hmac-sha256;\n\tsecret \"bWFnaWM=\";\n};";
        assert_eq!(in_key_file(printed), "bWFnaWM=");
        assert_eq!(in_key_file("bWFnaWM="), "bWFnaWM=");
    }
}
