//! Hosts that get a certificate of their own when somebody first comes.

use std::sync::Arc;

use kalpana_protocol::certificates::CertificateState;

use crate::world::{Authority, run};

#[tokio::test]
async fn many_visitors_of_one_host_share_one_order_and_the_budget_holds() {
    let authority = Authority::start(|_| {}).await;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = authority.settings("challenge = \"http-01\"\non_demand_per_week = 2\n");
    let ports = (authority.http, authority.tls);
    let running = run(directory.path(), ports, &settings, None).await;
    running
        .until("example.test", |it| it.state == CertificateState::Good)
        .await;
    let before = authority.pebble.issued();
    let visits = (0..50).map(|_| {
        let certs = Arc::clone(&running.certs);
        tokio::spawn(async move { certs.want("a.example.test").await })
    });
    for visit in visits.collect::<Vec<_>>() {
        assert!(visit.await.expect("joined"));
    }
    assert_eq!(authority.pebble.issued() - before, 1);
    assert!(running.certs.resolver().names("a.example.test"));
    assert_eq!(running.certs.list().on_demand_left, Some(1));

    assert!(running.certs.want("b.example.test").await);
    assert!(
        !running.certs.want("c.example.test").await,
        "over the budget"
    );
    let refused = running.certs.issue("c.example.test", &|_| true).await;
    assert_eq!(refused.expect_err("refused").code, "certificate_budget");
    drop(running);

    let again = run(directory.path(), ports, &settings, None).await;
    assert!(
        again.certs.resolver().names("a.example.test"),
        "after a restart"
    );
    assert!(
        !again.certs.want("d.example.test").await,
        "the week is not over"
    );
}

#[tokio::test]
async fn a_host_that_failed_is_not_tried_again_before_its_time() {
    let authority = Authority::start(|_| {}).await;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = authority.settings("challenge = \"http-01\"\n");
    let ports = (authority.http, authority.tls);
    let running = run(directory.path(), ports, &settings, None).await;
    authority.dns.servfail("a.example.test").await.expect("set");
    assert!(!running.certs.want("a.example.test").await);
    let failed = running.find("a.example.test").expect("known");
    let problem = failed.problem.expect("a reason");
    assert_eq!((problem.code.as_str(), problem.failures), ("acme_dns", 1));
    assert!(!running.certs.want("a.example.test").await, "at once");
    let again = running.find("a.example.test").expect("known");
    assert_eq!(again.problem.expect("a reason").failures, 1);
}
