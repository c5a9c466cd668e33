//! What is kept of certificates that an authority issued: keys, chains, orders that run, and how
//! each came along. Every file is its owner's alone, and replaced as a whole.
//!
//! ```text
//! <gateway>/tls/acme/account-<authority>.json   key and URL of the account
//!                    certs/<id>.pem             key and chain in one file, so that none is torn
//!                    certs/<id>.json            when it is renewed, why it was not
//!                    orders/<id>.json           an order that runs, with the key it is for
//!                    holder                     what tells this gateway from others of the site
//!                    budget.json                when certificates of single hosts were ordered
//! ```

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::served::Served;
use crate::storage;

/// The directory of issued certificates.
#[derive(Debug, Clone)]
pub(crate) struct Vault {
    directory: PathBuf,
}

/// What is kept beside certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// How a certificate came along.
    State,
    /// An order that runs.
    Order,
}

impl Vault {
    /// Opens the vault below the gateway's own directory.
    ///
    /// # Errors
    /// [`Error::Unwritable`].
    pub(crate) fn open(gateway: &Path) -> Result<Self, Error> {
        let directory = gateway.join("tls/acme");
        for part in ["certs", "orders"] {
            storage::make_directory(&directory.join(part), 0o700)?;
        }
        Ok(Self { directory })
    }

    /// Returns the certificate `id`; `None` where there is none, or where it cannot be used, which
    /// is logged: another is ordered then.
    pub(crate) fn certificate(&self, id: &str) -> Option<Served> {
        let path = self.certificate_path(id);
        let read = || -> Result<Option<Served>, Error> {
            let Some(pem) = storage::read(&path)? else {
                return Ok(None);
            };
            storage::refuse_exposed_key(&path)?;
            served(&pem, &path).map(Some)
        };
        read().unwrap_or_else(|error| {
            tracing::error!(%error, "{} cannot be used: {error}", path.display());
            None
        })
    }

    /// Tells whether the certificate that is kept is for `key` (PEM).
    pub(crate) fn is_for(&self, id: &str, key: &str) -> bool {
        let pem = storage::read(&self.certificate_path(id)).ok().flatten();
        pem.is_some_and(|pem| pem.starts_with(key.trim_end().as_bytes()))
    }

    /// Keeps a certificate with its key.
    ///
    /// # Errors
    /// [`Error`] when the two do not belong together, or cannot be written.
    pub(crate) fn keep(&self, id: &str, key: &str, chain: &str) -> Result<(), Error> {
        let path = self.certificate_path(id);
        let pem = pem(key, chain);
        served(pem.as_bytes(), &path)?;
        storage::write(&path, pem.as_bytes(), storage::PRIVATE)
    }

    /// Keeps a certificate with its key as another gateway has them, in one text. Returns it.
    ///
    /// # Errors
    /// [`Error`] when the two do not belong together, or cannot be written.
    pub(crate) fn keep_copy(&self, id: &str, pem: &str) -> Result<Served, Error> {
        let path = self.certificate_path(id);
        let kept = served(pem.as_bytes(), &path)?;
        storage::write(&path, pem.as_bytes(), storage::PRIVATE)?;
        Ok(kept)
    }

    /// Returns a certificate with its key, for other gateways.
    pub(crate) fn copy(&self, id: &str) -> Option<String> {
        let pem = storage::read(&self.certificate_path(id)).ok().flatten()?;
        String::from_utf8(pem).ok()
    }

    /// Returns what tells this directory's gateway from others, the same as long as it is on this
    /// machine: a directory that was copied to another is another gateway's.
    ///
    /// # Errors
    /// [`Error::Unwritable`].
    pub(crate) fn holder(&self) -> Result<String, Error> {
        let path = self.directory.join("holder");
        let known = storage::read(&path)?.and_then(|text| String::from_utf8(text).ok());
        let own = match known {
            Some(known) => known,
            None => {
                let own = uuid::Uuid::new_v4().to_string();
                storage::write(&path, own.as_bytes(), storage::PRIVATE)?;
                own
            }
        };
        let machine = rustix::system::uname();
        Ok(format!("{own} at {}", machine.nodename().to_string_lossy()))
    }

    /// Forgets the certificate `id` and all that is kept of it.
    ///
    /// # Errors
    /// [`Error::Unwritable`].
    pub(crate) fn forget(&self, id: &str) -> Result<(), Error> {
        storage::remove(&self.certificate_path(id))?;
        storage::remove(&self.path(Kind::State, id))?;
        storage::remove(&self.path(Kind::Order, id))
    }

    /// Returns what every certificate here is called, in order.
    pub(crate) fn ids(&self) -> Vec<String> {
        let directory = std::fs::read_dir(self.directory.join("certs"));
        let mut ids: Vec<String> = directory
            .into_iter()
            .flatten()
            .filter_map(|file| file.ok()?.file_name().into_string().ok())
            .filter_map(|name| Some(name.strip_suffix(".pem")?.to_owned()))
            .filter(|id| !id.starts_with('.'))
            .collect();
        ids.sort();
        ids
    }

