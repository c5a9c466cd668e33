//! What went wrong with an order, for people: a stable code, a sentence, and what to do.

mod own;

use std::fmt::Write;
use std::time::Duration;

use http::StatusCode;
use instant_acme::Problem;

/// Longest sentence of an authority that is passed on. Unit: characters.
const SENTENCE_LIMIT: usize = 500;

/// What every type of problem begins with (RFC 8555, 6.7).
const PREFIX: &str = "urn:ietf:params:acme:error:";

/// Why there is no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// Stable and in snake case.
    pub code: &'static str,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub next_step: String,
    /// For how long the authority wants to be left alone.
    pub retry_after: Option<Duration>,
    /// Whether the same order may come to a good end later.
    pub(super) may_pass: bool,
    /// Whether it may right now.
    pub(super) may_go_on_at_once: bool,
    /// The authority's own name for it.
    kind: Option<String>,
}

/// The authority answered 429 or 5xx, in words that are not those of ACME.
#[derive(Debug, thiserror::Error)]
#[error("the authority answered {status}")]
pub(super) struct Unwell {
    pub(super) status: StatusCode,
}

impl Failure {
    pub(crate) fn new(
        code: &'static str,
        message: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        Self {
            code,
            message: message.into(),
            next_step: next_step.into(),
            retry_after: None,
            may_pass: false,
            may_go_on_at_once: false,
            kind: None,
        }
    }

    fn passing(mut self) -> Self {
        self.may_pass = true;
        self
    }

    /// Says for how long to leave the authority alone.
    pub(super) fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// Says which name it is about.
    pub(super) fn about(mut self, name: &str) -> Self {
        self.message = format!("{name}: {}", self.message);
        self
    }

    /// Tells whether the authority called it `kind`, such as `alreadyRevoked`.
    pub(super) fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }

    /// Tells whether the authority does not know our account.
    pub(super) fn is_of_account(&self) -> bool {
        self.code == "acme_account_gone"
    }

    /// Tells whether nothing is known of it.
    pub(super) fn is_unknown(&self) -> bool {
        self.code == "acme_order_invalid"
    }

    /// Translates an error of the library.
    pub(super) fn of_authority(error: &instant_acme::Error) -> Self {
        match error {
            instant_acme::Error::Api(problem) => Self::of_problem(problem),
            instant_acme::Error::Timeout(_) => Self::new(
                "acme_slow",
                "the authority did not come to an end in time",
                "Nothing needs to be done: it is asked again.",
            )
            .passing(),
            instant_acme::Error::Other(other) => {
                if let Some(unwell) = other.downcast_ref::<Unwell>() {
                    return Self::new(
                        "acme_unavailable",
                        unwell.to_string(),
                        "Nothing needs to be done if it passes; else look at the authority's \
                         status page.",
                    )
                    .passing();
                }
                Self::new(
                    "acme_unreachable",
                    format!(
                        "the authority cannot be reached: {}",
                        causes(other.as_ref())
                    ),
                    "Check that this machine can reach certs.acme.directory over https: names, \
                     firewall, proxy, and its clock.",
                )
                .passing()
            }
            other => Self::new(
                "acme_unreadable",
                format!("the authority's answer makes no sense: {other}"),
                "Check that certs.acme.directory is the URL of an ACME directory.",
            ),
        }
    }

    /// Translates a problem document.
    pub(super) fn of_problem(problem: &Problem) -> Self {
        let kind = problem.r#type.as_deref().unwrap_or_default();
        let kind = kind.strip_prefix(PREFIX).unwrap_or(kind).to_owned();
        let said = sentence(problem);
        let mut failure = match kind.as_str() {
            "badNonce" => {
                let mut failure = Self::new(
                    "acme_bad_nonce",
                    "the authority refuses its own nonces",
                    "Nothing needs to be done: it is asked again.",
                )
                .passing();
                failure.may_go_on_at_once = true;
                failure
            }
            "rateLimited" => Self::new(
                "acme_rate_limited",
                format!("the authority has had enough requests: {said}"),
                "Nothing can be done but to wait. For trying things out, set certs.acme.directory \
                 to \"letsencrypt-staging\".",
            )
            .passing(),
            "serverInternal" => Self::new(
                "acme_unavailable",
                format!("the authority has a problem of its own: {said}"),
                "Nothing needs to be done if it passes; else look at the authority's status page.",
            )
            .passing(),
            "caa" => Self::new(
                "acme_caa",
                format!("a CAA record forbids this authority: {said}"),
                "Add the authority to the domain's CAA records, or remove them.",
            ),
            kind if kind == "dns" || (kind == "connection" && is_of_lookup(&said)) => Self::new(
                "acme_dns",
                format!("the authority could not look the name up: {said}"),
                "Check that the name exists in public DNS, and that DNSSEC is right.",
            ),
            "connection" | "tls" => Self::new(
                "acme_challenge_unreachable",
                format!("the authority could not reach this site: {said}"),
                "Open ports 80 and 443 from outside and let the names point here, or prove them by \
                 DNS (certs.acme.dns).",
            ),
            "unauthorized" | "incorrectResponse" if is_of_account(&said) => Self::new(
                "acme_account_gone",
                format!("the authority does not take our account any more: {said}"),
                "Another account is opened by itself; if that is refused, check \
                 certs.acme.eab_key_id.",
            ),
            "accountDoesNotExist" => Self::new(
                "acme_account_gone",
                format!("the authority does not know our account: {said}"),
                "Another account is opened by itself; if that is refused, check \
                 certs.acme.eab_key_id.",
            ),
            "unauthorized" | "incorrectResponse" => Self::new(
                "acme_challenge_wrong",
                format!("the authority found something else than the proof: {said}"),
                "Let the names point to this site and not to another server, and check that no \
                 proxy answers in its place.",
            ),
            "externalAccountRequired" => Self::new(
                "acme_eab_required",
                format!("the authority wants an account that exists already: {said}"),
                "Set certs.acme.eab_key_id and certs.acme.eab_hmac_key_file to what the authority \
                 gave you.",
            ),
            "rejectedIdentifier" => Self::new(
                "acme_name_refused",
                format!("the authority does not sign this name: {said}"),
                "Check server.domain; a public authority signs public names only.",
            ),
            "userActionRequired" => Self::new(
                "acme_terms",
                format!("the authority's terms have changed: {said}"),
                "Read and accept them at the address it names.",
            ),
            "invalidContact" | "unsupportedContact" => Self::new(
                "acme_contact",
                format!("the authority does not take the address: {said}"),
                "Change certs.acme.email.",
            ),
            "invalidProfile" => Self::new(
                "acme_profile",
                format!("the authority does not know the profile: {said}"),
                "Change certs.acme.profile, or remove it.",
            ),
            _ => Self::new(
                "acme_refused",
                format!("the authority refused: {said}"),
                "Read what it says; the log of this gateway may tell more.",
            ),
        };
        failure.kind = Some(kind);
        failure
    }

    /// The order failed and nobody says why.
    pub(super) fn unknown() -> Self {
        Self::new(
            "acme_order_invalid",
            "the authority gave the order up without a reason",
            "Nothing needs to be done if it passes; else ask the authority.",
        )
    }
}

