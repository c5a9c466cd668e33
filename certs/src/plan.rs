//! Which certificates a site wants, and where each comes from. Pure.

use std::path::PathBuf;

use kalpana_config::{CertificateSource, Site};

/// One certificate that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// What it is called in commands and in files: its first name, with `_` for a star.
    pub(crate) id: String,
    /// The names it must have. In lower case.
    pub(crate) names: Vec<String>,
    /// Where it comes from.
    pub(crate) origin: Origin,
}

/// Where a certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The site's own authority.
    Local,
    /// Two files.
    Files {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// An authority that speaks ACME.
    Acme,
}

/// What a site wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The certificates that are there from the start.
    pub(crate) wanted: Vec<Wanted>,
    /// Whether each workspace's host has a certificate of its own, ordered when it is first needed.
    pub(crate) is_on_demand: bool,
}

impl Origin {
    /// Returns its name in the configuration.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Files { .. } => "files",
            Self::Acme => "acme",
        }
    }
}

impl Wanted {
    /// Wants a certificate for `names`, of which there is at least one.
    pub(crate) fn new(names: Vec<String>, origin: Origin) -> Self {
        Self {
            id: id_of(&names[0]),
            names,
            origin,
        }
    }
}

/// Returns what a certificate whose first name is `name` is called.
pub(crate) fn id_of(name: &str) -> String {
    name.replace('*', "_")
}

/// Plans the certificates of `site`.
///
/// A wildcard covers one label, so a domain is named beside it. Domains of one source share a
/// certificate.
pub(crate) fn plan(site: &Site, config: &kalpana_config::Certs) -> Plan {
    let mut is_on_demand = false;
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut domains = vec![&site.domain];
    if !site.is_single_domain() {
        domains.push(&site.workspace_domain);
    }
    for domain in domains {
        let own = config.of(domain);
        let origin = match (own.source, own.certificate_file, own.key_file) {
            (CertificateSource::Files, Some(certificate), Some(key)) => {
                Origin::Files { certificate, key }
            }
            (CertificateSource::Acme, ..) => Origin::Acme,
            _ => Origin::Local,
        };
        let has_workspaces = *domain == site.workspace_domain;
        let has_wildcard = origin != Origin::Acme || config.acme.has_wildcard();
        is_on_demand |= has_workspaces && !has_wildcard;
        let mut names = vec![domain.clone()];
        if has_workspaces && has_wildcard {
            names.push(format!("*.{domain}"));
        }
        // The workspaces' domain itself serves nobody; only the wildcard's proof comes with it.
        if *domain != site.domain && !has_wildcard {
            continue;
        }
        match wanted.iter_mut().find(|other| other.origin == origin) {
            Some(other) => other.names.extend(names),
            None => wanted.push(Wanted::new(names, origin)),
        }
    }
    Plan {
        wanted,
        is_on_demand,
    }
}

#[cfg(test)]
mod tests {
    use kalpana_config::Config;

    use super::*;

    fn planned(settings: &str) -> (Vec<(String, Vec<String>)>, bool) {
        let mut config: Config = toml::from_str(settings).expect("settings");
        config.server.data_dir = Some("/data".into());
        let site = Site::resolve(&config, false, None).expect("resolved");
        let plan = plan(&site, &config.certs);
        let wanted = plan.wanted.into_iter();
        let wanted = wanted.map(|wanted| (wanted.origin.name().to_owned(), wanted.names));
        (wanted.collect(), plan.is_on_demand)
    }

    fn one(origin: &str, names: &[&str]) -> (String, Vec<String>) {
        let names = names.iter().map(ToString::to_string).collect();
        (origin.to_owned(), names)
    }

    const DNS: &str = "[certs.acme.dns.exec]\ncommand = [\"/bin/true\"]\n";

    #[test]
    fn with_nothing_configured_the_local_authority_signs_for_the_domain_and_a_wildcard() {
        let names = one("local", &["kalpana.localhost", "*.kalpana.localhost"]);
        assert_eq!(planned(""), (vec![names], false));
    }

    #[test]
    fn with_records_of_dns_one_wildcard_serves_all() {
        let settings = "[server]\ndomain = \"a.test\"\n[certs]\nsource = \"acme\"\n";
        let names = one("acme", &["a.test", "*.a.test"]);
        assert_eq!(planned(&format!("{settings}{DNS}")), (vec![names], false));
    }

    #[test]
    fn without_them_workspaces_have_one_each_when_it_is_needed() {
        let settings = "[server]\ndomain = \"a.test\"\n[certs]\nsource = \"acme\"\n";
        assert_eq!(planned(settings), (vec![one("acme", &["a.test"])], true));
        let two = "[server]\ndomain = \"a.test\"\nworkspace_domain = \"b.test\"\n\
                   [certs]\nsource = \"acme\"\n";
        assert_eq!(planned(two), (vec![one("acme", &["a.test"])], true));
    }

    #[test]
    fn each_domain_may_have_a_source_of_its_own() {
        let settings = format!(
            "[server]\ndomain = \"a.test\"\nworkspace_domain = \"b.test\"\n\
             [certs]\nsource = \"acme\"\n{DNS}\
             [certs.domains.\"a.test\"]\nsource = \"files\"\n\
             certificate_file = \"/c\"\nkey_file = \"/k\"\n"
        );
        let expected = vec![
            one("files", &["a.test"]),
            one("acme", &["b.test", "*.b.test"]),
        ];
        assert_eq!(planned(&settings), (expected, false));
    }
}
