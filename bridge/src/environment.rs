//! What children see of the container: who they are, and an environment built from a list.

use std::collections::BTreeMap;

use kalpana_protocol::bridge::environment::{SystemInfo, UserInfo};

use crate::settings::Settings;

/// Variables of the image or the operator that children may see. All others stay with the bridge.
const PASSED_ON: &[&str] = &[
    "PATH",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "EXTENSIONS_GALLERY",
];

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Names a host that Vite's development server answers to besides those it is configured with; a dot
/// in front makes it a whole domain. Vite refuses hosts it was not told of, so that no page elsewhere
/// can read a server on the reader's own machine by a name that points there. Here nothing but the
/// gateway reaches a port, and it judges who asks.
const VITE_HOSTS: &str = "__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS";

/// Returns the environment that every child starts from.
pub fn of_children(settings: &Settings, user: &UserInfo) -> BTreeMap<String, String> {
    build(|name| std::env::var(name).ok(), settings, user)
}

fn build(
    variable: impl Fn(&str) -> Option<String>,
    settings: &Settings,
    user: &UserInfo,
) -> BTreeMap<String, String> {
    let passed_on = PASSED_ON
        .iter()
        .filter_map(|&name| Some((name.to_owned(), variable(name)?)));
    let mut environment: BTreeMap<_, _> = passed_on.collect();
    let mut set = |name: &str, value: &str| environment.insert(name.to_owned(), value.to_owned());
    set("HOME", &settings.launch.home);
    set("USER", &user.name);
    set("LOGNAME", &user.name);
    set("SHELL", &user.shell);
    set("TERM", "xterm-256color");
    if let Some(domain) = port_domain(&settings.launch.editor.port_url_template) {
        set(VITE_HOSTS, domain);
    }
    environment
        .entry("PATH".to_owned())
        .or_insert_with(|| DEFAULT_PATH.to_owned());
    environment
        .entry("LANG".to_owned())
        .or_insert_with(|| "C.UTF-8".to_owned());
    environment
}

/// Returns the domain that the hosts of ports are below, with the dot in front of it.
fn port_domain(url_template: &str) -> Option<&str> {
    let (_, host) = url_template.split_once("://")?;
    let domain = &host[host.find('.')?..];
    domain.split([':', '/']).next()
}

/// Returns the workspace's user as the image names it.
///
/// The file is read here and not by the C library, whose lookups load modules at run time and do
/// not work in a static executable.
pub fn user(settings: &Settings) -> UserInfo {
    let passwd = read("/etc/passwd");
    let (name, shell) = passwd_entry(&passwd, settings.launch.uid)
        .unwrap_or_else(|| ("workspace".to_owned(), "/bin/sh".to_owned()));
    let launch = &settings.launch;
    UserInfo {
        name,
        uid: launch.uid,
        gid: launch.gid,
        home: launch.home.clone(),
        shell,
    }
}

fn passwd_entry(passwd: &str, uid: u32) -> Option<(String, String)> {
    passwd.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [name, _, id, _, _, _, shell] = fields[..] else {
            return None;
        };
        let is_usable = !name.is_empty() && shell.starts_with('/');
        (id.parse() == Ok(uid) && is_usable).then(|| (name.to_owned(), shell.to_owned()))
    })
}

/// Returns what the image says it is, and the kernel below it.
pub fn system() -> SystemInfo {
    let release = read("/etc/os-release");
    let name = rustix::system::uname();
    SystemInfo {
        id: release_field(&release, "ID").unwrap_or_else(|| "linux".to_owned()),
        name: release_field(&release, "PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned()),
        kernel: name.release().to_string_lossy().into_owned(),
        architecture: name.machine().to_string_lossy().into_owned(),
    }
}

fn release_field(release: &str, field: &str) -> Option<String> {
    release.lines().find_map(|line| {
        let value = line.strip_prefix(field)?.strip_prefix('=')?;
        Some(value.trim_matches(['"', '\'']).to_owned())
    })
}

fn read(path: &str) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes[..bytes.len().min(256 << 10)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_is_found_by_id() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\nbroken\ndev:x:64000:64000::/home/dev:/bin/zsh\n";
        assert_eq!(
            passwd_entry(passwd, 64000),
            Some(("dev".into(), "/bin/zsh".into()))
        );
        assert_eq!(passwd_entry(passwd, 1000), None);
    }

    #[test]
    fn release_fields_lose_their_quotes() {
        let release = "PRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_ID=\"12\"\nID=debian\n";
        assert_eq!(release_field(release, "ID"), Some("debian".into()));
        assert_eq!(
            release_field(release, "PRETTY_NAME"),
            Some("Debian GNU/Linux 12".into())
        );
        assert_eq!(release_field(release, "VERSION"), None);
    }

    #[test]
    fn ports_are_below_the_domain_of_their_url() {
        for (template, domain) in [
            (
                "https://{{port}}-abcdefghijk1.kalpana.localhost:8443",
                Some(".kalpana.localhost"),
            ),
            (
                "https://{{port}}-a.spaces.example/",
                Some(".spaces.example"),
            ),
            ("https://{{port}}", None),
            ("{{port}}", None),
        ] {
            assert_eq!(port_domain(template), domain, "{template}");
        }
    }

    #[test]
    fn only_listed_variables_are_passed_on() {
        let settings =
            crate::settings::test_support::settings(std::path::Path::new("/nonexistent"));
        let user = UserInfo {
            name: "dev".into(),
            uid: 64000,
            gid: 64000,
            home: "/home/dev".into(),
            shell: "/bin/bash".into(),
        };
        let variables = |name: &str| match name {
            "PATH" => Some("/opt/bin".to_owned()),
            "KALPANA_RUN_DIR" | "LD_PRELOAD" | "AWS_SECRET_ACCESS_KEY" => Some("no".to_owned()),
            _ => None,
        };
        let environment = build(variables, &settings, &user);
        let names: Vec<_> = environment.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "HOME",
                "LANG",
                "LOGNAME",
                "PATH",
                "SHELL",
                "TERM",
                "USER",
                "__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS"
            ]
        );
        assert_eq!(environment[VITE_HOSTS], ".kalpana.localhost");
        assert_eq!(environment["PATH"], "/opt/bin");
    }
}
