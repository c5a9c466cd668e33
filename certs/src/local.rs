//! The local authority: made on first start, it signs the site's certificate where no operator
//! brought one, for development and for sites without a public name.
//!
//! Its key never leaves `<data>/gateway/tls`. It is limited by name constraints to the site's own
//! domains, so that who trusts it trusts it for nothing else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kalpana_config::Site;
use kalpana_domain::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::Error;
use crate::served::{Facts, Served};
use crate::storage;

/// How long the authority lasts. People import it by hand, so it should not end under them.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);

/// How far before now a certificate starts, for clients whose clocks are behind.
const BACKDATE: Duration = Duration::from_secs(3600);

/// Signs for the site's names, and keeps what it signed on disk.
#[derive(Debug)]
pub struct LocalAuthority {
    /// The domains that it may sign for.
    domains: Vec<String>,
    /// The names that it signs.
    names: Vec<String>,
    directory: PathBuf,
    public_certificate: PathBuf,
    lifetime: Duration,
}

/// The authority as loaded or made.
struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    not_after: Timestamp,
}

impl LocalAuthority {
    /// What to do when it cannot sign.
    pub(crate) const NEXT_STEP: &str = "Check that the disk is not full and that the gateway's \
        directory is the gateway's.";

    /// Names the authority of `site`, whose certificates are for `names` and last `lifetime`.
    /// Nothing is made yet.
    pub fn new(site: &Site, names: Vec<String>, lifetime: Duration) -> Self {
        let mut domains = vec![site.domain.clone()];
        if !site.is_single_domain() {
            domains.push(site.workspace_domain.clone());
        }
        Self {
            domains,
            names,
            directory: site.gateway_dir().join("tls"),
            public_certificate: site.authority_certificate(),
            lifetime,
        }
    }

    /// Returns a certificate that is not due at `now`: the one on disk, or else a new one, signed
    /// by the authority on disk, or else by a new one.
    ///
    /// # Errors
    /// [`Error`] when files cannot be read or written, or are not what they should be.
    pub fn obtain(&self, now: Timestamp) -> Result<Served, Error> {
        storage::make_directory(&self.directory, 0o700)?;
        let (authority, is_new) = match self.load_authority(now)? {
            Some(authority) => (authority, false),
            None => (self.make_authority(now)?, true),
        };
        self.publish(&authority.certificate)?;
        let kept = if is_new { None } else { self.load_leaf(now) };
        let mut served = match kept {
            Some(served) => served,
            None => self.sign_leaf(&authority, now)?,
        };
        served.authority_not_after = Some(authority.not_after);
        Ok(served)
    }

    fn load_authority(&self, now: Timestamp) -> Result<Option<Authority>, Error> {
        let (certificate_path, key_path) = (self.path("authority.crt"), self.path("authority.key"));
        let (Some(certificate), Some(key)) =
            (storage::read(&certificate_path)?, storage::read(&key_path)?)
        else {
            return Ok(None);
        };
        storage::refuse_exposed_key(&key_path)?;
        // What is on disk but cannot be read is not replaced in silence: people may trust it.
        let unreadable = || Error::NotACertificate {
            path: certificate_path.clone(),
        };
        let certificate = CertificateDer::from_pem_slice(&certificate).map_err(|_| unreadable())?;
        let facts = Facts::read(&certificate).ok_or_else(unreadable)?;
        let last_leaf = now.as_second().saturating_add(seconds(self.lifetime));
        if facts.permitted != self.domains || facts.not_after.as_second() < last_leaf {
            tracing::warn!(
                "the local authority is for other domains or expires soon, so a new one is made; \
                 browsers must be told to trust {} again",
                self.public_certificate.display()
            );
            return Ok(None);
        }
        let key = std::str::from_utf8(&key)
            .ok()
            .and_then(|pem| KeyPair::from_pem(pem).ok())
            .ok_or_else(|| Error::NotAKey {
                path: key_path.clone(),
            })?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(Error::Signing)?;
        Ok(Some(Authority {
            not_after: facts.not_after,
            certificate,
            issuer,
        }))
    }

