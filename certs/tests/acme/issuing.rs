//! Each kind of proof gets a certificate.

use std::sync::Arc;

use kalpana_certs::resolver::Resolver;
use kalpana_protocol::certificates::CertificateState;

use crate::world::{Authority, run};

const SITE: &str = "example.test";

fn is_there(certificate: &kalpana_protocol::certificates::Certificate) -> bool {
    certificate.state == CertificateState::Good
}

fn leaf(resolver: &Arc<Resolver>, name: &str) -> Vec<u8> {
    let key = resolver.find(Some(name)).expect("something is shown");
    key.cert[0].to_vec()
}

#[tokio::test]
async fn http_01_gets_a_certificate_that_a_restart_finds_again() {
    let authority = Authority::start(|_| {}).await;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = authority.settings("challenge = \"http-01\"\n");
    let ports = (authority.http, authority.tls);
    let running = run(directory.path(), ports, &settings, None).await;
    let stand_in = leaf(&running.certs.resolver(), SITE);
    let issued = running.until(SITE, is_there).await;
    let shown = issued.served.expect("served");
    assert!(shown.issuer.contains("Pebble"), "{}", shown.issuer);
    assert_eq!(issued.names, [SITE]);
    assert!(shown.chain_length >= 2, "the intermediate comes with it");
    let now = leaf(&running.certs.resolver(), SITE);
    assert_ne!(stand_in, now);
    drop(running);

    let orders = authority.pebble.issued();
    let again = run(directory.path(), ports, &settings, None).await;
    assert_eq!(leaf(&again.certs.resolver(), SITE), now);
    assert_eq!(authority.pebble.issued(), orders);
}

#[tokio::test]
async fn tls_alpn_01_gets_a_certificate_and_shows_its_proof_to_authorities_only() {
    let authority = Authority::start(|_| {}).await;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = authority.settings("challenge = \"tls-alpn-01\"\n");
    let running = run(
        directory.path(),
        (authority.http, authority.tls),
        &settings,
        None,
    )
    .await;
    running.until(SITE, is_there).await;
    assert!(running.certs.answers().tls(SITE).is_none(), "it is over");
}