    /// Reads what is kept of `id`; `None` where nothing is, or nothing that can be read.
    pub(crate) fn read<T: DeserializeOwned>(&self, kind: Kind, id: &str) -> Option<T> {
        self.read_file(&self.path(kind, id))
    }

    /// Keeps something of `id`.
    ///
    /// # Errors
    /// [`Error::Unwritable`].
    pub(crate) fn write<T: Serialize>(&self, kind: Kind, id: &str, of: &T) -> Result<(), Error> {
        self.write_file(&self.path(kind, id), of)
    }

    /// Forgets something of `id`.
    ///
    /// # Errors
    /// [`Error::Unwritable`].
    pub(crate) fn remove(&self, kind: Kind, id: &str) -> Result<(), Error> {
        storage::remove(&self.path(kind, id))
    }

    /// Where the account at an authority is kept.
    pub(crate) fn account_path(&self, authority: &str) -> PathBuf {
        self.directory.join(format!("account-{authority}.json"))
    }

    /// Where it is kept when certificates of single hosts were ordered.
    pub(crate) fn budget_path(&self) -> PathBuf {
        self.directory.join("budget.json")
    }

    /// Which is locked by the process that orders.
    pub(crate) fn lock_path(&self) -> PathBuf {
        self.directory.join("lock")
    }

    /// Reads a file of JSON; `None` where it is not there or cannot be read, which is logged.
    pub(crate) fn read_file<T: DeserializeOwned>(&self, path: &Path) -> Option<T> {
        let contents = storage::read(path).ok()??;
        match serde_json::from_slice(&contents) {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::error!(%error, "{} cannot be read: {error}", path.display());
                None
            }
        }
    }

    /// Replaces a file of JSON.
    ///
    /// # Errors
    /// [`Error::Unwritable`].
    pub(crate) fn write_file<T: Serialize>(&self, path: &Path, value: &T) -> Result<(), Error> {
        let contents = serde_json::to_vec(value).expect("plain data becomes JSON");
        storage::write(path, &contents, storage::PRIVATE)
    }

    fn certificate_path(&self, id: &str) -> PathBuf {
        self.directory.join("certs").join(format!("{id}.pem"))
    }

    fn path(&self, kind: Kind, id: &str) -> PathBuf {
        let directory = match kind {
            Kind::State => "certs",
            Kind::Order => "orders",
        };
        self.directory.join(directory).join(format!("{id}.json"))
    }
}

/// Puts a key and a chain together, which are not kept yet.
///
/// # Errors
/// [`Error`] when the two do not belong together, or are none.
pub(crate) fn unite(key: &str, chain: &str) -> Result<Served, Error> {
    served(
        pem(key, chain).as_bytes(),
        Path::new("what the authority sent"),
    )
}

/// Reads what another gateway keeps.
///
/// # Errors
/// [`Error`] when key and chain do not belong together, or are none.
pub(crate) fn read_copy(pem: &str) -> Result<Served, Error> {
    served(pem.as_bytes(), Path::new("another gateway's certificate"))
}

fn pem(key: &str, chain: &str) -> String {
    format!("{}\n{}\n", key.trim_end(), chain.trim_end())
}

fn served(pem: &[u8], path: &Path) -> Result<Served, Error> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| Error::NotAKey {
        path: path.to_owned(),
    })?;
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| Error::NotACertificate {
            path: path.to_owned(),
        })?;
    Served::new(chain, &key, path, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn signed(name: &str) -> (String, String) {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("names");
        let certificate = params.self_signed(&key).expect("signed");
        (key.serialize_pem(), certificate.pem())
    }

    #[test]
    fn a_certificate_is_kept_in_one_private_file_and_found_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let vault = Vault::open(directory.path()).expect("opened");
        let (key, chain) = signed("a.test");
        vault.keep("a.test", &key, &chain).expect("kept");
        assert_eq!(vault.ids(), ["a.test"]);
        let found = vault.certificate("a.test").expect("found");
        assert_eq!(found.names, ["a.test"]);
        let path = vault.certificate_path("a.test");
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("set");
        assert!(
            vault.certificate("a.test").is_none(),
            "others could read the key"
        );
        vault.forget("a.test").expect("forgotten");
        assert!(vault.ids().is_empty());
    }

    #[test]
    fn a_key_of_another_certificate_is_not_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let vault = Vault::open(directory.path()).expect("opened");
        let (key, chain) = signed("a.test");
        vault.keep("a.test", &key, &chain).expect("kept");
        let before = vault.certificate("a.test").expect("found").fingerprint;
        let (other, _) = signed("a.test");
        let error = vault.keep("a.test", &other, &chain).expect_err("refused");
        assert!(matches!(error, Error::Mismatch { .. }), "{error}");
        let after = vault
            .certificate("a.test")
            .expect("still there")
            .fingerprint;
        assert_eq!(before, after);
    }
}
