//! `kalpana certs check`: what visitors are shown, as they see it.
//!
//! Hosts are connected to as a browser would (`probe`), what they show is judged by what this
//! machine trusts (`judge`), and so are the files that an operator brings (`files`), whether a
//! gateway runs or not.

pub(crate) mod files;
pub(crate) mod judge;
pub(crate) mod probe;

use std::net::SocketAddr;

use anyhow::bail;
use clap::Args;
use kalpana_config::{CertificateSource, Config, Site};
use kalpana_domain::clock::{Clock, SystemClock};
use serde::Serialize;

use self::files::FilesReport;
use self::judge::{Finding, Judged, Trust};
use super::view::until;
use crate::command::Settings;
use crate::output::{self, Format};
use crate::privilege;

/// A workspace's label that no site will meet: ids are drawn at random from 26 · 36^11.
pub(crate) const MADE_UP: &str = "a00000000000";

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Hosts to look at, with a port unless it is the site's [default: the site's own, and one of
    /// a workspace]
    #[arg(value_name = "HOST")]
    hosts: Vec<String>,
    /// Connect there instead of to what the host's name leads to
    #[arg(long, value_name = "ADDRESS:PORT")]
    connect: Option<SocketAddr>,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    settings: Settings,
}

/// All that was looked at.
#[derive(Debug, Serialize)]
struct Report {
    is_good: bool,
    hosts: Vec<HostReport>,
    files: Vec<FilesReport>,
}

/// What one host shows.
#[derive(Debug, Serialize)]
pub(crate) struct HostReport {
    pub(crate) host: String,
    port: u16,
    /// The version of TLS that was agreed on.
    tls: Option<String>,
    /// The protocol that was agreed on within it (ALPN).
    alpn: Option<String>,
    pub(crate) certificate: Option<Judged>,
    pub(crate) findings: Vec<Finding>,
}

impl Check {
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        let config = self.settings.load()?;
        let site = privilege::site(&config)?;
        let trust = Trust::of_this_machine(&site);
        let files = files::look(&config, &site, &trust);
        let mut hosts = Vec::new();
        for (host, port) in self.hosts(&config, &site)? {
            hosts.push(look(&host, port, self.connect, &trust).await);
        }
        let found = hosts.iter().map(|host| host.findings.len()).sum::<usize>()
            + files
                .iter()
                .map(|files| files.findings.len())
                .sum::<usize>();
        let report = Report {
            is_good: found == 0,
            hosts,
            files,
        };
        output::answer(self.format, &report, told)?;
        match found {
            0 => Ok(()),
            1 => bail!("one thing is wrong"),
            several => bail!("{several} things are wrong"),
        }
    }

    fn hosts(&self, config: &Config, site: &Site) -> anyhow::Result<Vec<(String, u16)>> {
        if self.hosts.is_empty() {
            return Ok(usual_hosts(config, site));
        }
        let named = self.hosts.iter();
        named.map(|host| with_port(host, site.port)).collect()
    }
}

/// Returns the hosts that are looked at when none is named.
pub(crate) fn usual_hosts(config: &Config, site: &Site) -> Vec<(String, u16)> {
    let hosts = [Some(site.domain.clone()), made_up_host(config, site)];
    let hosts = hosts.into_iter().flatten();
    hosts.map(|host| (host, site.port)).collect()
}

/// Returns the host of a made-up workspace, which shows what all will; `None` where each workspace
/// has a certificate of its own, because there is none for one that does not exist.
pub(crate) fn made_up_host(config: &Config, site: &Site) -> Option<String> {
    let source = config.certs.of(&site.workspace_domain).source;
    let has_one = source != CertificateSource::Acme || config.certs.acme.has_wildcard();
    has_one.then(|| format!("{MADE_UP}.{}", site.workspace_domain))
}

fn with_port(host: &str, usual: u16) -> anyhow::Result<(String, u16)> {
    let (name, port) = match host.split_once(':') {
        None => (host, usual),
        Some((name, port)) => match port.parse() {
            Ok(port) => (name, port),
            Err(_) => bail!("{host:?} is not a host\nhint: it looks like dev.example.com:8443"),
        },
    };
    Ok((name.to_ascii_lowercase(), port))
}

/// Looks at what one host shows, at what its name leads to or at `connect`.
pub(crate) async fn look(
    host: &str,
    port: u16,
    connect: Option<SocketAddr>,
    trust: &Trust,
) -> HostReport {
    let mut report = HostReport {
        host: host.to_owned(),
        port,
        tls: None,
        alpn: None,
        certificate: None,
        findings: Vec::new(),
    };
    match probe::shake_hands(host, port, connect).await {
        Ok(seen) => {
            let (judged, findings) = judge::judge(host, &seen.chain, trust, SystemClock.now());
            report.tls = seen.tls;
            report.alpn = seen.alpn;
            report.certificate = judged;
            report.findings = findings;
        }
        Err(finding) => report.findings.push(finding),
    }
    report
}

fn told(report: &Report) -> String {
    let hosts = report.hosts.iter().map(|host| {
        let mut lines = vec![format!("{}:{}", host.host, host.port)];
        if let Some(judged) = &host.certificate {
            lines.extend(told_certificate(judged));
        }
        if let Some(tls) = &host.tls {
            let alpn = host.alpn.as_deref().unwrap_or("no ALPN");
            lines.push(format!("  protocol  {tls}, {alpn}"));
        }
        lines.extend(told_findings(&host.findings));
        lines.join("\n")
    });
    let files = report.files.iter().map(|files| {
        let mut lines = vec![files.certificate_file.display().to_string()];
        if let Some(judged) = &files.certificate {
            lines.extend(told_certificate(judged));
        }
        lines.extend(told_findings(&files.findings));
        lines.join("\n")
    });
    hosts.chain(files).collect::<Vec<_>>().join("\n\n")
}

fn told_certificate(judged: &Judged) -> Vec<String> {
    let chain = if judged.is_chain_complete {
        "complete"
    } else {
        "incomplete"
    };
    let sent = match judged.chain_length {
        1 => "one certificate".to_owned(),
        several => format!("{several} certificates"),
    };
    let trusted = match (judged.is_trusted_by_system, judged.is_trusted_by_authority) {
        (true, true) => "by this system, and by the site's local authority",
        (true, false) => "by this system",
        (false, true) => {
            "by who trusts the site's local authority; this system does not \
             (`kalpana certs trust` changes that)"
        }
        (false, false) => "by nobody here",
    };
    vec![
        format!("  names     {}", judged.names.join(", ")),
        format!("  issuer    {}", judged.issuer),
        format!("  chain     {chain}, {sent}"),
        format!("  trusted   {trusted}"),
        format!(
            "  ends      {} ({})",
            judged.not_after,
            until(judged.not_after)
        ),
    ]
}

fn told_findings(findings: &[Finding]) -> Vec<String> {
    if findings.is_empty() {
        return vec!["  good".to_owned()];
    }
    let lines = findings.iter().flat_map(|finding| {
        [
            format!("  wrong     {} ({})", finding.message, finding.code),
            format!("    fix     {}", finding.fix),
        ]
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_name_its_port() {
        let read = |host| with_port(host, 443).ok();
        assert_eq!(read("Example.com"), Some(("example.com".to_owned(), 443)));
        assert_eq!(read("example.com:1"), Some(("example.com".to_owned(), 1)));
        assert_eq!(read("example.com:x"), None);
        assert_eq!(read("example.com:65536"), None);
    }
}
