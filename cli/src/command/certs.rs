//! `kalpana certs`: the site's certificates, on the machine of its gateway.
//!
//! Speaks with the gateway's control socket, so that it works while https does not.

mod authority;
pub(crate) mod check;
mod trust;
mod view;

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use kalpana_config::Site;
use kalpana_link::{CallError, Client};
use kalpana_protocol::certificates::{Certificate, Certificates, Issue, Problem};
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::authority::Authority;
use self::view::{listed, shown};
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
            Self::Renew(one) => {
                let meanwhile =
                    "waiting for a new certificate; an authority takes seconds to minutes …";
                one.change("renew", meanwhile).await
            }
            Self::Revoke(revoke) => revoke.run().await,
            Self::Check(check) => check.run().await,
            Self::Trust(trust) => trust.run().await,
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
            output::note("waiting for the authority, which takes seconds to minutes …");
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
        let pem = Authority::of(&site)?.pem;
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
