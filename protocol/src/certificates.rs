//! What the gateway says of its certificates, on its control socket, to `web` and to the operator's
//! command line.
//!
//! `GET /v1/certificates` answers a [`Certificates`]; `POST /v1/certificates/{id}/renew`,
//! `POST /v1/certificates/{id}/revoke` and `POST /v1/certificates` with an [`Issue`] answer the
//! [`Certificate`] as it then is, or a [`Problem`] with a status of 4xx or 5xx. They answer when it
//! is done, which takes seconds to minutes. Whoever asks in a person's name says so with
//! `?by=web`, and has written down who it was; everything else is taken for the console's.
//!
//! What happened to certificates the gateway tells `web` with [`HAPPENED_PATH`] on its internal
//! socket, for the audit log: 204 when it is written there, which it may have been before, 400 when it
//! never will be.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// All certificates of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificates {
    /// Those of the site first, then those of single hosts by name.
    pub certificates: Vec<Certificate>,
    /// How many more may be ordered for single hosts within the running week; `None` where one
    /// wildcard serves all.
    pub on_demand_left: Option<u32>,
}

/// One certificate, served or wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// What it is called in commands: its first name, with `_` for the star of a wildcard.
    pub id: String,
    /// The names that it is for, or will be.
    pub names: Vec<String>,
    /// `local`, `files` or `acme`.
    pub source: String,
    /// How it is.
    pub state: CertificateState,
    /// What is known of the one that is served; `None` where there is none.
    pub served: Option<Shown>,
    /// When the next will be ordered or signed; `None` where an operator brings it.
    pub next_renewal: Option<Timestamp>,
    /// What is being done right now, in words, such as `the authority looks for the record`.
    pub step: Option<String>,
    /// Why the last attempt failed, or what is wrong with what an operator brought.
    pub problem: Option<Problem>,
}

/// How a certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateState {
    /// Served, and nothing is wrong.
    Good,
    /// Served, but the next could not be had, or visitors will stumble over what an operator brought.
    Failing,
    /// Served, though its time is over.
    Expired,
    /// Wanted, and not there yet. Another may stand in for it.
    Missing,
}

/// What clients are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Common name of who signed it.
    pub issuer: String,
    /// Serial number, in hex.
    pub serial: String,
    /// From when it is good.
    pub not_before: Timestamp,
    /// Until when it is good.
    pub not_after: Timestamp,
    /// How many certificates are sent, the leaf among them.
    pub chain_length: usize,
    /// SHA-256 of the leaf, in hex.
    pub fingerprint: String,
}

/// Why something failed, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable and in snake case, such as `dns_not_propagated`.
    pub code: String,
    /// What happened, in one sentence.
    pub message: String,
    /// What to do about it, in one sentence.
    pub next_step: String,
    /// When.
    pub at: Timestamp,
    /// How often in a row; 0 where nothing was tried, and the certificate itself is at fault.
    pub failures: u32,
    /// When it is tried again by itself.
    pub retry_at: Option<Timestamp>,
}

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// A host of the site.
    pub name: String,
}

/// Where [`Happened`] is posted to.
pub const HAPPENED_PATH: &str = "/v1/certificates/happened";

/// Something that happened to a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// A UUID, the same for the same event however often and by whomever it is told.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: Happening,
    /// What the certificate is called.
    pub certificate: String,
    /// The serial number of a certificate, the code of a failure, or the end of what ends.
    pub detail: Option<String>,
}

/// What can happen to a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// An operator asked at the console for one for a host.
    OrderAsked,
    /// An operator asked at the console for a new one.
    RenewalAsked,
    /// An operator asked at the console that it be declared void.
    RevocationAsked,
    /// A new one is served.
    Replaced,
    /// An authority declared it void.
    Revoked,
    /// A new one could not be had. Told once for a reason, not for every attempt.
    Failed,
    /// It ends soon, with no other in sight: told 14, 7 and 1 days before.
    Ending,
}
