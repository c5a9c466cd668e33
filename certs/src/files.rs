//! The operator's own certificate: two files, read at start and again when they change.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use kalpana_domain::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::Error;
use crate::served::Served;
use crate::storage;

/// A certificate chain and its key in two PEM files.
#[derive(Debug)]
pub struct Files {
    certificate: PathBuf,
    key: PathBuf,
    /// What was read last, to notice that an operator or a script replaced it.
    last: Mutex<Option<Contents>>,
}

#[derive(Clone, PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Contents(…)")
    }
}

impl Files {
    /// What to do when they cannot be used.
    pub(crate) const NEXT_STEP: &str = "Replace certificate_file and key_file by a pair that belongs \
        together, the key readable by the gateway alone; they are read again within a minute.";

    /// Names the two files; nothing is read yet.
    pub fn new(certificate: &Path, key: &Path) -> Self {
        Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            last: Mutex::new(None),
        }
    }

    /// Reads and checks both files.
    ///
    /// # Errors
    /// [`Error`], saying which file and what is wrong with it.
    pub fn load(&self, now: Timestamp) -> Result<Served, Error> {
        let contents = self.read()?;
        let served = self.check(&contents, now)?;
        *self.last.lock().expect("no holder panics") = Some(contents);
        Ok(served)
    }

    /// Reads both files again and returns the certificate if either changed.
    ///
    /// # Errors
    /// As [`Files::load`]. A pair that does not fit together, as while a script replaces one file
    /// after the other, is reported and read again next time.
    pub fn load_if_changed(&self, now: Timestamp) -> Result<Option<Served>, Error> {
        let contents = self.read()?;
        if self.last.lock().expect("no holder panics").as_ref() == Some(&contents) {
            return Ok(None);
        }
        let served = self.check(&contents, now)?;
        *self.last.lock().expect("no holder panics") = Some(contents);
        Ok(Some(served))
    }

    fn read(&self) -> Result<Contents, Error> {
        let read = |path: &Path, setting| {
            storage::read(path)?.ok_or_else(|| Error::Missing {
                path: path.to_owned(),
                setting,
            })
        };
        let certificate = read(&self.certificate, "certs.certificate_file")?;
        let key = read(&self.key, "certs.key_file")?;
        storage::refuse_exposed_key(&self.key)?;
        Ok(Contents { certificate, key })
    }

    fn check(&self, contents: &Contents, now: Timestamp) -> Result<Served, Error> {
        let chain = CertificateDer::pem_slice_iter(&contents.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Error::NotACertificate {
                path: self.certificate.clone(),
            })?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|_| Error::NotAKey {
            path: self.key.clone(),
        })?;
        let served = Served::new(chain, &key, &self.certificate, &self.key)?;
        if served.not_after <= now {
            return Err(Error::Expired {
                path: self.certificate.clone(),
                expired: served.not_after,
            });
        }
        Ok(served)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Pair {
        directory: tempfile::TempDir,
        files: Files,
    }

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().expect("a time")
    }

    fn pair(certificate: &str, key: &str, mode: u32) -> Pair {
        let directory = tempfile::tempdir().expect("a directory");
        let (certificate_path, key_path) = (
            directory.path().join("c.pem"),
            directory.path().join("k.pem"),
        );
        std::fs::write(&certificate_path, certificate).expect("written");
        std::fs::write(&key_path, key).expect("written");
        std::fs::set_permissions(&key_path, std::fs::Permissions::from_mode(mode)).expect("mode");
        let files = Files::new(&certificate_path, &key_path);
        Pair { directory, files }
    }

    fn signed(names: &[&str], last_year: i32) -> (String, String) {
        let key = rcgen::KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = rcgen::CertificateParams::new(names).expect("names");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(last_year, 1, 1);
        let certificate = params.self_signed(&key).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn a_good_pair_is_served_and_read_again_only_when_it_changed() {
        let (certificate, key) = signed(&["example.test", "*.example.test"], 2030);
        let pair = pair(&certificate, &key, 0o640);
        let served = pair.files.load(now()).expect("loaded");
        assert_eq!(served.names, ["example.test", "*.example.test"]);
        assert!(pair.files.load_if_changed(now()).expect("read").is_none());

        let (certificate, key) = signed(&["other.test"], 2031);
        std::fs::write(pair.directory.path().join("c.pem"), certificate).expect("written");
        assert!(
            matches!(
                pair.files.load_if_changed(now()),
                Err(Error::Mismatch { .. })
            ),
            "half replaced"
        );
        std::fs::write(pair.directory.path().join("k.pem"), key).expect("written");
        let served = pair.files.load_if_changed(now()).expect("read");
        assert_eq!(served.expect("changed").names, ["other.test"]);
    }

    #[test]
    fn each_mistake_has_its_own_error() {
        let (certificate, key) = signed(&["example.test"], 2030);
        let (old, old_key) = signed(&["example.test"], 2025);
        let (_, other_key) = signed(&["example.test"], 2030);
        let load = |certificate: &str, key: &str, mode| {
            let pair = pair(certificate, key, mode);
            pair.files.load(now()).expect_err("refused").to_string()
        };
        assert!(load(&certificate, &key, 0o644).contains("mode 0644"));
        assert!(load(&certificate, &key, 0o660).contains("mode 0660"));
        assert!(load("garbage", &key, 0o600).contains("not a PEM certificate"));
        assert!(load(&key, &key, 0o600).contains("not a PEM certificate"));
        assert!(load(&certificate, "garbage", 0o600).contains("not a PEM private key"));
        assert!(load(&certificate, &other_key, 0o600).contains("does not belong"));
        assert!(load(&old, &old_key, 0o600).contains("expired at 2025-01-01"));

        let missing = Files::new(Path::new("/nowhere/c.pem"), Path::new("/nowhere/k.pem"));
        let error = missing.load(now()).expect_err("refused");
        assert!(
            error.to_string().contains("certs.certificate_file"),
            "{error}"
        );
    }
}
