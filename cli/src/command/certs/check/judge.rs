//! Judges a chain of certificates by its names, its time, and by what this machine trusts.

use std::time::Duration;

use kalpana_certs::chain::{End, common_name};
use kalpana_config::Site;
use kalpana_domain::Timestamp;
use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use serde::Serialize;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::x509::X509Name;

/// Seconds before the end at which an operator should look.
const SOON: i64 = 14 * 86_400;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Stable and in snake case.
    pub(crate) code: &'static str,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) fix: String,
}

impl Finding {
    pub(crate) fn new(code: &'static str, message: String, fix: &str) -> Self {
        Self {
            code,
            message,
            fix: fix.to_owned(),
        }
    }
}

/// What is known of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Judged {
    pub(crate) names: Vec<String>,
    pub(crate) issuer: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    /// Whole days until the end, negative after it.
    pub(crate) days_left: i64,
    /// How many certificates are sent, the leaf among them.
    pub(crate) chain_length: usize,
    /// Whether it leads to an authority that is known here, or to one that was sent.
    pub(crate) is_chain_complete: bool,
    pub(crate) is_trusted_by_system: bool,
    pub(crate) is_trusted_by_authority: bool,
}

/// Whom this machine trusts.
#[derive(Debug)]
pub(crate) struct Trust {
    system: RootCertStore,
    authority: RootCertStore,
}

impl Trust {
    /// Reads the roots of the system and the site's local authority. What cannot be read is not
    /// trusted.
    pub(crate) fn of_this_machine(site: &Site) -> Self {
        let system = rustls_native_certs::load_native_certs().certs;
        let authority = CertificateDer::from_pem_file(site.authority_certificate()).ok();
        Self::new(system, authority)
    }

    fn new(
        system: impl IntoIterator<Item = CertificateDer<'static>>,
        authority: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Self {
        let store = |certificates: &mut dyn Iterator<Item = CertificateDer<'static>>| {
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(certificates);
            store
        };
        Self {
            system: store(&mut system.into_iter()),
            authority: store(&mut authority.into_iter()),
        }
    }

    fn knows(&self, name: &X509Name<'_>) -> bool {
        let mut known = self.system.subjects();
        known.extend(self.authority.subjects());
        known
            .iter()
            .any(|subject| subject.as_ref() == name.as_raw())
    }
}

/// Judges what is shown for `host` at `now`.
pub(super) fn judge(
    host: &str,
    chain: &[CertificateDer<'static>],
    trust: &Trust,
    now: Timestamp,
) -> (Option<Judged>, Vec<Finding>) {
    let parsed: Option<Vec<X509Certificate<'_>>> = chain
        .iter()
        .map(|one| {
            X509Certificate::from_der(one)
                .ok()
                .map(|(_, parsed)| parsed)
        })
        .collect();
    let facts = parsed.as_deref().and_then(|parsed| {
        let leaf = parsed.first()?;
        let not_before = Timestamp::from_second(leaf.validity().not_before.timestamp()).ok()?;
        let not_after = Timestamp::from_second(leaf.validity().not_after.timestamp()).ok()?;
        let verifiable = ParsedCertificate::try_from(chain.first()?).ok()?;
        Some((parsed, leaf, not_before, not_after, verifiable))
    });
    let Some((parsed, leaf, not_before, not_after, verifiable)) = facts else {
        let garbage = Finding::new(
            "certificate_file_garbage",
            "what is shown is no certificate".to_owned(),
            "Replace the file that certs.certificate_file names.",
        );
        return (None, vec![garbage]);
    };
    // Whether somebody trusts it is another question than whether its time is over.
    let at = now.clamp(not_before, not_after);
    let verify = |roots| verify(&verifiable, roots, &chain[1..], at);
    let (by_system, by_authority) = (verify(&trust.system), verify(&trust.authority));
    let end = End::of(parsed, &|name| trust.knows(name));
    let mut findings = judge_time(not_before, not_after, now);
    if !covers(&verifiable, host) {
        findings.push(Finding::new(
            "name_not_covered",
            format!("it is not for {host}"),
            "It must name the site's domain and *.<workspace domain>.",
        ));
    }
    if let (Err(reason), Err(_)) = (&by_system, &by_authority) {
        findings.push(untrusted(&end, reason));
    }
    let judged = Judged {
        names: names(leaf),
        issuer: common_name(leaf.issuer()),
        not_before,
        not_after,
        days_left: (not_after.as_second() - now.as_second()).div_euclid(86_400),
        chain_length: chain.len(),
        is_chain_complete: !matches!(end, End::Unknown { .. }),
        is_trusted_by_system: by_system.is_ok(),
        is_trusted_by_authority: by_authority.is_ok(),
    };
    (Some(judged), findings)
}

fn verify(
    leaf: &ParsedCertificate<'_>,
    roots: &RootCertStore,
    others: &[CertificateDer<'_>],
    at: Timestamp,
) -> Result<(), rustls::Error> {
    let seconds = u64::try_from(at.as_second()).unwrap_or_default();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    verify_server_cert_signed_by_trust_anchor(
        leaf,
        roots,
        others,
        UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
        provider.signature_verification_algorithms.all,
    )
}

fn covers(leaf: &ParsedCertificate<'_>, host: &str) -> bool {
    ServerName::try_from(host).is_ok_and(|name| verify_server_name(leaf, &name).is_ok())
}

fn judge_time(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> Vec<Finding> {
    let left = not_after.as_second() - now.as_second();
    let lifetime = not_after.as_second() - not_before.as_second();
    let finding = if left <= 0 {
        Finding::new(
            "certificate_expired",
            format!("its time was over at {not_after}"),
            "`kalpana certs list` says why there is no other; files that you bring are replaced by \
             you.",
        )
    } else if not_before > now {
        Finding::new(
            "clock_wrong",
            format!("its time begins at {not_before} only"),
            "Set this machine's clock.",
        )
    // One of six days is always near its end.
    } else if left < SOON && left < lifetime / 6 {
        Finding::new(
            "certificate_ends_soon",
            format!("it ends at {not_after} and should have been replaced"),
            "`kalpana certs list` says why it was not; files that you bring are replaced by you.",
        )
    } else {
        return Vec::new();
    };
    vec![finding]
}

fn untrusted(end: &End, reason: &rustls::Error) -> Finding {
    match end {
        End::Unknown { issuer, is_leaf } => {
            let before = if *is_leaf { "it" } else { "the last one sent" };
            Finding::new(
                "chain_incomplete",
                format!(
                    "{before} is signed by {issuer}, whose certificate is neither sent nor known here"
                ),
                &format!(
                    "If {issuer} is an intermediate, append its certificate to \
                     certs.certificate_file (authorities call this the full chain). If it is your \
                     own authority, install it on this machine."
                ),
            )
        }
        End::Itself { is_leaf } => {
            let who = if *is_leaf {
                "it signed itself"
            } else {
                "its authority is not known here"
            };
            Finding::new(
                "untrusted",
                format!("nobody here trusts it: {who}"),
                "`kalpana certs trust` for the site's own authority; certs.source = \"acme\" for one \
                 that browsers trust.",
            )
        }
        End::Known => Finding::new(
            "untrusted",
            format!("nobody here trusts it: {reason}"),
            "Its authority is known, but does not vouch for it. Get a new certificate from it.",
        ),
    }
}

fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let names = leaf.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.iter());
    names
        .into_iter()
        .flatten()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect()
}
