//! Certificates are replaced in time, as the authority would like it.

use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_protocol::certificates::{Certificate, CertificateState};
use kalpana_test_acme::Shim;

use crate::world::{Authority, Running, run};

const SITE: &str = "example.test";
const SIX_DAYS: u64 = 6 * 86_400;

fn serial(certificate: &Certificate) -> String {
    certificate.served.as_ref().expect("served").serial.clone()
}

async fn renewed(running: &Running, old: &str) -> Certificate {
    let is_new = |it: &Certificate| {
        it.served
            .as_ref()
            .is_some_and(|served| served.serial != old)
    };
    running.until(SITE, is_new).await
}

#[tokio::test]
async fn a_certificate_of_six_days_is_replaced_after_four_and_not_before() {
    let authority = Authority::start(|options| options.validity = Some(SIX_DAYS)).await;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = authority.settings("challenge = \"http-01\"\n");
    let ports = (authority.http, authority.tls);
    let running = run(directory.path(), ports, &settings, None).await;
    let first = running
        .until(SITE, |it| it.state == CertificateState::Good)
        .await;
    let days = (first.next_renewal.expect("planned").as_second()
        - first
            .served
            .as_ref()
            .expect("served")
            .not_before
            .as_second()) as f64
        / 86_400.0;
    assert!((3.7..4.01).contains(&days), "{days}");
    let before = authority.pebble.issued();
    running.advance(3);
    // Something that ends after it would have been ordered: the same keeper does both.
    running.certs.renew("nobody").await.expect_err("unknown");
    assert_eq!(authority.pebble.issued(), before);
    running.advance(2);
    renewed(&running, &serial(&first)).await;
    assert_eq!(authority.pebble.issued(), before + 1);
}

#[tokio::test]
async fn the_authoritys_window_counts_and_the_order_says_what_it_replaces() {
    let authority = Authority::start(|_| {}).await;
    let shim = Shim::start(&authority.pebble).await.expect("a shim");
    let directory = tempfile::tempdir().expect("a directory");
    let settings = authority
        .settings("challenge = \"http-01\"\nprofile = \"shortlived\"\n")
        .replace(&authority.pebble.directory_url(), &shim.directory_url());
    let now = SystemClock.now();
    let at = |days: i64| (now + jiff::SignedDuration::from_hours(days * 24)).to_string();
    shim.set_window(&at(10), &at(12));
    let ports = (authority.http, authority.tls);
    let running = run(directory.path(), ports, &settings, None).await;
    let first = running
        .until(SITE, |it| {
            it.state == CertificateState::Good
                && it
                    .next_renewal
                    .is_some_and(|at| at < now + jiff::SignedDuration::from_hours(24 * 13))
        })
        .await;
    let planned = first.next_renewal.expect("planned");
    assert!(
        planned >= now + jiff::SignedDuration::from_hours(10 * 24),
        "{planned}"
    );
    assert_eq!(shim.profiles(), ["shortlived"]);
    assert!(shim.replaced().is_empty());

    // Five years are left, but the authority would like it gone: it may have to be revoked.
    shim.set_window(&at(-2), &at(-1));
    running.advance(1);
    let second = renewed(&running, &serial(&first)).await;
    assert_eq!(shim.replaced().len(), 1);
    assert_ne!(serial(&first), serial(&second));
}

#[tokio::test]
async fn asked_for_or_revoked_it_is_replaced_at_once() {
    let authority = Authority::start(|_| {}).await;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = authority.settings("challenge = \"http-01\"\n");
    let ports = (authority.http, authority.tls);
    let running = run(directory.path(), ports, &settings, None).await;
    let first = running
        .until(SITE, |it| it.state == CertificateState::Good)
        .await;
    let second = running.certs.renew(SITE).await.expect("renewed");
    assert_ne!(serial(&first), serial(&second));
    let third = running.certs.revoke(SITE).await.expect("revoked");
    assert_ne!(serial(&second), serial(&third));
    assert_eq!(third.state, CertificateState::Good);
    assert!(
        authority.pebble.log().contains("evoke"),
        "the authority knows"
    );
}

#[tokio::test]
async fn another_chain_is_taken_where_the_operator_prefers_it() {
    let authority = Authority::start(|options| options.alternate_roots = 2).await;
    let root = authority.pebble.issuing_root(1).await.expect("a root");
    let name = {
        use rustls::pki_types::pem::PemObject;
        let der = rustls::pki_types::CertificateDer::from_pem_slice(root.as_bytes()).expect("PEM");
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).expect("a certificate");
        let name = parsed.subject().iter_common_name().next().expect("named");
        name.as_str().expect("text").to_owned()
    };
    let directory = tempfile::tempdir().expect("a directory");
    let more = format!("challenge = \"http-01\"\npreferred_chain = \"{name}\"\n");
    let settings = authority.settings(&more);
    let ports = (authority.http, authority.tls);
    let running = run(directory.path(), ports, &settings, None).await;
    running
        .until(SITE, |it| it.state == CertificateState::Good)
        .await;
    let key = running.certs.resolver().find(Some(SITE)).expect("shown");
    let topmost = key.cert.last().expect("a chain");
    let (_, parsed) = x509_parser::parse_x509_certificate(topmost).expect("a certificate");
    let issuer = parsed.issuer().iter_common_name().next().expect("named");
    assert_eq!(issuer.as_str().expect("text"), name);
}
