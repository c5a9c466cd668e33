//! What goes wrong on our side: settings, proofs, the disk, the clock, the other gateways.

use std::path::Path;
use std::time::Duration;

use instant_acme::ChallengeType;
use kalpana_domain::Timestamp;

use super::{Failure, causes};
use crate::dns::DnsError;
use crate::error::Error;
use crate::shelf::ShelfError;

impl Failure {
    pub(in crate::acme) fn took_too_long(limit: Duration) -> Self {
        let seconds = limit.as_secs();
        Self::new(
            "acme_slow",
            format!("it took more than {seconds} seconds"),
            "Nothing needs to be done: it is tried again, and goes on where it was.",
        )
        .passing()
    }

    pub(in crate::acme) fn no_challenge(name: &str, kinds: &[ChallengeType]) -> Self {
        Self::new(
            "acme_no_challenge",
            format!("{name}: the authority offers no proof of the kind {kinds:?}"),
            "Set certs.acme.challenge to auto. A wildcard needs certs.acme.dns.",
        )
    }

    pub(in crate::acme) fn no_dns() -> Self {
        Self::new(
            "acme_no_dns",
            "dns-01 is asked for, but nothing says where records are set",
            "Add the section certs.acme.dns.",
        )
    }

    pub(in crate::acme) fn dns(error: &DnsError) -> Self {
        Self::new(error.code(), error.to_string(), error.next_step()).passing()
    }

    pub(in crate::acme) fn root_file(path: &Path, why: &str) -> Self {
        Self::new(
            "acme_root_file",
            format!("{} cannot be used: {why}", path.display()),
            "Let certs.acme.root_file name a PEM file with the roots of the authority's https.",
        )
    }

    pub(in crate::acme) fn binding_key(path: &Path, why: &str) -> Self {
        Self::new(
            "acme_eab_key",
            format!("{} cannot be used: {why}", path.display()),
            "Let certs.acme.eab_hmac_key_file name a file with the HMAC key, base64url as the \
             authority gave it.",
        )
    }

    /// Something could not be read or written here.
    pub(crate) fn storage(error: &Error) -> Self {
        Self::new(
            "certs_storage",
            causes(error),
            "Check that the disk is not full and that the gateway's directory is the gateway's.",
        )
        .passing()
    }

    /// The code of [`Failure::shared`].
    pub(crate) const SHARED: &str = "certs_shared";

    /// The gateways of the site could not agree who orders.
    pub(crate) fn shared(error: &ShelfError) -> Self {
        Self::new(
            Self::SHARED,
            format!("the site's gateways could not agree who orders: {error}"),
            "Check that kalpana web runs on this machine, that the store answers, and that all \
             gateways have the same session.key.",
        )
        .passing()
    }

    /// Another gateway orders now, because this one was too long without a word.
    pub(crate) fn turn_lost() -> Self {
        Self::new(
            "certs_turn_lost",
            "the other gateways did not hear of this one for too long, and another orders now",
            "Nothing needs to be done; should it come again, check that the store answers quickly.",
        )
        .passing()
    }

    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(
            "certs_internal",
            causes(error),
            "Please report it; the log tells more.",
        )
    }

    pub(in crate::acme) fn clock(from: Timestamp, until: Timestamp, now: Timestamp) -> Self {
        Self::new(
            "clock_wrong",
            format!(
                "the new certificate is good from {from} to {until}, and this machine thinks it \
                 is {now}"
            ),
            "Set this machine's clock.",
        )
    }

    pub(in crate::acme) fn other_names(has: &[String], wanted: &[String]) -> Self {
        Self::new(
            "acme_other_names",
            format!("the certificate is for {has:?}, not for {wanted:?}"),
            "Ask the authority.",
        )
    }
}
