//! A zone's own servers, asked one by one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kalpana_test_acme::{Bind, ChallengeServer};
use tokio::net::UdpSocket;

use super::*;

const NAME: &str = "_acme-challenge.app.example.test";
const SHORT: Duration = Duration::from_millis(800);
const LONG: Duration = Duration::from_secs(20);

/// Asks `bind` who serves a zone, and all of its servers at BIND's port.
fn lookup(bind: &Bind) -> Lookup {
    Lookup::with_authorities(bind.server(), bind.server().port())
}

/// Answers at another address of this machine and the port of `bind`, in the words of whoever is
/// at `there`.
async fn relay(bind: &Bind, there: SocketAddr) {
    let here: SocketAddr = ([127, 0, 0, 2], bind.server().port()).into();
    let socket = Arc::new(UdpSocket::bind(here).await.expect("the port"));
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let (socket, question) = (Arc::clone(&socket), buffer[..length].to_vec());
            tokio::spawn(async move {
                let onward = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
                onward.send_to(&question, there).await.expect("sent");
                let mut answer = [0; 2048];
                let length = onward.recv(&mut answer).await.expect("an answer");
                socket.send_to(&answer[..length], from).await.expect("sent");
            });
        }
    });
}

async fn add(bind: &Bind, record: &str) {
    bind.add(record).await.expect("added");
}

#[tokio::test]
async fn every_server_of_the_zone_is_asked() {
    let (bind, laggard) = (
        Bind::start().await.expect("BIND"),
        Bind::start().await.expect("another"),
    );
    relay(&bind, laggard.server()).await;
    add(&bind, "ns2.example.test. 1 A 127.0.0.2").await;
    let record = format!("{NAME}. 1 TXT \"x\"");
    add(&bind, &record).await;
    let lookup = lookup(&bind);
    let seen = lookup.wait_for("BIND", NAME, "x", LONG).await;
    seen.expect("its only server has it");

    add(&bind, "example.test. 1 NS ns2.example.test.").await;
    let seen = lookup.wait_for("BIND", NAME, "x", SHORT).await;
    let error = seen.expect_err("one of two has it");
    assert_eq!(error.code(), "dns_not_propagated");
    let words = format!("ns2.example.test (127.0.0.2:{})", bind.server().port());
    assert!(error.to_string().contains(&words), "{error}");
    assert!(!error.to_string().contains("ns1"), "{error}");

    add(&laggard, &record).await;
    let seen = lookup.wait_for("BIND", NAME, "x", LONG).await;
    seen.expect("both have it");
}

#[tokio::test]
async fn a_record_that_comes_late_is_waited_for() {
    let bind = Bind::start().await.expect("BIND");
    let lookup = lookup(&bind);
    let record = format!("{NAME}. 1 TXT \"x\"");
    let (seen, ()) = tokio::join!(
        lookup.wait_for("BIND", NAME, "x", LONG),
        add(&bind, &record)
    );
    seen.expect("seen in the end");
}

#[tokio::test]
async fn a_server_whose_address_nobody_knows_is_passed_over_in_the_end() {
    let bind = Bind::start().await.expect("BIND");
    add(&bind, &format!("{NAME}. 1 TXT \"x\"")).await;
    add(&bind, "example.test. 1 NS gone.example.org.").await;
    let seen = lookup(&bind).wait_for("BIND", NAME, "x", SHORT).await;
    seen.expect("the other has it");
    let seen = lookup(&bind).wait_for("BIND", NAME, "y", SHORT).await;
    let error = seen.expect_err("nobody has it").to_string();
    assert!(error.contains("cannot look up gone.example.org"), "{error}");
    assert!(error.contains("1 other TXT records"), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_know_the_zone_is_passed_over_in_the_end() {
    let bind = Bind::start().await.expect("BIND");
    let lame = ChallengeServer::start().await.expect("another");
    lame.servfail(NAME).await.expect("told");
    relay(&bind, lame.address()).await;
    add(&bind, &format!("{NAME}. 1 TXT \"x\"")).await;
    add(&bind, "ns2.example.test. 1 A 127.0.0.2").await;
    add(&bind, "example.test. 1 NS ns2.example.test.").await;
    let seen = lookup(&bind).wait_for("BIND", NAME, "x", SHORT).await;
    seen.expect("the other has it");
    let seen = lookup(&bind).wait_for("BIND", NAME, "y", SHORT).await;
    let error = seen.expect_err("nobody has it").to_string();
    assert!(error.contains("it answered Server Failure"), "{error}");
}

#[tokio::test]
async fn a_zone_of_its_own_is_found_below_another() {
    let bind = Bind::start().await.expect("BIND");
    let lookup = lookup(&bind);
    for (name, zone) in [
        ("a.b._acme.example.test", Bind::DELEGATED),
        ("_acme.example.test", Bind::DELEGATED),
        ("a.b.example.test", Bind::ZONE),
    ] {
        let found = lookup.zone_of(&parse(name).expect("a name")).await;
        assert_eq!(text(&found.expect("a zone")), zone);
    }
    let error = lookup
        .zone_of(&parse("a.elsewhere.org").expect("a name"))
        .await;
    assert_eq!(error.expect_err("not there").code(), "dns_lookup_failed");
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_asked_for_again_by_tcp() {
    let bind = Bind::start().await.expect("BIND");
    for number in 0..12 {
        let filler = format!("{number:02}{}", "x".repeat(200));
        add(&bind, &format!("{NAME}. 1 TXT \"{filler}\"")).await;
    }
    add(
        &bind,
        &format!("{NAME}. 1 TXT \"one\" \"value\" \"in parts\""),
    )
    .await;
    let seen = lookup(&bind)
        .wait_for("BIND", NAME, "onevaluein parts", LONG)
        .await;
    seen.expect("among thirteen");
}