    fn make_authority(&self, now: Timestamp) -> Result<Authority, Error> {
        let key = new_key()?;
        let mut params = CertificateParams::default();
        params.distinguished_name =
            named(&format!("Kalpana local authority ({})", self.domains[0]));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let domains = self.domains.iter().cloned().map(GeneralSubtree::DnsName);
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: domains.collect(),
            // A constraint on names alone would leave addresses open.
            excluded_subtrees: vec![
                GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([0; 4], 0)),
                GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix([0; 16], 0)),
            ],
        });
        set_validity(&mut params, now, AUTHORITY_LIFETIME);
        let certificate = params.self_signed(&key).map_err(Error::Signing)?;
        // The key first: a certificate without its key would be taken for a whole authority.
        storage::write(
            &self.path("authority.key"),
            key.serialize_pem().as_bytes(),
            storage::PRIVATE,
        )?;
        storage::write(
            &self.path("authority.crt"),
            certificate.pem().as_bytes(),
            storage::PUBLIC,
        )?;
        tracing::info!(
            "made a local certificate authority; tell browsers to trust {}",
            self.public_certificate.display()
        );
        let not_after = Facts::read(certificate.der()).map(|facts| facts.not_after);
        Ok(Authority {
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
            not_after: not_after.expect("we have just written it"),
        })
    }

    /// Copies the authority's certificate to where everybody may read it.
    fn publish(&self, certificate: &CertificateDer<'static>) -> Result<(), Error> {
        let pem = storage::read(&self.path("authority.crt"))?.unwrap_or_default();
        debug_assert!(CertificateDer::from_pem_slice(&pem).is_ok_and(|own| own == *certificate));
        if storage::read(&self.public_certificate)?.as_ref() == Some(&pem) {
            return Ok(());
        }
        if let Some(directory) = self.public_certificate.parent() {
            storage::make_directory(directory, 0o755)?;
        }
        storage::write(&self.public_certificate, &pem, storage::PUBLIC)
    }

    /// The certificate on disk, if it is whole, for our names, and not due.
    fn load_leaf(&self, now: Timestamp) -> Option<Served> {
        let (path, key_path) = (self.path("site.crt"), self.path("site.key"));
        let certificate = storage::read(&path).ok()??;
        let key = storage::read(&key_path).ok()??;
        storage::refuse_exposed_key(&key_path).ok()?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&certificate)
            .collect::<Result<_, _>>()
            .ok()?;
        let key = PrivateKeyDer::from_pem_slice(&key).ok()?;
        // A pair torn by a crash between its two writes does not match, and is made anew.
        let served = Served::new(chain, &key, &path, &key_path).ok()?;
        let lifetime = served.not_after.as_second() - served.not_before.as_second();
        let is_as_configured = lifetime == seconds(self.lifetime) + seconds(BACKDATE);
        let is_due = served.due_at() <= now;
        (served.names == self.names && is_as_configured && !is_due).then_some(served)
    }

    fn sign_leaf(&self, authority: &Authority, now: Timestamp) -> Result<Served, Error> {
        let key = new_key()?;
        let mut params = CertificateParams::new(self.names.clone()).map_err(Error::Signing)?;
        params.distinguished_name = named(&self.domains[0]);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, self.lifetime);
        let leaf = params
            .signed_by(&key, &authority.issuer)
            .map_err(Error::Signing)?;
        let (path, key_path) = (self.path("site.crt"), self.path("site.key"));
        storage::write(&key_path, key.serialize_pem().as_bytes(), storage::PRIVATE)?;
        storage::write(&path, leaf.pem().as_bytes(), storage::PUBLIC)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| Error::NotAKey {
            path: key_path.clone(),
        })?;
        Served::new(vec![leaf.der().clone()], &key, &path, &key_path)
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::join(&self.directory, name)
    }
}

fn new_key() -> Result<KeyPair, Error> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(Error::Signing)
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Kalpana");
    name.push(DnType::CommonName, common_name);
    name
}

