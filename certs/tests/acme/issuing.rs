//! Each kind of proof gets a certificate.

use std::sync::Arc;

use kalpana_certs::resolver::Resolver;
use kalpana_protocol::certificates::CertificateState;

use crate::world::{Authority, Opened, run};

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

#[tokio::test]
async fn the_next_process_takes_what_the_one_before_ordered_after_it_had_looked() {
    let authority = Authority::start(|_| {}).await;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = authority.settings("challenge = \"http-01\"\n");
    let ports = (authority.http, authority.tls);
    let before = run(directory.path(), ports, &settings, None).await;
    // Opened while there was nothing yet, as the process is that will take over.
    let next = Opened::open(directory.path(), &settings);
    before.until(SITE, is_there).await;
    assert!(before.certs.want("a.example.test").await);
    let issued = authority.pebble.issued();
    let shown = leaf(&before.certs.resolver(), SITE);
    drop(before);

    let next = next.keep(ports).await;
    next.until(SITE, is_there).await;
    assert_eq!(leaf(&next.certs.resolver(), SITE), shown);
    next.certs.want("a.example.test").await;
    assert!(next.certs.resolver().names("a.example.test"));
    assert_eq!(
        authority.pebble.issued(),
        issued,
        "nothing is ordered twice"
    );
}
