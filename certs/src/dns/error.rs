//! Why a record could not be set, cleared or seen.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Why a record could not be set, cleared or seen. Each names the provider or the server, and the
/// record; none holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// A file with a secret could not be read.
    #[error("cannot read {path}, where the secret for {provider} should be")]
    SecretUnreadable {
        /// Who is asked for records.
        provider: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others may read or change a file with a secret.
    #[error("{path} has mode {mode:04o}, so that others can read the secret for {provider}")]
    SecretExposed {
        /// Who is asked for records.
        provider: &'static str,
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file holds something other than the secret.
    #[error("{path} is not {expected}, which {provider} needs")]
    SecretMalformed {
        /// Who is asked for records.
        provider: &'static str,
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
    },
    /// A setting cannot be used.
    #[error("the settings for {provider} cannot be used: {problem}")]
    Setting {
        /// Who is asked for records.
        provider: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A domain, or the value for its record, is not one.
    #[error("{record} cannot be the record of a proof: {problem}")]
    BadRecord {
        /// The record's name, or the domain.
        record: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The provider does not accept the key or the token.
    #[error("{provider} did not accept the key for {record}: {said}")]
    KeyWrong {
        /// Who was asked.
        provider: &'static str,
        /// The record's name.
        record: String,
        /// The provider's words.
        said: String,
    },
    /// The provider and this machine do not have the same time.
    #[error("{provider} says for {record} that the time of this machine is wrong: {said}")]
    ClockWrong {
        /// Who was asked.
        provider: &'static str,
        /// The record's name.
        record: String,
        /// The provider's words.
        said: String,
    },
    /// The provider knows the key but does not do it.
    #[error("{provider} refused to change {record}: {said}")]
    Refused {
        /// Who was asked.
        provider: &'static str,
        /// The record's name.
        record: String,
        /// The provider's words.
        said: String,
    },
    /// The provider has no zone that the record would be in.
    #[error("{provider} has no zone for {record}: {said}")]
    ZoneUnknown {
        /// Who was asked.
        provider: &'static str,
        /// The record's name.
        record: String,
        /// What was looked for.
        said: String,
    },
    /// The name must be an alias and is none.
    #[error("{record} must be a CNAME that leads to {target}")]
    AliasMissing {
        /// The name.
        record: String,
        /// Where it should lead.
        target: String,
    },
    /// The provider wants fewer calls than the time allows for.
    #[error("{provider} asked to wait for {wait:?} before it changes {record}")]
    Limited {
        /// Who was asked.
        provider: &'static str,
        /// The record's name.
        record: String,
        /// How long.
        wait: Duration,
    },
    /// The provider could not be reached, or failed.
    #[error("{provider} could not be reached for {record}: {said}")]
    Unreachable {
        /// Who was asked.
        provider: &'static str,
        /// The record's name.
        record: String,
        /// What happened.
        said: String,
    },
    /// The provider's answer is not what its interface promises.
    #[error("{provider} gave an answer for {record} that cannot be understood: {said}")]
    Garbled {
        /// Who was asked.
        provider: &'static str,
        /// The record's name.
        record: String,
        /// What is wrong with it.
        said: String,
    },
    /// The program failed or took too long.
    #[error("{program} failed for {record}: {said}")]
    ProgramFailed {
        /// The program.
        program: String,
        /// The record's name.
        record: String,
        /// How it ended, and its last line.
        said: String,
    },
    /// No name server could say where a name leads, or who serves its zone.
    #[error("cannot look up {record}: {said}")]
    LookupFailed {
        /// The name.
        record: String,
        /// What the servers said.
        said: String,
    },
    /// The record was set and is not seen.
    #[error(
        "{record} was set by {provider} and not seen after {waited:?}: {}",
        listed(missing)
    )]
    NotPropagated {
        /// Who was asked.
        provider: &'static str,
        /// The record's name.
        record: String,
        /// How long was waited.
        waited: Duration,
        /// The servers that do not have it, and what each said instead.
        missing: Vec<Missing>,
    },
}

/// A server that does not have a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its name, where it has one.
    pub server: String,
    /// The address that was asked last.
    pub address: Option<SocketAddr>,
    /// What it said.
    pub said: String,
}

