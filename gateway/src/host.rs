//! What a host name means: the control plane, a part of a workspace, or nothing of ours. Pure.
//!
//! Routing is by the request's own host alone. `X-Forwarded-Host` and its kin never route, and the
//! name in the TLS handshake does not either: with one wildcard certificate, browsers send requests
//! for many hosts over one HTTP/2 connection.

use std::fmt::Write;

use kalpana_config::Site;
use kalpana_domain::address::WorkspaceAddress;
use kalpana_domain::id::WorkspaceId;

/// What every origin of ours begins with.
pub const SCHEME: &str = "https://";

/// Longest name that DNS allows, with room for a port.
const LENGTH_LIMIT: usize = 260;

/// Longest label of a workspace: a port, a hyphen and its id.
const LABEL_LENGTH: usize = 5 + 1 + WorkspaceId::LENGTH;

/// What a request's host means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// The base domain: the control plane.
    App,
    /// A part of a workspace. It may or may not exist.
    Workspace(WorkspaceAddress),
    /// Below our domains, but no name that a workspace could have.
    Unknown,
    /// Somebody else's name, or another port than the one people use.
    Foreign,
    /// Not a host at all.
    Bad,
}

/// The names a site answers to.
#[derive(Debug, Clone)]
pub struct Hosts {
    domain: String,
    workspace_suffix: String,
    port: u16,
    app_origin: String,
    /// What stands behind a workspace's label in its origin.
    origin_suffix: String,
}

/// Which ports a host may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// None, or the site's.
    Own,
    /// Any: the plain listener is reached by another port than the one people use.
    Any,
}

impl Hosts {
    /// Takes the names of `site`.
    pub fn new(site: &Site) -> Self {
        Self {
            domain: site.domain.clone(),
            workspace_suffix: format!(".{}", site.workspace_domain),
            port: site.port,
            app_origin: site.base_url(),
            origin_suffix: site.workspace_host(""),
        }
    }

    /// Returns the control plane's origin.
    pub fn app_origin(&self) -> &str {
        &self.app_origin
    }

    /// Returns the origin of a part of a workspace.
    pub fn workspace_origin(&self, address: WorkspaceAddress) -> String {
        // Made for every request: in one piece.
        let length = SCHEME.len() + LABEL_LENGTH + self.origin_suffix.len();
        let mut origin = String::with_capacity(length);
        let _ = write!(origin, "{SCHEME}{address}{}", self.origin_suffix);
        origin
    }