/// Tells whether a site was not reached because its name leads nowhere.
fn is_of_lookup(said: &str) -> bool {
    ["could not resolve", "NXDOMAIN", "SERVFAIL"]
        .iter()
        .any(|words| said.contains(words))
}

fn is_of_account(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    said.contains("account")
        && ["deactivated", "revoked", "not valid"]
            .iter()
            .any(|word| said.contains(word))
}

/// Returns what the authority says, in one line that is not too long.
fn sentence(problem: &Problem) -> String {
    let mut said = problem.detail.clone().unwrap_or_default();
    for sub in &problem.subproblems {
        let _ = write!(said, "; {sub}");
    }
    if said.is_empty() {
        said = problem
            .r#type
            .clone()
            .unwrap_or_else(|| "it gives no reason".to_owned());
    }
    let clean: String = said
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .take(SENTENCE_LIMIT)
        .collect();
    clean.trim_end_matches('.').to_owned()
}

/// Returns an error with its causes, in one line.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            let _ = write!(text, ": {said}");
        }
        cause = error.source();
    }
    text.chars().take(SENTENCE_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, detail: &str) -> Failure {
        let problem = serde_json::json!({ "type": format!("{PREFIX}{kind}"), "detail": detail });
        let problem: Problem = serde_json::from_value(problem).expect("a problem");
        Failure::of_problem(&problem)
    }

    #[test]
    fn every_kind_of_problem_has_its_code_and_the_next_step() {
        for (kind, code) in [
            ("badNonce", "acme_bad_nonce"),
            ("rateLimited", "acme_rate_limited"),
            ("serverInternal", "acme_unavailable"),
            ("caa", "acme_caa"),
            ("dns", "acme_dns"),
            ("connection", "acme_challenge_unreachable"),
            ("tls", "acme_challenge_unreachable"),
            ("unauthorized", "acme_challenge_wrong"),
            ("incorrectResponse", "acme_challenge_wrong"),
            ("accountDoesNotExist", "acme_account_gone"),
            ("externalAccountRequired", "acme_eab_required"),
            ("rejectedIdentifier", "acme_name_refused"),
            ("userActionRequired", "acme_terms"),
            ("invalidContact", "acme_contact"),
            ("invalidProfile", "acme_profile"),
            ("somethingNew", "acme_refused"),
        ] {
            let failure = of(kind, "what it says.");
            assert_eq!(failure.code, code);
            assert!(failure.next_step.ends_with('.'), "{failure:?}");
            assert!(!failure.message.ends_with('.'), "{failure:?}");
        }
        assert_eq!(
            of("unauthorized", "Account is deactivated").code,
            "acme_account_gone"
        );
    }

    #[test]
    fn what_an_authority_says_is_one_line_and_not_too_long() {
        let failure = of("caa", &"a\nb\u{1b}[31m".repeat(500));
        assert!(failure.message.chars().count() < SENTENCE_LIMIT + 100);
        assert!(!failure.message.contains(['\n', '\u{1b}']));
    }
}
