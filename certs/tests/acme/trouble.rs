//! What goes wrong has a name, changes nothing that is served, and passes.

use std::time::Duration;

use kalpana_protocol::certificates::{Certificate, CertificateState, Problem};
use kalpana_test_acme::Shim;

use crate::world::{Authority, Running, run};

const SITE: &str = "example.test";

fn is_good(certificate: &Certificate) -> bool {
    certificate.state == CertificateState::Good
}

async fn problem(running: &Running) -> Problem {
    let failed = running.until(SITE, |it| it.problem.is_some()).await;
    let problem = failed.problem.expect("a reason");
    assert!(problem.next_step.ends_with('.'), "{problem:?}");
    assert!(problem.retry_at.is_some_and(|at| at > problem.at));
    problem
}

#[tokio::test]
async fn an_authority_that_refuses_half_of_its_nonces_issues_all_the_same() {
    let authority = Authority::start(|options| options.nonce_reject = 50).await;
    for _ in 0..3 {
        let directory = tempfile::tempdir().expect("a directory");
        let settings = authority.settings("challenge = \"http-01\"\n");
        let ports = (authority.http, authority.tls);
        let running = run(directory.path(), ports, &settings, None).await;
        running.until(SITE, is_good).await;
        drop(running);
    }
    assert_eq!(authority.pebble.issued(), 3);
}

#[tokio::test]
async fn a_name_that_cannot_be_looked_up_is_told_so() {
    let authority = Authority::start(|_| {}).await;
    authority.dns.servfail(SITE).await.expect("set");
    let directory = tempfile::tempdir().expect("a directory");
    let settings = authority.settings("challenge = \"http-01\"\n");
    let ports = (authority.http, authority.tls);
    let running = run(directory.path(), ports, &settings, None).await;
    let problem = problem(&running).await;
    assert_eq!(problem.code, "acme_dns", "{problem:?}");
    authority.dns.clear_servfail(SITE).await.expect("cleared");
    running.certs.renew(SITE).await.expect("issued");
}

#[tokio::test]
async fn a_site_that_cannot_be_reached_is_told_so() {
    let authority = Authority::start(|options| options.http_port = 1).await;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = authority.settings("challenge = \"http-01\"\n");
    let ports = (authority.http, authority.tls);
    let running = run(directory.path(), ports, &settings, None).await;
    let problem = problem(&running).await;
    assert_eq!(problem.code, "acme_challenge_unreachable", "{problem:?}");
    assert!(problem.message.contains(SITE), "{problem:?}");
}

#[tokio::test]
async fn an_authority_that_is_away_leaves_what_is_served_and_is_asked_again() {
    let mut authority = Authority::start(|_| {}).await;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = authority.settings("challenge = \"http-01\"\n");
    let ports = (authority.http, authority.tls);
    let running = run(directory.path(), ports, &settings, None).await;
    let first = running.until(SITE, is_good).await;
    authority.pebble.end().await;
    let refused = running.certs.renew(SITE).await.expect_err("refused");
    assert_eq!(refused.code, "acme_unreachable", "{refused:?}");
    let still = running.find(SITE).expect("known");
    assert_eq!(still.state, CertificateState::Failing);
    assert_eq!(still.served, first.served);

    // It comes back, and remembers neither account nor order.
    authority.pebble.start_again().await.expect("started");
    let second = running.certs.renew(SITE).await.expect("renewed");
    assert_ne!(second.served, first.served);
    assert!(second.problem.is_none());
}

#[tokio::test]
async fn an_authority_that_is_unwell_says_how_long_to_leave_it_alone() {
    let authority = Authority::start(|_| {}).await;
    let shim = Shim::start(&authority.pebble).await.expect("a shim");
    let settings = authority
        .settings("challenge = \"http-01\"\n")
        .replace(&authority.pebble.directory_url(), &shim.directory_url());
    let ports = (authority.http, authority.tls);
    for (status, seconds) in [(429, 7200), (503, 3600)] {
        shim.be_unwell(status, Some(seconds), 1);
        let directory = tempfile::tempdir().expect("a directory");
        let running = run(directory.path(), ports, &settings, None).await;
        let problem = problem(&running).await;
        assert_eq!(problem.code, "acme_unavailable", "{problem:?}");
        let wait = problem.retry_at.expect("a time").as_second() - problem.at.as_second();
        assert_eq!(wait, i64::try_from(seconds).expect("small"));
        running.advance(1);
        running.until(SITE, is_good).await;
    }
}

#[tokio::test]
async fn accounts_that_must_exist_already_are_bound_and_a_wrong_key_is_named() {
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let eab = Some(("kid-1".to_owned(), key.to_owned()));
    let authority = Authority::start(|options| options.eab = eab).await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("eab");
    std::fs::write(&path, key).expect("written");
    let ports = (authority.http, authority.tls);

    let without = authority.settings("challenge = \"http-01\"\n");
    let data = directory.path().join("without");
    let running = run(&data, ports, &without, None).await;
    assert_eq!(problem(&running).await.code, "acme_eab_required");
    drop(running);

    let bound = |id: &str| {
        let more = format!(
            "challenge = \"http-01\"\neab_key_id = \"{id}\"\neab_hmac_key_file = \"{}\"\n",
            path.display()
        );
        authority.settings(&more)
    };
    let running = run(
        &directory.path().join("wrong"),
        ports,
        &bound("kid-2"),
        None,
    )
    .await;
    let refused = problem(&running).await;
    assert!(refused.code.starts_with("acme_"), "{refused:?}");
    drop(running);

    let running = run(
        &directory.path().join("right"),
        ports,
        &bound("kid-1"),
        None,
    )
    .await;
    running.until(SITE, is_good).await;
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_named_and_nothing_is_served() {
    let authority = Authority::start(|options| options.validity = Some(86_400)).await;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = authority.settings("challenge = \"http-01\"\n");
    let ports = (authority.http, authority.tls);
    let running = run(directory.path(), ports, &settings, None).await;
    let first = running.until(SITE, is_good).await;
    running.advance(30);
    let failed = running.until(SITE, |it| it.problem.is_some()).await;
    assert_eq!(failed.problem.expect("a reason").code, "clock_wrong");
    assert_eq!(failed.served, first.served);
    assert_eq!(failed.state, CertificateState::Expired);
}

#[tokio::test]
async fn a_full_disk_keeps_the_old_certificate() {
    let authority = Authority::start(|_| {}).await;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = authority.settings("challenge = \"http-01\"\n");
    let ports = (authority.http, authority.tls);
    let running = run(directory.path(), ports, &settings, None).await;
    let first = running.until(SITE, is_good).await;
    // A directory where the file should be cannot be replaced by it, for root neither.
    let certs = directory.path().join("gateway/tls/acme/orders");
    std::fs::create_dir(certs.join("example.test.json")).expect("made");
    let refused = running.certs.renew(SITE).await.expect_err("refused");
    assert_eq!(refused.code, "certs_storage", "{refused:?}");
    let still = running.find(SITE).expect("known");
    assert_eq!(still.served, first.served);
    std::fs::remove_dir(certs.join("example.test.json")).expect("removed");
    let renewed = tokio::time::timeout(Duration::from_secs(60), running.certs.renew(SITE));
    renewed.await.expect("in time").expect("renewed");
}