    /// Reads the `Host` header or the `:authority` of a request.
    ///
    /// Upper case and one dot at the end are the same name. Everything else that a host name in a
    /// URL could not hold, user information among it, is [`Host::Bad`].
    pub fn parse(&self, text: &[u8], ports: Ports) -> Host {
        let Ok(text) = std::str::from_utf8(text) else {
            return Host::Bad;
        };
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        if text.is_empty() || text.len() > LENGTH_LIMIT || !text.bytes().all(is_legal) {
            return Host::Bad;
        }
        if text.starts_with('[') {
            // An IPv6 address is a host, but never one of ours.
            return Host::Foreign;
        }
        let (name, port) = match text.split_once(':') {
            None => (text, None),
            Some((name, port)) => (name, Some(port)),
        };
        if let Some(port) = port {
            let is_number =
                (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
            let Some(port) = is_number.then(|| port.parse::<u16>().ok()).flatten() else {
                return Host::Bad;
            };
            if ports == Ports::Own && port != self.port {
                return Host::Foreign;
            }
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if name.is_empty() || name.contains(['[', ']']) || name.split('.').any(str::is_empty) {
            return Host::Bad;
        }
        if name == self.domain {
            return Host::App;
        }
        match name.strip_suffix(&self.workspace_suffix) {
            Some(label) => {
                WorkspaceAddress::parse_label(label).map_or(Host::Unknown, Host::Workspace)
            }
            None if name.ends_with(&format!(".{}", self.domain)) => Host::Unknown,
            None => Host::Foreign,
        }
    }
}

#[cfg(test)]
mod tests {
    use kalpana_config::Config;
    use proptest::prelude::*;

    use super::*;

    fn hosts(workspace_domain: Option<&str>) -> Hosts {
        let mut config = Config::default();
        config.server.data_dir = Some("/data".into());
        config.server.workspace_domain = workspace_domain.map(ToOwned::to_owned);
        Hosts::new(&Site::resolve(&config, false, None).unwrap())
    }

    fn parse(text: &str) -> Host {
        hosts(None).parse(text.as_bytes(), Ports::Own)
    }

    fn workspace(label: &str) -> Host {
        Host::Workspace(WorkspaceAddress::parse_label(label).unwrap())
    }

    #[test]
    fn names_of_the_site_are_told_apart() {
        for (text, expected) in [
            ("kalpana.localhost:8443", Host::App),
            ("kalpana.localhost", Host::App),
            ("KALPANA.LOCALHOST.:8443", Host::App),
            (
                "abcdefghij01.kalpana.localhost:8443",
                workspace("abcdefghij01"),
            ),
            (
                "ABCDEFGHIJ01.Kalpana.localhost.:8443",
                workspace("abcdefghij01"),
            ),
            (
                "3000-abcdefghij01.kalpana.localhost",
                workspace("3000-abcdefghij01"),
            ),
            ("abcdefghij0.kalpana.localhost:8443", Host::Unknown),
            ("80-abcdefghij01.kalpana.localhost", Host::Unknown),
            ("03000-abcdefghij01.kalpana.localhost", Host::Unknown),
            ("a.abcdefghij01.kalpana.localhost", Host::Unknown),
            ("www.kalpana.localhost", Host::Unknown),
            ("kalpana.localhost:9999", Host::Foreign),
            ("abcdefghij01.kalpana.localhost:443", Host::Foreign),
            ("example.com", Host::Foreign),
            ("xkalpana.localhost", Host::Foreign),
            ("localhost:8443", Host::Foreign),
            ("127.0.0.1:8443", Host::Foreign),
            ("[::1]:8443", Host::Foreign),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_bad() {
        for text in [
            "",
            ".",
            "..",
            ":8443",
            "user@kalpana.localhost",
            "kalpana.localhost:8443@evil.example",
            "kalpana.localhost ",
            " kalpana.localhost",
            "kalpana .localhost",
            "kalpana.localhost\0",
            "kalpana.localhost\t",
            "kalpana.localhost/",
            "kalpana.localhost?",
            "kalpana.localhost,evil.example",
            "kalpana.localhost..",
            "kalpana..localhost",
            ".kalpana.localhost",
            "kalpana.localhost:",
            "kalpana.localhost:+8443",
            "kalpana.localhost:084430",
            "kalpana.localhost:99999",
            "kalpana.localhost:8443:8443",
            "kálpana.localhost",
            "３０００-abcdefghij01.kalpana.localhost",
        ] {
            assert_eq!(parse(text), Host::Bad, "{text:?}");
        }
        assert_eq!(hosts(None).parse(b"\xff.localhost", Ports::Own), Host::Bad);
        assert_eq!(parse(&"a".repeat(300)), Host::Bad);
    }

    #[test]
    fn a_second_domain_keeps_control_and_content_apart() {
        let hosts = hosts(Some("spaces.test"));
        let parse = |text: &str| hosts.parse(text.as_bytes(), Ports::Own);
        assert_eq!(parse("abcdefghij01.spaces.test"), workspace("abcdefghij01"));
        assert_eq!(parse("abcdefghij01.kalpana.localhost"), Host::Unknown);
        assert_eq!(parse("spaces.test"), Host::Foreign);
    }

    #[test]
    fn the_plain_listener_takes_any_port() {
        let host = hosts(None).parse(b"kalpana.localhost:8080", Ports::Any);
        assert_eq!(host, Host::App);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = hosts(None).parse(&bytes, Ports::Own);
        }
    }
}