fn listed(missing: &[Missing]) -> String {
    let each: Vec<String> = missing
        .iter()
        .map(|missing| match missing.address {
            Some(address) if missing.server != address.to_string() => {
                format!("{} ({address}): {}", missing.server, missing.said)
            }
            _ => format!("{}: {}", missing.server, missing.said),
        })
        .collect();
    each.join("; ")
}

impl DnsError {
    /// Returns a word for it that stays the same.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SecretUnreadable { .. } => "dns_secret_unreadable",
            Self::SecretExposed { .. } => "dns_secret_exposed",
            Self::SecretMalformed { .. } => "dns_secret_malformed",
            Self::Setting { .. } => "dns_setting_wrong",
            Self::BadRecord { .. } => "dns_record_invalid",
            Self::KeyWrong { .. } => "dns_key_wrong",
            Self::ClockWrong { .. } => "dns_clock_wrong",
            Self::Refused { .. } => "dns_provider_refused",
            Self::ZoneUnknown { .. } => "dns_zone_unknown",
            Self::AliasMissing { .. } => "dns_alias_missing",
            Self::Limited { .. } => "dns_provider_limited",
            Self::Unreachable { .. } => "dns_unreachable",
            Self::Garbled { .. } => "dns_provider_garbled",
            Self::ProgramFailed { .. } => "dns_program_failed",
            Self::LookupFailed { .. } => "dns_lookup_failed",
            Self::NotPropagated { .. } => "dns_not_propagated",
        }
    }

    /// Returns what an operator should do about it, as a sentence.
    pub fn next_step(&self) -> String {
        match self {
            Self::SecretUnreadable { path, .. } => format!(
                "Put the secret into {} and give that file to the user that the gateway runs as.",
                path.display()
            ),
            Self::SecretExposed { path, .. } => format!("Run chmod 0600 {}.", path.display()),
            Self::SecretMalformed { path, expected, .. } => {
                format!("Write {expected} into {} and nothing else.", path.display())
            }
            Self::Setting { .. } => {
                "Correct certs.acme.dns in the configuration and start again.".to_owned()
            }
            Self::BadRecord { .. } => {
                "Check the domains of the site in the configuration.".to_owned()
            }
            Self::KeyWrong {
                provider, record, ..
            } => format!(
                "Check that the key or token is the one {provider} shows, is not revoked, and may \
                 edit the zone of {record}."
            ),
            Self::ClockWrong { .. } => {
                "Set the clock of this machine, best by turning on NTP.".to_owned()
            }
            Self::Refused {
                provider, record, ..
            } => format!(
                "Allow at {provider} that TXT records of {record} are changed with this key, or \
                 see in its words what it does not like."
            ),
            Self::ZoneUnknown {
                provider, record, ..
            } => format!(
                "Check that {provider} serves the zone of {record} and that the key may see it. If \
                 another provider serves it, make {record} a CNAME that leads to a zone that \
                 {provider} serves."
            ),
            Self::AliasMissing { record, target } => {
                format!("Add the record `{record}. CNAME {target}.` where the domain is served.")
            }
            Self::Limited { provider, .. } => format!(
                "Nothing: it is tried again later. If it stays, find out what else calls \
                 {provider} with this account."
            ),
            Self::Unreachable { provider, .. } => format!(
                "Check that this machine can reach {provider}, and that the address in \
                 certs.acme.dns is right. It is tried again by itself."
            ),
            Self::Garbled { provider, .. } => format!(
                "Check that the URL or server in certs.acme.dns is {provider}, with nothing in \
                 between that answers in its place."
            ),
            Self::ProgramFailed { program, .. } => format!(
                "Run {program} by hand as the gateway's user, with `set`, a name and a value."
            ),
            Self::LookupFailed { .. } => {
                "Check the name servers of this machine (/etc/resolv.conf), or name others in \
                 certs.acme.dns.resolvers."
                    .to_owned()
            }
            Self::NotPropagated { record, .. } => format!(
                "Ask each server for the record by hand (`dig TXT {record} @server`). If it comes \
                 late, raise certs.acme.dns.propagation_timeout; if this machine sees other \
                 servers than the world, set certs.acme.dns.resolvers."
            ),
        }
    }
}
