//! What happens is written down once, until it was told.

use kalpana_protocol::certificates::{CertificateState, Happened, Happening};

use crate::world::{Authority, Running, run};

const SITE: &str = "example.test";

fn untold(running: &Running) -> Vec<Happened> {
    running.certs.journal().untold()
}

/// Counts the events of a kind, by their details.
fn details(running: &Running, what: Happening) -> Vec<String> {
    let untold = untold(running).into_iter();
    let of_it = untold.filter(|happened| happened.what == what);
    of_it.filter_map(|happened| happened.detail).collect()
}

fn serial(running: &Running) -> String {
    let found = running.find(SITE).and_then(|found| found.served);
    found.expect("served").serial
}

#[tokio::test]
async fn what_is_issued_and_revoked_is_written_down_and_stays_until_it_was_told() {
    let authority = Authority::start(|_| {}).await;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = authority.settings("challenge = \"http-01\"\n");
    let ports = (authority.http, authority.tls);
    let running = run(directory.path(), ports, &settings, None).await;
    let is_good =
        |found: &kalpana_protocol::certificates::Certificate| found.state == CertificateState::Good;
    running.until(SITE, is_good).await;
    let first = serial(&running);
    running.certs.revoke(SITE).await.expect("revoked");
    let second = serial(&running);
    assert_eq!(details(&running, Happening::Revoked), [first.as_str()]);
    let mut replaced = details(&running, Happening::Replaced);
    replaced.sort();
    let mut both = [first, second];
    both.sort();
    assert_eq!(replaced, both);
    let before = untold(&running);
    assert!(before.iter().all(|happened| happened.certificate == SITE));
    running.abort().await;

    let again = run(directory.path(), ports, &settings, None).await;
    assert_eq!(
        untold(&again),
        before,
        "nothing was told, and nothing is new"
    );
    for happened in &before {
        again.certs.journal().told(happened);
    }
    again.abort().await;
    let again = run(directory.path(), ports, &settings, None).await;
    assert_eq!(untold(&again), []);
}

#[tokio::test]
async fn a_failure_is_written_down_once_for_each_reason() {
    let authority = Authority::start(|_| {}).await;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = authority.settings("challenge = \"http-01\"\n");
    // Nobody answers where the authority asks.
    let opened = crate::world::Opened::open(directory.path(), &settings);
    let running = opened.order();
    for failures in 1..=2 {
        let has_failed = |found: &kalpana_protocol::certificates::Certificate| {
            let problem = found.problem.as_ref();
            problem.is_some_and(|problem| problem.failures == failures)
        };
        running.until(SITE, has_failed).await;
        running.advance(1);
    }
    let failed = details(&running, Happening::Failed);
    assert_eq!(failed, ["acme_challenge_unreachable"]);
}
