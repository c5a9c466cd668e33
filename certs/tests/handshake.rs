//! Certificates as TLS clients see them: real handshakes against what the resolver serves.

use std::sync::Arc;
use std::time::Duration;

use kalpana_certs::{Certs, Error};
use kalpana_config::{Config, Site};
use kalpana_domain::clock::{Clock, ManualClock};
use prometheus::Registry;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

struct World {
    directory: tempfile::TempDir,
    site: Site,
    registry: Registry,
    clock: Arc<ManualClock>,
    certs: Certs,
}

/// Lets the client judge validity by the same standing clock.
#[derive(Debug)]
struct Frozen(i64);

impl TimeProvider for Frozen {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

fn world() -> World {
    let directory = tempfile::tempdir().expect("a directory");
    let mut config = Config::default();
    config.server.data_dir = Some(directory.path().to_owned());
    let site = Site::resolve(&config, false, None).expect("resolved");
    let registry = Registry::new();
    let clock = Arc::new(ManualClock::new(
        "2026-06-01T00:00:00Z".parse().expect("a time"),
    ));
    let certs = Certs::open(
        &site,
        &config.certs,
        false,
        &registry,
        Arc::clone(&clock) as _,
    )
    .expect("opened");
    World {
        directory,
        site,
        registry,
        clock,
        certs,
    }
}

/// Shakes hands in memory as a client that trusts the published authority; returns the leaf.
fn shake_hands(world: &World, host: &str) -> Result<CertificateDer<'static>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let pem = std::fs::read(world.site.authority_certificate()).expect("published");
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&pem).expect("a certificate"))
        .expect("a root");
    let time = Arc::new(Frozen(world.clock.now().as_second()));
    let client = ClientConfig::builder_with_details(Arc::clone(&provider), time)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(world.certs.resolver());
    let name = ServerName::try_from(host.to_owned()).expect("a name");
    let mut client = ClientConnection::new(Arc::new(client), name).expect("a client");
    let mut server = ServerConnection::new(Arc::new(server)).expect("a server");
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).expect("written");
        server.read_tls(&mut bytes.as_slice()).expect("read");
        server.process_new_packets()?;
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).expect("written");
        client.read_tls(&mut bytes.as_slice()).expect("read");
        client.process_new_packets()?;
    }
    let leaf = client.peer_certificates().expect("shown")[0].clone();
    Ok(leaf.into_owned())
}

#[test]
fn clients_that_trust_the_authority_accept_the_site_and_its_workspaces() {
    let world = world();
    for host in [
        "kalpana.localhost",
        "abcdefghij01.kalpana.localhost",
        "3000-abcdefghij01.kalpana.localhost",
    ] {
        shake_hands(&world, host).expect(host);
    }
    for host in ["example.com", "a.b.kalpana.localhost", "localhost"] {
        shake_hands(&world, host).expect_err(host);
    }
}

#[test]
fn renewal_swaps_the_certificate_under_the_same_resolver() {
    let world = world();
    let first = shake_hands(&world, "kalpana.localhost").expect("accepted");
    world.certs.refresh();
    let same = shake_hands(&world, "kalpana.localhost").expect("accepted");
    assert_eq!(first, same, "not due yet");
    world
        .clock
        .advance(jiff::SignedDuration::from_hours(61 * 24));
    world.certs.refresh();
    let second = shake_hands(&world, "kalpana.localhost").expect("accepted");
    assert_ne!(first, second);
}

#[test]
fn expiry_is_shown_for_certificate_and_authority() {
    let world = world();
    let families = world.registry.gather();
    let expiry = families
        .iter()
        .find(|family| family.name() == "kalpana_certs_expiry_timestamp_seconds");
    let shown: Vec<(String, i64)> = expiry
        .expect("registered")
        .get_metric()
        .iter()
        .map(|metric| {
            let name = metric.get_label()[0].value().to_owned();
            (name, metric.get_gauge().get_value() as i64)
        })
        .collect();
    let now = world.clock.now().as_second();
    assert_eq!(
        shown,
        [
            ("authority".to_owned(), now + 10 * 365 * 86_400),
            ("kalpana.localhost".to_owned(), now + 90 * 86_400),
        ]
    );
}

#[test]
fn an_operators_file_that_is_missing_is_named() {
    let world = world();
    let mut config = Config::default();
    config.certs.certificate_file = Some(world.directory.path().join("none.pem"));
    config.certs.key_file = Some(world.directory.path().join("none.key"));
    let clock = Arc::clone(&world.clock) as _;
    let opened = Certs::open(&world.site, &config.certs, false, &Registry::new(), clock);
    assert!(matches!(opened, Err(Error::Missing { .. })));
}
