//! What happened to certificates, kept on disk until the site's audit log has it.
//!
//! Each event has an id that follows from what happened, so that it may be written down, and told,
//! more than once: by a process that was killed in between and comes back, by the one that takes over
//! in an upgrade, or by another gateway of the site.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kalpana_domain::Timestamp;
use kalpana_protocol::certificates::{Happened, Happening};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::Certs;
use crate::acme::problem::Failure;
use crate::error::Error;
use crate::plan::Origin;
use crate::renewal;
use crate::served::Served;
use crate::storage;

/// Longest name that is written down. Unit: characters.
const NAME_LIMIT: usize = 255;

/// The events that were not told yet, each in a file of its own.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    written: Notify,
}

impl Journal {
    /// Opens the journal below the gateway's own directory.
    ///
    /// # Errors
    /// [`Error::Unwritable`].
    pub(crate) fn open(gateway: &Path) -> Result<Self, Error> {
        let directory = gateway.join("tls/journal");
        storage::make_directory(&directory, 0o700)?;
        Ok(Self {
            directory,
            written: Notify::new(),
        })
    }

    /// Writes an event down. One that cannot be is in the log at least.
    fn write(&self, happened: &Happened) {
        let contents = serde_json::to_vec(happened).expect("plain data becomes JSON");
        match storage::write(&self.path(&happened.id), &contents, storage::PRIVATE) {
            Ok(()) => self.written.notify_one(),
            Err(error) => tracing::error!(
                %error,
                ?happened,
                "the audit log will not have what happened to {}: {error}",
                happened.certificate
            ),
        }
    }

    /// Returns what is to be told, the earliest first. A file that cannot be read is logged and
    /// passed over.
    pub fn untold(&self) -> Vec<Happened> {
        let files = std::fs::read_dir(&self.directory).into_iter().flatten();
        let mut untold: Vec<Happened> = files
            .filter_map(|file| self.read(&file.ok()?.path()))
            .collect();
        untold.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
        untold
    }

    fn read(&self, path: &Path) -> Option<Happened> {
        if path.extension()? != "json" {
            return None;
        }
        let contents = storage::read(path).ok()??;
        let read: Result<Happened, _> = serde_json::from_slice(&contents);
        let happened = read.inspect_err(|error| {
            tracing::error!(%error, "{} cannot be read: {error}", path.display());
        });
        // The name is what it is removed by.
        let happened = happened.ok()?;
        (self.path(&happened.id) == path).then_some(happened)
    }

    /// Forgets an event that was told.
    pub fn told(&self, happened: &Happened) {
        if let Err(error) = storage::remove(&self.path(&happened.id)) {
            tracing::warn!(%error, "what was told will be told again: {error}");
        }
    }

    /// Waits until something was written.
    pub async fn written(&self) {
        self.written.notified().await;
    }

    fn path(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}.json"))
    }
}

impl Certs {
    /// Returns what happened, and was not told yet.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Writes down that an operator asks for something, at the machine's own command line.
    pub fn note_request(&self, what: Happening, name: &str) {
        let now = self.clock.now();
        self.journal.write(&Happened {
            id: uuid::Uuid::now_v7().to_string(),
            at: now,
            what,
            certificate: name
                .chars()
                .filter(|letter| !letter.is_control())
                .take(NAME_LIMIT)
                .collect(),
            detail: None,
        });
    }

    /// Writes down which certificates were found at the start, and may not be written down yet: the
    /// process before was killed, or files were replaced while nothing ran.
    pub(crate) fn note_unnoted(&self) {
        let mut unnoted = Vec::new();
        for (id, entry) in self.book().iter_mut() {
            let Some(served) = &entry.served else {
                continue;
            };
            if entry.memory.noted.as_ref() != Some(&served.fingerprint) {
                entry.memory.noted = Some(served.fingerprint.clone());
                unnoted.push((id.clone(), Arc::clone(served)));
            }
        }
        for (id, served) in unnoted {
            self.note_replaced(&id, &served);
        }
    }

    /// Writes down that a certificate is served in place of another, or as the first.
    pub(crate) fn note_replaced(&self, id: &str, served: &Served) {
        let begins = served.not_before;
        self.note(
            Happening::Replaced,
            id,
            &served.serial,
            (begins, &served.fingerprint),
        );
    }

