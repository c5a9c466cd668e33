//! What the gateway says of its certificates, and what visitors are shown.

use std::time::Duration;

use kalpana_config::{Config, Site};
use kalpana_link::{CallError, Client};
use kalpana_protocol::certificates::{Certificate, CertificateState, Certificates};
use reqwest::Method;

use super::verdict::Verdict;
use crate::command::certs::check::judge::{Finding, Trust};
use crate::command::certs::check::{files, look as look_at_host, usual_hosts};

const KEPT: &str = "certificate";
const SHOWN: &str = "shown_certificate";
const FILES: &str = "certificate_files";

/// How long the gateway may take to list them.
const LIMIT: Duration = Duration::from_secs(5);

/// Asks the gateway.
pub(super) async fn ask(site: &Site) -> Vec<Verdict> {
    let client = Client::new("the gateway", site.gateway_control_socket(), None);
    let all: Result<Certificates, CallError> = client
        .with_timeout(LIMIT)
        .call(Method::GET, "/v1/certificates", None, None::<&()>)
        .await;
    match all {
        Ok(all) => all.certificates.iter().map(judge).collect(),
        Err(error) => vec![Verdict::skipped(
            KEPT,
            "gateway_not_asked",
            format!("the gateway cannot be asked: {error}"),
            "See what is said of the gateway's role.",
        )],
    }
}

fn judge(certificate: &Certificate) -> Verdict {
    let id = &certificate.id;
    let problem = certificate.problem.as_ref();
    let code = |usual: &'static str| match problem {
        Some(problem) => problem.code.clone().into(),
        None => std::borrow::Cow::Borrowed(usual),
    };
    let because = problem.map_or(String::new(), |problem| format!(": {}", problem.message));
    let next_step = problem.map_or_else(
        || format!("`kalpana certs show {id}` says more; `kalpana certs renew {id}` tries now."),
        |problem| problem.next_step.clone(),
    );
    match certificate.state {
        CertificateState::Good => Verdict::ok(KEPT, format!("{id} is good")),
        CertificateState::Failing => {
            // What an operator brought is replaced by nobody else.
            let what = match certificate.source.as_str() {
                "files" => format!("the certificate for {id} is served, but not in order"),
                _ => format!("the next certificate for {id} could not be had"),
            };
            let message = format!("{what}{because}");
            Verdict::warning(KEPT, code("certificate_failing"), message, next_step)
        }
        CertificateState::Expired => {
            let message = format!("the certificate for {id} is over{because}");
            Verdict::failed(KEPT, code("certificate_expired"), message, next_step)
        }
        CertificateState::Missing if problem.is_none() && certificate.step.is_some() => {
            let message = format!("the first certificate for {id} is being ordered");
            Verdict::warning(KEPT, "certificate_ordered", message, "Wait some minutes.")
        }
        CertificateState::Missing => {
            let message = format!("there is no certificate for {id}{because}");
            Verdict::failed(KEPT, code("certificate_missing"), message, next_step)
        }
    }
}

/// Looks at what visitors are shown, and at the files that the configuration names.
pub(super) async fn look(config: &Config, site: &Site) -> Vec<Verdict> {
    let trust = Trust::of_this_machine(site);
    let mut verdicts = Vec::new();
    for (host, port) in usual_hosts(config, site) {
        let seen = look_at_host(&host, port, None, &trust).await;
        verdicts.extend(translate(SHOWN, &seen.host, &seen.findings));
    }
    for pair in files::look(config, site, &trust) {
        let name = pair.certificate_file.display().to_string();
        verdicts.extend(translate(FILES, &name, &pair.findings));
    }
    verdicts
}

fn translate(check: &'static str, subject: &str, findings: &[Finding]) -> Vec<Verdict> {
    if findings.is_empty() {
        return vec![Verdict::ok(check, format!("{subject} is good"))];
    }
    let verdicts = findings.iter().map(|finding| {
        let message = format!("{subject}: {}", finding.message);
        match finding.code {
            "certificate_ends_soon" => {
                Verdict::warning(check, finding.code, message, finding.fix.clone())
            }
            code => Verdict::failed(check, code, message, finding.fix.clone()),
        }
    });
    verdicts.collect()
}

#[cfg(test)]
mod tests {
    use kalpana_domain::clock::{Clock, SystemClock};
    use kalpana_protocol::certificates::Problem;

    use super::*;
    use crate::command::doctor::verdict::Status;

    fn judged(state: CertificateState, problem: Option<&str>, step: Option<&str>) -> Verdict {
        judge(&Certificate {
            id: "example.test".to_owned(),
            names: vec![],
            source: "acme".to_owned(),
            state,
            served: None,
            next_renewal: None,
            step: step.map(ToOwned::to_owned),
            problem: problem.map(|code| Problem {
                code: code.to_owned(),
                message: "m".to_owned(),
                next_step: "Do n.".to_owned(),
                at: SystemClock.now(),
                failures: 1,
                retry_at: None,
            }),
        })
    }

    #[test]
    fn what_the_gateway_says_keeps_its_code_and_next_step() {
        use CertificateState::{Expired, Failing, Good, Missing};
        assert_eq!(judged(Good, None, None).status, Status::Ok);
        let failing = judged(Failing, Some("acme_caa"), None);
        assert!(failing.status == Status::Warning && failing.is("acme_caa"));
        assert_eq!(failing.next_step.as_deref(), Some("Do n."));
        let expired = judged(Expired, None, None);
        assert!(expired.status == Status::Failed && expired.is("certificate_expired"));
        assert!(judged(Missing, None, Some("waits")).is("certificate_ordered"));
        assert!(judged(Missing, None, None).is("certificate_missing"));
        assert_eq!(
            judged(Missing, Some("acme_dns"), Some("waits")).status,
            Status::Failed
        );
    }
}
