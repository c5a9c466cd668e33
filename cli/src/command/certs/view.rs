//! Certificates as people read them at a terminal.

use kalpana_domain::Timestamp;
use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_protocol::certificates::{Certificate, CertificateState, Certificates, Problem, Shown};

use crate::output;

/// Lists certificates, with what is wrong below the table.
pub(super) fn listed(all: &Certificates) -> String {
    let rows = all.certificates.iter().map(|certificate| {
        let served = certificate.served.as_ref();
        vec![
            certificate.id.clone(),
            certificate.names.join(", "),
            certificate.source.clone(),
            served.map_or("-".to_owned(), |served| served.issuer.clone()),
            state(certificate.state).to_owned(),
            served.map_or("-".to_owned(), |served| until(served.not_after)),
            certificate.next_renewal.map_or("-".to_owned(), until),
        ]
    });
    let headings = [
        "ID", "NAMES", "SOURCE", "ISSUER", "STATE", "EXPIRES", "RENEWAL",
    ];
    let mut text = output::table(&headings, rows.collect());
    for certificate in &all.certificates {
        if let Some(step) = &certificate.step {
            text.push_str(&format!("\n\n{}: {step} …", certificate.id));
        }
        if let Some(problem) = &certificate.problem {
            text.push_str(&format!("\n\n{}", told(&certificate.id, problem)));
        }
    }
    if let Some(left) = all.on_demand_left {
        text.push_str(&format!(
            "\n\n{left} more certificates can be ordered for single workspaces this week."
        ));
    }
    text
}

/// Shows all that is known of one.
pub(super) fn shown(certificate: &Certificate) -> String {
    let mut lines = vec![
        format!("{}: {}", certificate.id, state(certificate.state)),
        format!("names        {}", certificate.names.join(", ")),
        format!("source       {}", certificate.source),
    ];
    if let Some(Shown {
        issuer,
        serial,
        not_before,
        not_after,
        chain_length,
        fingerprint,
    }) = &certificate.served
    {
        lines.push(format!("issuer       {issuer}"));
        lines.push(format!("good from    {not_before}"));
        lines.push(format!("good until   {not_after} ({})", until(*not_after)));
        lines.push(format!("serial       {serial}"));
        lines.push(format!("fingerprint  {fingerprint} (SHA-256)"));
        lines.push(format!("chain        {chain_length} certificates are sent"));
    }
    if let Some(renewal) = certificate.next_renewal {
        lines.push(format!("renewal      {renewal} ({})", until(renewal)));
    }
    if let Some(step) = &certificate.step {
        lines.push(format!("now          {step} …"));
    }
    if let Some(problem) = &certificate.problem {
        lines.push(String::new());
        lines.push(told(&certificate.id, problem));
    }
    lines.join("\n")
}

/// Tells a person why something failed, and what to do.
fn told(id: &str, problem: &Problem) -> String {
    let again = problem.retry_at.map_or(String::new(), |at| {
        format!(" It is tried again {}.", until(at))
    });
    let often = match problem.failures {
        // It is how the certificate is, not an attempt that failed.
        0 => String::new(),
        failures => format!(", {failures} in a row"),
    };
    format!(
        "{id}: {} ({}{often})\n  {}{again}",
        problem.message, problem.code, problem.next_step
    )
}

fn state(state: CertificateState) -> &'static str {
    match state {
        CertificateState::Good => "good",
        CertificateState::Failing => "failing",
        CertificateState::Expired => "expired",
        CertificateState::Missing => "missing",
    }
}

/// Says when something is, from now.
pub(super) fn until(at: Timestamp) -> String {
    let seconds = at.as_second() - SystemClock.now().as_second();
    let (amount, unit) = match seconds.unsigned_abs() {
        0..60 => return "now".to_owned(),
        seconds @ 60..7_200 => (seconds / 60, "min"),
        seconds @ 7_200..172_800 => (seconds / 3600, "h"),
        seconds => (seconds / 86_400, "days"),
    };
    if seconds < 0 {
        format!("{amount} {unit} ago")
    } else {
        format!("in {amount} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_what_is_wrong_and_what_to_do() {
        let now = SystemClock.now();
        let at = |days: i64| {
            Timestamp::from_second(now.as_second() + days * 86_400 + 3600).expect("a time")
        };
        let all = Certificates {
            certificates: vec![Certificate {
                id: "example.test".to_owned(),
                names: vec!["example.test".to_owned()],
                source: "acme".to_owned(),
                state: CertificateState::Failing,
                served: Some(Shown {
                    issuer: "R11".to_owned(),
                    serial: "01".to_owned(),
                    not_before: at(-70),
                    not_after: at(20),
                    chain_length: 2,
                    fingerprint: "aa".to_owned(),
                }),
                next_renewal: Some(at(2)),
                step: None,
                problem: Some(Problem {
                    code: "acme_caa".to_owned(),
                    message: "a CAA record forbids this authority".to_owned(),
                    next_step: "Add the authority to the domain's CAA records.".to_owned(),
                    at: now,
                    failures: 3,
                    retry_at: Some(at(2)),
                }),
            }],
            on_demand_left: Some(44),
        };
        let text = listed(&all);
        for part in [
            "failing",
            "in 20 days",
            "a CAA record forbids this authority (acme_caa, 3 in a row)",
            "Add the authority to the domain's CAA records. It is tried again in 2 days.",
            "44 more certificates",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