    /// Writes down that an authority declared a certificate void.
    pub(crate) fn note_revoked(&self, id: &str, served: &Served) {
        let begins = served.not_before;
        self.note(
            Happening::Revoked,
            id,
            &served.serial,
            (begins, &served.fingerprint),
        );
    }

    /// Writes down that there is no new certificate, unless that is known for the same reason.
    pub(crate) fn note_failed(&self, id: &str, failure: &Failure, now: Timestamp) {
        let known = self.book().get(id).and_then(|entry| {
            let problem = entry.memory.problem.as_ref()?;
            Some(problem.code.clone())
        });
        // What gateways could not agree on was asked of nobody.
        if known.as_deref() != Some(failure.code) && failure.code != Failure::SHARED {
            self.note(Happening::Failed, id, failure.code, (now, ""));
        }
    }

    /// Writes down which certificates end soon with nothing in sight to take their place, and says
    /// so where nobody else does.
    pub(crate) fn note_ending(&self) {
        let now = self.clock.now();
        let mut ending = Vec::new();
        for entry in self.book().values_mut() {
            let is_brought = matches!(entry.wanted.origin, Origin::Files { .. });
            let Some(served) = entry
                .served
                .as_ref()
                .filter(|_| is_brought || entry.memory.problem.is_some())
            else {
                continue;
            };
            let alert = renewal::alert(served.not_before, served.not_after, now);
            let Some(days) = alert.filter(|_| entry.alerted != alert) else {
                continue;
            };
            entry.alerted = alert;
            if is_brought {
                tracing::error!(
                    certificate = entry.wanted.id,
                    "the certificate for {} ends at {}; replace its files",
                    entry.wanted.id,
                    served.not_after
                );
            }
            ending.push((entry.wanted.id.clone(), days, served.clone()));
        }
        for (id, days, served) in ending {
            let of = format!("{} {days}", served.fingerprint);
            let detail = served.not_after.to_string();
            self.note(Happening::Ending, &id, &detail, (served.not_before, &of));
        }
    }

    /// Writes an event down, whose id follows from a time and a text of its own.
    fn note(&self, what: Happening, id: &str, detail: &str, (since, of): (Timestamp, &str)) {
        self.journal.write(&Happened {
            id: event_id(what, id, since, of),
            at: self.clock.now(),
            what,
            certificate: id.to_owned(),
            detail: Some(detail.to_owned()),
        });
    }
}

fn event_id(what: Happening, id: &str, since: Timestamp, of: &str) -> String {
    let milliseconds = since.as_millisecond();
    let digest = Sha256::digest(format!("{what:?}\n{id}\n{milliseconds}\n{of}"));
    let mut random = [0; 10];
    random.copy_from_slice(&digest[..10]);
    let since = u64::try_from(milliseconds).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(since, &random)
        .into_uuid()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happened(id: &str, second: i64) -> Happened {
        Happened {
            id: id.to_owned(),
            at: Timestamp::from_second(second).expect("a time"),
            what: Happening::Replaced,
            certificate: "example.test".to_owned(),
            detail: None,
        }
    }

    #[test]
    fn what_is_written_is_untold_until_it_was_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let journal = Journal::open(directory.path()).expect("opened");
        let (late, early) = (happened("a", 20), happened("b", 10));
        for event in [&late, &early, &late] {
            journal.write(event);
        }
        std::fs::write(directory.path().join("tls/journal/c.json"), "{").expect("written");
        let journal = Journal::open(directory.path()).expect("opened again");
        assert_eq!(journal.untold(), [early.clone(), late.clone()]);
        journal.told(&early);
        journal.told(&early);
        assert_eq!(journal.untold(), [late]);
    }

    #[test]
    fn an_events_id_follows_from_what_happened() {
        let since = Timestamp::from_second(1_800_000_000).expect("a time");
        let id = |what, name, of| event_id(what, name, since, of);
        let one = id(Happening::Replaced, "a.test", "01");
        assert_eq!(one, id(Happening::Replaced, "a.test", "01"));
        for other in [
            id(Happening::Revoked, "a.test", "01"),
            id(Happening::Replaced, "b.test", "01"),
            id(Happening::Replaced, "a.test", "02"),
        ] {
            assert_ne!(one, other);
        }
        let read = uuid::Uuid::parse_str(&one).expect("a UUID");
        assert_eq!(read.get_version_num(), 7);
    }
}
