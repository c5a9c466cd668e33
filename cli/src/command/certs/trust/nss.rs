//! The databases of browsers: one for Chromium, one for each profile of Firefox.
//!
//! They are in NSS's own format, which `certutil` changes, also while the browser runs.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::super::authority::Authority;
use super::{Done, Outcome, Person};

/// What to do where `certutil` is missing.
const NO_CERTUTIL: &str = "certutil is not installed; it is in the package libnss3-tools (Debian, \
    Ubuntu), nss-tools (Fedora), mozilla-nss-tools (SUSE) or nss (Arch)";

/// Where Chromium and its kin look, below a home; of a snap only if it is installed.
const CHROMIUM: &str = ".pki/nssdb";
const CHROMIUM_SNAP: &str = "snap/chromium/current/.pki/nssdb";

/// Where Firefox keeps profiles, below a home: packages, snap, Flatpak.
const FIREFOX: [&str; 3] = [
    ".mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/.mozilla/firefox",
];

/// The file by which a directory is known to be a database.
const DATABASE: &str = "cert9.db";

/// Trusted to sign for servers, and for nothing else.
const SERVERS: &str = "C,,";

/// Longest wait for `certutil`. It would wait for ever where it asks for a password.
const LIMIT: Duration = Duration::from_secs(30);

/// How many certificates of one name are taken out at most.
const MOST_OF_A_NAME: usize = 16;

/// Puts an authority into every database of a person's, or takes it out.
pub(super) async fn change_all(
    person: &Person,
    authority: &Authority,
    is_unwanted: bool,
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (store, directory) in databases(&person.home) {
        let changed = change(person, &directory, authority, is_unwanted).await;
        let (result, reason) = match changed {
            Ok(result) => (result, None),
            Err(why) => (Done::Failed, Some(why)),
        };
        outcomes.push(Outcome {
            store,
            place: directory.display().to_string(),
            result,
            reason,
        });
    }
    outcomes
}

/// Returns the databases below a home, each with what people call it. Chromium's is among them
/// even where it is not there yet: Chromium takes what it finds when it first runs.
fn databases(home: &Path) -> Vec<(String, PathBuf)> {
    let mut found = vec![("Chromium".to_owned(), home.join(CHROMIUM))];
    let snap = home.join(CHROMIUM_SNAP);
    if snap.join(DATABASE).exists() {
        found.push(("Chromium (snap)".to_owned(), snap));
    }
    let mut profiles: Vec<PathBuf> = FIREFOX
        .iter()
        .filter_map(|place| std::fs::read_dir(home.join(place)).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join(DATABASE).exists())
        .collect();
    profiles.sort();
    found.extend(profiles.into_iter().map(|profile| {
        let name = profile.file_name().unwrap_or_default().to_string_lossy();
        (format!("Firefox profile {name}"), profile.clone())
    }));
    found
}

async fn change(
    person: &Person,
    directory: &Path,
    authority: &Authority,
    is_unwanted: bool,
) -> Result<Done, String> {
    let is_new = !directory.join(DATABASE).exists();
    if is_new && is_unwanted {
        return Ok(Done::NotThere);
    }
    let certutil = Certutil { person, directory };
    if is_new {
        certutil.make().await?;
    }
    let there = certutil.certificates(&authority.name).await?;
    let is_trusted = certutil.trust_of(&authority.name).await?.as_deref() == Some(SERVERS);
    if !is_unwanted && is_trusted && there == [authority.certificate.clone()] {
        return Ok(Done::AlreadyTrusted);
    }
    // An older one of the same name would stand in the way.
    for _ in 0..there.len().min(MOST_OF_A_NAME) {
        certutil.run(&["-D", "-n", &authority.name], "").await?;
    }
    if is_unwanted {
        return Ok(if there.is_empty() {
            Done::NotThere
        } else {
            Done::Removed
        });
    }
    let add = ["-A", "-a", "-t", SERVERS, "-n", &authority.name];
    certutil.run(&add, &authority.pem).await?;
    // Done is what is seen to be done.
    if certutil.certificates(&authority.name).await? == [authority.certificate.clone()] {
        Ok(Done::Trusted)
    } else {
        Err("certutil did not complain, but the certificate is not there".to_owned())
    }
}

/// `certutil` for one database.
struct Certutil<'a> {
    person: &'a Person,
    directory: &'a Path,
}

impl Certutil<'_> {
    /// Makes an empty database without a password, as browsers do.
    async fn make(&self) -> Result<(), String> {
        let script = "umask 077; mkdir -p -- \"$1\"";
        let directory = self.directory.display().to_string();
        self.wait_for("sh", &["-c", script, "sh", &directory], "")
            .await?;
        self.run(&["-N", "--empty-password"], "").await.map(|_| ())
    }

    /// Returns all certificates of a name.
    async fn certificates(&self, name: &str) -> Result<Vec<CertificateDer<'static>>, String> {
        if self.trust_of(name).await?.is_none() {
            return Ok(Vec::new());
        }
        let text = self.run(&["-L", "-a", "-n", name], "").await?;
        CertificateDer::pem_slice_iter(text.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| format!("certutil printed no certificate: {error}"))
    }

    /// Returns what a certificate is trusted for, as `C,,`; nothing where there is none.
    async fn trust_of(&self, name: &str) -> Result<Option<String>, String> {
        let list = self.run(&["-L"], "").await?;
        let found = list.lines().find_map(|line| {
            let (known, trust) = line.trim_end().rsplit_once(' ')?;
            (known.trim_end() == name).then(|| trust.to_owned())
        });
        Ok(found)
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let database = format!("sql:{}", self.directory.display());
        // A password that is asked for is answered with none, and refused.
        let own = ["-d", database.as_str(), "-f", "/dev/null"];
        self.wait_for("certutil", &[&own[..], arguments].concat(), input)
            .await
    }

    /// Runs a program as the person whose database it is.
    async fn wait_for(
        &self,
        program: &str,
        arguments: &[&str],
        input: &str,
    ) -> Result<String, String> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("HOME", &self.person.home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(user) = &self.person.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound if program == "certutil" => NO_CERTUTIL.to_owned(),
            _ => format!("cannot run {program}: {error}"),
        })?;
        if let Some(mut pipe) = child.stdin.take() {
            // What it does not read it does not need.
            let _ = pipe.write_all(input.as_bytes()).await;
        }
        let output = match tokio::time::timeout(LIMIT, child.wait_with_output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(format!("{program} broke off: {error}")),
            Err(_) => return Err(format!("{program} does not end")),
        };
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim();
        Err(
            if said.contains("SEC_ERROR_BAD_PASSWORD") || said.contains("password") {
                "it has a password of its own; import the certificate in the browser's settings"
                    .to_owned()
            } else {
                format!(
                    "{program} failed: {}",
                    said.lines().collect::<Vec<_>>().join("; ")
                )
            },
        )
    }
}
