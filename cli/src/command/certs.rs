//! `kalpana certs`: the site's certificates, on the machine of its gateway.
//!
//! Speaks with the gateway's control socket, so that it works while https does not.

mod check;
mod trust;

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use kalpana_config::Site;
use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_link::{CallError, Client};
use kalpana_protocol::certificates::{
    Certificate, CertificateState, Certificates, Issue, Problem, Shown,
};
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Settings;
use crate::output::{self, Format};
use crate::privilege;

/// Longest wait for an authority. The gateway gives up sooner.
const LIMIT: Duration = Duration::from_secs(20 * 60);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the certificates: for which names, until when, and what is wrong
    #[command(visible_alias = "ls")]
    List(Here),
    /// Show one certificate
    Show(One),
    /// Order a certificate for a workspace's host, where there is no wildcard
    Issue(Host),
    /// Order a new certificate now, whenever it would be due
    Renew(One),
    /// Have the authority declare a certificate void, and order another with another key
    ///
    /// For when its key may be known to others. The old one is served until the other is there.
    Revoke(Revoke),
    /// Look at what visitors are shown, as they see it
    Check(check::Check),
    /// Have this machine's browsers and programs trust the site's local authority
    Trust(trust::Trust),
    /// Print the local authority's certificate, to be trusted elsewhere
    ExportCa(Export),
}

#[derive(Debug, Args)]
pub(crate) struct Here {
    /// How to print the answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
pub(crate) struct One {
    /// What `kalpana certs list` calls it
    id: String,
    #[command(flatten)]
    here: Here,
}

#[derive(Debug, Args)]
pub(crate) struct Host {
    /// The host, such as abcdefghij01.example.com
    name: String,
    #[command(flatten)]
    here: Here,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    one: One,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Write it to this file instead
    #[arg(long, short, value_name = "FILE")]
    output: Option<std::path::PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List(here) => here.list().await,
            Self::Show(one) => one.show().await,
            Self::Issue(host) => host.issue().await,
            Self::Renew(one) => one.change("renew", "asking the authority …").await,
            Self::Revoke(revoke) => revoke.run().await,
            Self::Check(check) => check.run().await,
            Self::Trust(trust) => trust.run(),
            Self::ExportCa(export) => export.run(),
        }
    }
}

impl Here {
    fn site(&self) -> anyhow::Result<Site> {
        privilege::site(&self.settings.load()?)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> anyhow::Result<T> {
        let socket = self.site()?.gateway_control_socket();
        let client = Client::new("the gateway", socket, None).with_timeout(LIMIT);
        let answer = client.call(method, path, None, body).await;
        answer.map_err(|error| explain(error, client.socket()))
    }

    async fn list(&self) -> anyhow::Result<()> {
        let all: Certificates = self
            .call(Method::GET, "/v1/certificates", None::<&()>)
            .await?;
        output::answer(self.format, &all, listed)
    }
}

impl One {
    async fn show(&self) -> anyhow::Result<()> {
        let all: Certificates = self
            .here
            .call(Method::GET, "/v1/certificates", None::<&()>)
            .await?;
        let mut found = all.certificates.into_iter();
        let found = found
            .find(|certificate| certificate.id == self.id)
            .with_context(|| {
                format!(
                    "there is no certificate called {}\nhint: `kalpana certs list` shows them",
                    self.id
                )
            })?;
        output::answer(self.here.format, &found, shown)
    }

    async fn change(&self, what: &str, meanwhile: &str) -> anyhow::Result<()> {
        if self.here.format == Format::Text {
            output::note(meanwhile);
        }
        let path = format!("/v1/certificates/{}/{what}", self.id);
        let new: Certificate = self.here.call(Method::POST, &path, None::<&()>).await?;
        output::answer(self.here.format, &new, shown)
    }
}

impl Host {
    async fn issue(&self) -> anyhow::Result<()> {
        if self.here.format == Format::Text {
            output::note("asking the authority …");
        }
        let body = Issue {
            name: self.name.clone(),
        };
        let path = "/v1/certificates";
        let new: Certificate = self.here.call(Method::POST, path, Some(&body)).await?;
        output::answer(self.here.format, &new, shown)
    }
}

impl Revoke {
    async fn run(&self) -> anyhow::Result<()> {
        if !self.yes {
            if !std::io::stdin().is_terminal() {
                bail!(
                    "revoking cannot be undone\nhint: add --yes if you are sure; `kalpana certs \
                     renew` replaces a certificate without revoking it"
                );
            }
            output::note(&format!(
                "The authority will declare the certificate for {} void, for good. Type its name \
                 to go on:",
                self.one.id
            ));
            let mut typed = String::new();
            std::io::stdin().read_line(&mut typed)?;
            if typed.trim() != self.one.id {
                bail!("not revoked: that is not its name");
            }
        }
        self.one
            .change("revoke", "revoking, and asking for another …")
            .await
    }
}

impl Export {
    fn run(&self) -> anyhow::Result<()> {
        let site = privilege::site(&self.settings.load()?)?;
        let pem = read_authority(&site)?;
        match &self.output {
            Some(path) => {
                std::fs::write(path, &pem)
                    .with_context(|| format!("cannot write {}", path.display()))?;
                output::note(&format!("wrote {}", path.display()));
                Ok(())
            }
            None => output::print_line(pem.trim_end()),
        }
    }
}

/// Reads the local authority's certificate.
fn read_authority(site: &Site) -> anyhow::Result<String> {
    let path = site.authority_certificate();
    std::fs::read_to_string(&path).with_context(|| {
        format!(
            "this site has no local authority at {}\nhint: it is made when the gateway first starts \
             without a certificate of its own",
            path.display()
        )
    })
}

/// Makes an error of what the gateway did not do.
fn explain(error: CallError, socket: &std::path::Path) -> anyhow::Error {
    match error {
        CallError::Unavailable { source, .. } => {
            let is_forbidden = source
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
            let hint = if is_forbidden {
                "run this as root, or as the user that runs the gateway"
            } else {
                "is it running on this machine? `kalpana up` starts it"
            };
            anyhow::anyhow!(
                "the gateway does not answer at {}\nhint: {hint}",
                socket.display()
            )
        }
        CallError::Refused { body, status, .. } => match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => anyhow::anyhow!(
                "{} ({})\nhint: {}",
                problem.message,
                problem.code,
                problem.next_step
            ),
            Err(_) => anyhow::anyhow!("the gateway refused: {status}"),
        },
        other => other.into(),
    }
}

fn listed(all: &Certificates) -> String {
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

fn shown(certificate: &Certificate) -> String {
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
    format!(
        "{id}: {} ({}, {} in a row)\n  {}{again}",
        problem.message, problem.code, problem.failures, problem.next_step
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
fn until(at: kalpana_domain::Timestamp) -> String {
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
            kalpana_domain::Timestamp::from_second(now.as_second() + days * 86_400 + 3600)
                .expect("a time")
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