/// Makes a certificate good from a little before `now` until `lifetime` after it.
fn set_validity(params: &mut CertificateParams, now: Timestamp, lifetime: Duration) {
    let now = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0));
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(BACKDATE);
    params.not_after = epoch + now + lifetime;
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use kalpana_config::Config;

    use super::*;

    const DAY: i64 = 86_400;

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().expect("a time")
    }

    fn later(days: i64) -> Timestamp {
        Timestamp::from_second(now().as_second() + days * DAY).expect("a time")
    }

    fn site(directory: &Path, workspace_domain: Option<&str>) -> Site {
        let mut config = Config::default();
        config.server.data_dir = Some(directory.to_owned());
        config.server.workspace_domain = workspace_domain.map(ToOwned::to_owned);
        Site::resolve(&config, false, None).expect("resolved")
    }

    fn authority(site: &Site) -> LocalAuthority {
        let names = crate::plan::plan(site, &kalpana_config::Certs::default());
        let names = names.wanted[0].names.clone();
        LocalAuthority::new(site, names, Duration::from_secs(90 * 86_400))
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn first_start_makes_an_authority_and_a_certificate_with_private_keys() {
        let directory = tempfile::tempdir().expect("a directory");
        let site = site(directory.path(), None);
        let served = authority(&site).obtain(now()).expect("made");
        assert_eq!(served.names, ["kalpana.localhost", "*.kalpana.localhost"]);
        assert_eq!(served.not_after, later(90));
        let tls = site.gateway_dir().join("tls");
        assert_eq!(mode(&tls), 0o700);
        assert_eq!(mode(&tls.join("authority.key")), 0o600);
        assert_eq!(mode(&tls.join("site.key")), 0o600);
        assert_eq!(mode(&site.authority_certificate()), 0o644);
        let left = std::fs::read_dir(&tls).expect("listed").count();
        assert_eq!(left, 4, "no temporary file stays behind");
    }

    #[test]
    fn a_restart_serves_the_same_certificate_and_two_thirds_later_a_new_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let site = site(directory.path(), None);
        let first = authority(&site).obtain(now()).expect("made");
        let again = authority(&site).obtain(later(59)).expect("kept");
        assert_eq!(first.key.cert, again.key.cert);
        let trusted = std::fs::read(site.authority_certificate()).expect("there");
        let renewed = authority(&site).obtain(later(61)).expect("renewed");
        assert_ne!(first.key.cert, renewed.key.cert);
        assert_eq!(renewed.not_after, later(151));
        let still = std::fs::read(site.authority_certificate()).expect("there");
        assert_eq!(trusted, still, "the authority people trust stays");
    }

    #[test]
    fn a_torn_pair_is_made_anew_and_a_broken_authority_is_not_replaced_in_silence() {
        let directory = tempfile::tempdir().expect("a directory");
        let site = site(directory.path(), None);
        let tls = site.gateway_dir().join("tls");
        let first = authority(&site).obtain(now()).expect("made");
        let other = new_key().expect("a key").serialize_pem();
        std::fs::write(tls.join("site.key"), other).expect("torn");
        let second = authority(&site).obtain(now()).expect("made anew");
        assert_ne!(first.key.cert, second.key.cert);

        std::fs::write(tls.join("authority.crt"), "garbage").expect("broken");
        let error = authority(&site).obtain(now()).expect_err("refused");
        assert!(matches!(error, Error::NotACertificate { .. }), "{error}");
    }

    #[test]
    fn other_domains_get_another_authority() {
        let directory = tempfile::tempdir().expect("a directory");
        let one = site(directory.path(), None);
        authority(&one).obtain(now()).expect("made");
        let trusted = std::fs::read(one.authority_certificate()).expect("there");
        let two = site(directory.path(), Some("spaces.localhost"));
        let served = authority(&two).obtain(now()).expect("made");
        assert_eq!(
            served.names,
            [
                "kalpana.localhost",
                "spaces.localhost",
                "*.spaces.localhost"
            ]
        );
        assert_ne!(
            trusted,
            std::fs::read(two.authority_certificate()).expect("there")
        );
    }

    #[test]
    fn an_unwritable_directory_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("data");
        std::fs::write(&file, "a file, not a directory").expect("written");
        let error = authority(&site(&file, None))
            .obtain(now())
            .expect_err("refused");
        assert!(error.to_string().contains("data/gateway/tls"), "{error}");
    }
}
