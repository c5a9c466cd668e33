//! Certificates that an operator brings: what is wrong with them is told while they are served.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use kalpana_certs::Certs;
use kalpana_config::{Config, Site};
use kalpana_domain::clock::ManualClock;
use kalpana_protocol::certificates::{Certificate, CertificateState, Happening};
use prometheus::Registry;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

const NAMES: [&str; 2] = ["example.test", "*.example.test"];

/// A site with a certificate of its operator, by an authority of theirs.
struct World {
    directory: tempfile::TempDir,
    root: CertifiedIssuer<'static, KeyPair>,
    clock: Arc<ManualClock>,
}

impl World {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "Our Root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self {
            directory: tempfile::tempdir().expect("a directory"),
            root: CertifiedIssuer::self_signed(params, key).expect("signed"),
            clock: Arc::new(ManualClock::new(
                "2026-06-01T00:00:00Z".parse().expect("a time"),
            )),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Brings a certificate that is good from April to the end of June, with its chain or without.
    fn bring(&self, is_whole: bool) {
        let mut params = CertificateParams::new(NAMES.map(ToOwned::to_owned)).expect("names");
        params.not_before = rcgen::date_time_ymd(2026, 4, 1);
        params.not_after = rcgen::date_time_ymd(2026, 6, 30);
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &self.root).expect("signed").pem();
        let chain = if is_whole {
            leaf + &self.root.pem()
        } else {
            leaf
        };
        std::fs::write(self.path("c.pem"), chain).expect("written");
        std::fs::write(self.path("k.pem"), key.serialize_pem()).expect("written");
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.path("k.pem"), private).expect("private");
    }

    fn open(&self) -> Certs {
        let mut config = Config::default();
        config.server.domain = "example.test".to_owned();
        config.server.data_dir = Some(self.path("d"));
        config.certs.certificate_file = Some(self.path("c.pem"));
        config.certs.key_file = Some(self.path("k.pem"));
        let site = Site::resolve(&config, false, None).expect("resolved");
        let registry = Registry::new();
        let clock = Arc::clone(&self.clock) as _;
        Certs::open(&site, &config.certs, true, &registry, clock).expect("opened")
    }

    fn pass(&self, days: i64) {
        self.clock
            .advance(jiff::SignedDuration::from_hours(24 * days));
    }
}

fn only(certs: &Certs) -> Certificate {
    let mut all = certs.list().certificates;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn code(certs: &Certs) -> Option<String> {
    let found = only(certs);
    let state = match found.problem {
        Some(_) => CertificateState::Failing,
        None => CertificateState::Good,
    };
    assert_eq!(found.state, state);
    found.problem.map(|problem| problem.code)
}

fn happened(certs: &Certs, what: Happening) -> usize {
    let untold = certs.journal().untold();
    untold.iter().filter(|it| it.what == what).count()
}

#[test]
fn a_chain_that_is_not_whole_is_told_until_the_files_are_replaced() {
    let world = World::new();
    world.bring(false);
    let certs = world.open();
    assert_eq!(code(&certs).as_deref(), Some("chain_incomplete"));
    let told = only(&certs).problem.expect("told");
    assert!(told.message.contains("signed by Our Root"), "{told:?}");
    assert!(told.next_step.contains("full chain"), "{told:?}");
    assert_eq!(happened(&certs, Happening::Replaced), 1);
    world.bring(true);
    certs.refresh();
    assert_eq!(code(&certs), None);
    assert_eq!(happened(&certs, Happening::Replaced), 2);
    world.bring(false);
    certs.refresh();
    assert_eq!(code(&certs).as_deref(), Some("chain_incomplete"));
}

#[test]
fn the_end_of_files_is_told_14_7_and_1_days_before_and_after_a_restart_not_again() {
    let world = World::new();
    world.bring(true);
    let mut certs = world.open();
    certs.refresh();
    assert_eq!(happened(&certs, Happening::Ending), 0);
    // On the 15th, 16th, 20th, 23rd, 28th and 29th.
    for (days, told) in [(14, 0), (1, 1), (4, 1), (3, 2), (5, 2), (1, 3)] {
        world.pass(days);
        certs.refresh();
        certs.refresh();
        assert_eq!(happened(&certs, Happening::Ending), told);
        certs = world.open();
        certs.refresh();
        assert_eq!(happened(&certs, Happening::Ending), told);
        let expected = (told > 0).then_some("certificate_ends_soon");
        assert_eq!(code(&certs).as_deref(), expected);
    }
}

#[test]
fn files_that_were_spoiled_are_written_down_once_and_the_old_certificate_is_served() {
    let world = World::new();
    world.bring(true);
    let certs = world.open();
    let before = only(&certs).served;
    std::fs::write(world.path("c.pem"), "garbage").expect("written");
    for _ in 0..3 {
        certs.refresh();
    }
    assert_eq!(only(&certs).served, before);
    assert_eq!(code(&certs).as_deref(), Some("certificate_file_garbage"));
    assert_eq!(happened(&certs, Happening::Failed), 1);
    world.bring(true);
    certs.refresh();
    assert_eq!(code(&certs), None);
}
