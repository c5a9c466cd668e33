//! How certificates are shown.

use kalpana_protocol::certificates::{Certificate, CertificateState, Certificates, Problem, Shown};
use serde::Serialize;
use utoipa::ToSchema;

/// All certificates of the gateway.
#[derive(Serialize, ToSchema)]
#[schema(as = Certificates)]
pub(crate) struct CertificatesView {
    /// Those of the site first, then those of single workspaces by name.
    certificates: Vec<CertificateView>,
    /// How many more may be ordered for single workspaces this week; absent where one wildcard
    /// serves all.
    #[serde(skip_serializing_if = "Option::is_none")]
    on_demand_left: Option<u32>,
}

/// One certificate, served or wanted.
#[derive(Serialize, ToSchema)]
#[schema(as = Certificate)]
pub(crate) struct CertificateView {
    /// What it is called.
    id: String,
    /// The names it is for.
    names: Vec<String>,
    /// `local` (the site's own authority), `files` or `acme`.
    source: String,
    /// How it is.
    state: CertificateStateName,
    /// What visitors are shown; absent where there is none yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    served: Option<ServedView>,
    /// When the next is ordered or signed; absent where an operator brings it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    next_renewal: Option<String>,
    /// What is being done right now, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<String>,
    /// Why the last attempt failed; absent after one that did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<CertificateProblemView>,
}

/// How a certificate is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CertificateState)]
pub(crate) enum CertificateStateName {
    /// Served, and nothing is wrong.
    Good,
    /// Served, but the next could not be had.
    Failing,
    /// Served, though its time is over.
    Expired,
    /// Not there yet.
    Missing,
}

/// What visitors are shown.
#[derive(Serialize, ToSchema)]
#[schema(as = ServedCertificate)]
pub(crate) struct ServedView {
    /// Who signed it.
    issuer: String,
    /// Its serial number, in hex.
    serial: String,
    /// From when it is good.
    #[schema(format = DateTime)]
    not_before: String,
    /// Until when it is good.
    #[schema(format = DateTime)]
    not_after: String,
    /// SHA-256 of it, in hex.
    fingerprint: String,
}

/// Why there is no new one.
#[derive(Serialize, ToSchema)]
#[schema(as = CertificateProblem)]
pub(crate) struct CertificateProblemView {
    /// Stable and in snake case.
    code: String,
    /// What happened.
    message: String,
    /// What to do about it.
    next_step: String,
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// How often in a row.
    failures: u32,
    /// When it is tried again by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    retry_at: Option<String>,
}

impl From<Certificates> for CertificatesView {
    fn from(all: Certificates) -> Self {
        Self {
            certificates: all.certificates.into_iter().map(Into::into).collect(),
            on_demand_left: all.on_demand_left,
        }
    }
}

impl From<Certificate> for CertificateView {
    fn from(certificate: Certificate) -> Self {
        Self {
            id: certificate.id,
            names: certificate.names,
            source: certificate.source,
            state: match certificate.state {
                CertificateState::Good => CertificateStateName::Good,
                CertificateState::Failing => CertificateStateName::Failing,
                CertificateState::Expired => CertificateStateName::Expired,
                CertificateState::Missing => CertificateStateName::Missing,
            },
            served: certificate.served.map(Into::into),
            next_renewal: certificate.next_renewal.map(|at| at.to_string()),
            step: certificate.step,
            problem: certificate.problem.map(Into::into),
        }
    }
}

impl From<Shown> for ServedView {
    fn from(shown: Shown) -> Self {
        Self {
            issuer: shown.issuer,
            serial: shown.serial,
            not_before: shown.not_before.to_string(),
            not_after: shown.not_after.to_string(),
            fingerprint: shown.fingerprint,
        }
    }
}

impl From<Problem> for CertificateProblemView {
    fn from(problem: Problem) -> Self {
        Self {
            code: problem.code,
            message: problem.message,
            next_step: problem.next_step,
            at: problem.at.to_string(),
            failures: problem.failures,
            retry_at: problem.retry_at.map(|at| at.to_string()),
        }
    }
}
